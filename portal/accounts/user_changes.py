"""What administrators change about people: facts, role, state, existence. Each change leaves an audit row.

Whoever acts is looked at again in the unit of work: a right that was taken away meanwhile counts no more. There is
always an administrator who can sign in: of two who take each other's role away at once, the later one is refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, reset_links, sessions, ways_in
from portal.accounts.models import User
from portal.accounts.people import Person
from portal.accounts.user_names import name_key, parse_custom_value, parse_name, parse_user_name
from portal.email_settings.models import EmailSettingsRow
from portal.wording import N_, Text

_RANKS = {"user": 0, "helpdesk": 1, "admin": 2}


class NotAllowed(Exception):
    """Whoever asks may not do this, or not any more. Nothing was written."""


class NotChanged(Exception):
    """The account is as it was; `reason` says why, and `field` is the form's field at fault, "" for none."""

    def __init__(self, reason: Text, field: str = "") -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Details:
    """What an administrator may set; the address is the person's own to change."""

    name: str
    role: str
    phone: str
    user_name: str
    custom_value: str
    language: str


def details_of(session: Session, user_id: UUID) -> Details:
    """As they are now. Raises LookupError."""
    user = session.get(User, user_id)
    if user is None:
        raise LookupError(f"there is no account {user_id}")
    return Details(**{field.name: getattr(user, field.name) for field in fields(Details)})


def custom_attribute(session: Session) -> str:
    """What the organisation calls its own attribute of a person, "" where it has none."""
    return session.scalar(select(EmailSettingsRow.custom_attribute)) or ""


def may_help(role: str, other: str) -> bool:
    """Whether somebody of `role` may send resets to and unlock people of the role `other`: never one above."""
    return role != "user" and _RANKS[role] >= _RANKS[other]


def person_for(session: Session, user_id: UUID, *, actor: audit.Actor, helps: bool = False) -> Person:
    """Whom `actor` acts upon. With `helps` the helpdesk may too, else administrators alone.

    Raises LookupError where there is no such account, NotAllowed where the actor may not (any more).
    """
    person = people.get(session, user_id)
    acting = people.find_where(session, User.id == actor.user_id)
    if acting is None or acting.is_disabled:
        raise NotAllowed
    if not (may_help(acting.role, person.role) if helps else acting.role == "admin"):
        raise NotAllowed
    return person


def require_administrator(session: Session, actor: audit.Actor) -> None:
    """Raises NotAllowed for somebody who is no administrator (any more)."""
    if actor.user_id is None or not people.is_administrator(session, actor.user_id):
        raise NotAllowed


def change_details(session: Session, user_id: UUID, wanted: Details, *, actor: audit.Actor, now: datetime) -> None:
    """Store what differs; with another role every session ends. Raises NotChanged, AddressError, IdentifierError,
    NotAdded, and as `person_for`.
    """
    person = person_for(session, user_id, actor=actor)
    before, wanted = details_of(session, user_id), _checked(wanted)
    if before.role == "admin" and wanted.role != "admin":
        keep_an_administrator(session, user_id, "role")
    new = {field: value for field, value in asdict(wanted).items() if value != getattr(before, field)}
    if not new:
        return
    keys = {"user_name_key": name_key(wanted.user_name) or None, "custom_key": name_key(wanted.custom_value) or None}
    _refuse_doubles(session, user_id, keys)
    try:
        session.execute(update(User).where(User.id == user_id).values(**new, **keys))
    except IntegrityError as error:  # somebody got it in this very moment
        raise NotChanged(N_("Somebody else has this user name already."), "user_name") from error
    if "role" in new:
        sessions.end_all(session, user_id, now=now)
    changes = {field: (getattr(before, field), value) for field, value in new.items()}
    audit.record(session, action="user.changed", actor=actor, subject=person.email, changes=changes, now=now)


def disable(session: Session, user_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """Keep somebody out from the next request on. Raises NotChanged, and as `person_for`."""
    person = person_for(session, user_id, actor=actor)
    if user_id == actor.user_id:
        raise NotChanged(N_("You cannot disable your own account. Ask another administrator."))
    if person.role == "admin":
        keep_an_administrator(session, user_id)
    session.execute(update(User).where(User.id == user_id).values(is_disabled=True))
    sessions.end_all(session, user_id, now=now)
    reset_links.void(session, user_id, now=now)
    if not person.is_disabled:
        audit.record(session, action="user.disabled", actor=actor, subject=person.email, now=now)


def enable(session: Session, user_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """Let somebody in again. Raises as `person_for`."""
    person = person_for(session, user_id, actor=actor)
    session.execute(update(User).where(User.id == user_id).values(is_disabled=False))
    if person.is_disabled:
        audit.record(session, action="user.enabled", actor=actor, subject=person.email, now=now)


def delete_user(session: Session, user_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """Remove the account with all that is its own; the audit log keeps what was done. Raises as `disable`."""
    person = person_for(session, user_id, actor=actor)
    if user_id == actor.user_id:
        raise NotChanged(N_("You cannot delete your own account. Ask another administrator."))
    if person.role == "admin":
        keep_an_administrator(session, user_id)
    session.execute(delete(User).where(User.id == user_id))
    changes = {"name": (person.name, None), "role": (person.role, None)}
    audit.record(session, action="user.deleted", actor=actor, subject=person.email, changes=changes, now=now)


def is_last_administrator(session: Session, user_id: UUID) -> bool:
    """Whether nobody else could sign in as an administrator. Locks them all until the unit of work ends."""
    ways_in.lock_administrators(session)
    return not ways_in.administrators(session) - {user_id}


def keep_an_administrator(session: Session, user_id: UUID, field: str = "") -> None:
    """Raises NotChanged where nobody else could sign in as an administrator."""
    if is_last_administrator(session, user_id):
        reason = N_("This is the only administrator who can sign in. Make somebody else an administrator first.")
        raise NotChanged(reason, field)


def _checked(wanted: Details) -> Details:
    if wanted.role not in people.ROLES:
        raise ValueError(f"there is no role {wanted.role!r}")
    return Details(
        name=parse_name(wanted.name),
        role=wanted.role,
        phone=people.checked_phone(wanted.phone),
        user_name=parse_user_name(wanted.user_name),
        custom_value=parse_custom_value(wanted.custom_value),
        language=wanted.language,
    )


def _refuse_doubles(session: Session, user_id: UUID, keys: dict[str, str | None]) -> None:
    reasons = {
        "user_name": N_("Somebody else has this user name already."),
        "custom_value": N_("Somebody else has this value already. It tells people apart, so each has another one."),
    }
    for (column, key), (field, reason) in zip(keys.items(), reasons.items(), strict=True):
        double = select(User.id).where(getattr(User, column) == key, User.id != user_id)
        if key and session.scalar(double):
            raise NotChanged(reason, field)
