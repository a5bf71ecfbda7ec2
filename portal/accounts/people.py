"""Accounts: find one by its address, add one, change its name or password. Each change leaves an audit row.

Judging and hashing a password takes 100 ms, so both come before any unit of work: SQLite has one writer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import known_words, reset_links, sessions
from portal.accounts.models import User
from portal.accounts.password_rules import WeakPassword, require_good
from portal.accounts.passwords import hash_password
from portal.mail.addresses import AddressError, parse_address, parse_display_name, same_address_key
from portal.mail.header_text import HeaderTextError, check_header_text
from portal.wording import N_, Text

ROLES = {"admin": N_("Administrator"), "helpdesk": N_("Helpdesk"), "user": N_("User")}
LONGEST_PHONE = 40  # characters


class NotAdded(Exception):
    """The account was not added; `reason` says why. Nothing was written."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True)
class Person:
    """An account as it is now."""

    id: UUID
    email: str
    name: str
    role: str
    is_disabled: bool
    language: str
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True)
class NewPerson:
    """An account that can be added: what was given is checked, and the password hashed."""

    email: str
    role: str
    name: str
    phone: str
    password_hash: str = field(repr=False)


def find(session: Session, identifier: str) -> Person | None:
    """The account with this address. One look-up in any case: what is no address has the key "", which nobody has."""
    return _one(session, User.email_key == same_address_key(identifier))


def get(session: Session, user_id: UUID) -> Person:
    """The account with this id. Raises LookupError."""
    person = _one(session, User.id == user_id)
    if person is None:
        raise LookupError(f"there is no account {user_id}")
    return person


def prepare_user(
    session: Session, *, email: str, role: str, password: str, name: str = "", phone: str = "", public_host: str
) -> NewPerson:
    """Check what an account is to be, and hash its password; before any unit of work.

    `public_host` is the portal's. Raises AddressError for an address or name, WeakPassword, TooBusy, or NotAdded
    where somebody has the address already or the phone number is no line of text.
    """
    address, name, phone = parse_address(email), parse_display_name(name), _checked_phone(phone)
    if role not in ROLES:
        raise ValueError(f"there is no role {role!r}")
    if find(session, address) is not None:
        raise _taken(address)
    require_good(password, about=(address, name, *known_words.of_organisation(session, public_host)))
    return NewPerson(address, role, name, phone, hash_password(password))


def add_user(session: Session, person: NewPerson, *, actor: audit.Actor | None, now: datetime) -> UUID:
    """Add an account and return its id. Raises NotAdded where somebody has got the address meanwhile."""
    if find(session, person.email) is not None:
        raise _taken(person.email)
    user = User(
        id=uuid4(),
        email=person.email,
        email_key=same_address_key(person.email),
        name=person.name,
        role=person.role,
        phone=person.phone,
        password_hash=person.password_hash,
        password_changed_at=now,
        created_at=now,
    )
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else added it in this very moment
        raise _taken(person.email) from error
    changes = {"role": (None, person.role), "name": (None, person.name)}
    audit.record(session, action="user.added", actor=actor, subject=person.email, changes=changes, now=now)
    return user.id


def rename(session: Session, user_id: UUID, name: str, *, actor: audit.Actor, now: datetime) -> None:
    """Give the account another name, which mail is addressed with; "" lets the address stand in for it.

    Raises AddressError for a name that no header can carry.
    """
    name = parse_display_name(name)
    before = get(session, user_id)
    session.execute(update(User).where(User.id == user_id).values(name=name))
    if name != before.name:
        changes = {"name": (before.name, name)}
        audit.record(session, action="user.changed", actor=actor, subject=before.email, changes=changes, now=now)


def set_password(
    session: Session, person: Person, password_hash: str, *, action: str, actor: audit.Actor, now: datetime
) -> None:
    """Store a new password: every session ends and every reset link is void.

    `action` is the audit row's: `user.password_changed` or `user.password_reset`.
    """
    changing = update(User).where(User.id == person.id)
    session.execute(changing.values(password_hash=password_hash, password_changed_at=now))
    sessions.end_all(session, person.id, now=now)
    reset_links.void(session, person.id, now=now)
    changes = {"password": audit.CHANGED}
    audit.record(session, action=action, actor=actor, subject=person.email, changes=changes, now=now)


def _taken(address: str) -> NotAdded:
    return NotAdded(N_("There is an account with the address %(address)s already.", address=address))


def _checked_phone(phone: str) -> str:
    try:
        return check_header_text(phone, limit=LONGEST_PHONE)
    except HeaderTextError as error:
        raise NotAdded(error.reason) from error


def _one(session: Session, condition: ColumnElement[bool]) -> Person | None:
    columns = (User.id, User.email, User.name, User.role, User.is_disabled, User.language, User.password_hash)
    row = session.execute(select(*columns).where(condition)).one_or_none()
    return Person(*row) if row else None


__all__ = [
    "ROLES",
    "AddressError",
    "NewPerson",
    "NotAdded",
    "Person",
    "WeakPassword",
    "add_user",
    "find",
    "get",
    "prepare_user",
    "rename",
    "set_password",
]
