"""Accounts: find one by its address, add one, change its name or password. Each change leaves an audit row.

Judging and hashing a password takes 100 ms, so both come before any unit of work: SQLite has one writer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, Subquery, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import password_policy, reset_links, sessions
from portal.accounts.models import User, UserAddress
from portal.accounts.password_rules import WeakPassword
from portal.accounts.passwords import hash_password
from portal.accounts.user_names import name_key, parse_name, parse_user_name
from portal.mail.addresses import AddressError, parse_address, same_address_key
from portal.mail.header_text import HeaderTextError, check_header_text
from portal.wording import N_, Text

ROLES = {"admin": N_("Administrator"), "helpdesk": N_("Helpdesk"), "user": N_("User")}
LONGEST_PHONE = 40  # characters
_COLUMNS = (  # of a Person
    *(User.id, User.email, User.name, User.role, User.is_disabled, User.language),
    *(User.password_hash, User.must_reset, User.time_zone),
)


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
    must_reset: bool = False  # the password opens nothing until another one is set
    time_zone: str = ""  # of the IANA database; "" is UTC


@dataclass(frozen=True)
class NewPerson:
    """An account that can be added: what was given is checked, and the password, if there is one, hashed."""

    email: str
    role: str
    name: str
    phone: str
    password_hash: str | None = field(repr=False)
    user_name: str = ""
    language: str = "en"


def find(session: Session, identifier: str) -> Person | None:
    """The account with this address. One look-up in any case: what is no address has the key "", which nobody has."""
    return _one(session, User.email_key == same_address_key(identifier))


def find_where(session: Session, condition: ColumnElement[bool]) -> Person | None:
    """The account that fits the condition, which at most one does."""
    return _one(session, condition)


def with_rank(ranked: Subquery) -> Select[*tuple[Any, ...]]:
    """Reads the account of the one row of `ranked`, columns `id` and `rank`, and its rank: see `find_ranked`."""
    return select(*_COLUMNS, ranked.c.rank).join(ranked, ranked.c.id == User.id)


def find_ranked(
    session: Session, reading: Select[*tuple[Any, ...]], values: Mapping[str, str]
) -> tuple[Person, int] | None:
    """What a statement of `with_rank` reads with these values; None where there is no row."""
    row = session.execute(reading, values).one_or_none()
    return (Person(*row[:-1]), row[-1]) if row else None


def get(session: Session, user_id: UUID) -> Person:
    """The account with this id. Raises LookupError."""
    person = _one(session, User.id == user_id)
    if person is None:
        raise LookupError(f"there is no account {user_id}")
    return person


def lock(session: Session, user_id: UUID) -> Person | None:
    """The account as it is now, None where it is gone. Nobody else changes it until the unit of work ends.

    Whoever begins a session, or ends them all, comes by here first (SQLite has one writer in any case).
    """
    return _one(session, User.id == user_id, locks=True)


def is_administrator(session: Session, user_id: UUID) -> bool:
    """Whether there is such an account, and it may act as an administrator now."""
    person = _one(session, User.id == user_id)
    return person is not None and person.role == "admin" and not person.is_disabled


def prepare_user(
    session: Session, *, email: str, role: str, password: str, name: str = "", phone: str = "", public_host: str
) -> NewPerson:
    """Check what an account is to be, and hash its password; before any unit of work.

    `public_host` is the portal's. Raises AddressError for an address or name, WeakPassword, TooBusy, or NotAdded
    where somebody has the address already or the phone number is no line of text.
    """
    person = prepare_invited(email=email, role=role, name=name, phone=phone)
    if is_taken(session, person.email):
        raise _taken(person.email)
    password_policy.require_allowed(session, password, about=(person.email, person.name), public_host=public_host)
    return replace(person, password_hash=hash_password(password))


def prepare_invited(
    *, email: str, role: str, name: str = "", phone: str = "", user_name: str = "", language: str = "en"
) -> NewPerson:
    """Check what an account without a password is to be. Raises as `prepare_user`, and IdentifierError."""
    if role not in ROLES:
        raise ValueError(f"there is no role {role!r}")
    name, phone, user_name = parse_name(name), checked_phone(phone), parse_user_name(user_name)
    return NewPerson(parse_address(email), role, name, phone, None, user_name, language)


def is_taken(session: Session, address: str) -> bool:
    """Whether the address is somebody's, primary or validated beside it."""
    key = same_address_key(address)
    beside = exists().where(UserAddress.address_key == key, UserAddress.validated_at.is_not(None))
    return bool(session.scalar(select(or_(exists().where(User.email_key == key), beside))))


def hold_address(session: Session, address: str) -> None:
    """Nobody else takes this address until the unit of work ends: whether it is taken is decided under this lock.

    It may be one person's primary address or another's beside it, so no one index could decide. SQLite has one writer.
    """
    if session.get_bind().dialect.name == "postgresql":
        key = func.hashtextextended(same_address_key(address), 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))


def add_user(session: Session, person: NewPerson, *, actor: audit.Actor | None, now: datetime) -> UUID:
    """Add an account and return its id. Raises NotAdded where somebody has the address or the user name."""
    hold_address(session, person.email)
    if is_taken(session, person.email):
        raise _taken(person.email)
    user_name_key = name_key(person.user_name) or None
    if user_name_key and session.scalar(select(User.id).where(User.user_name_key == user_name_key)):
        raise NotAdded(N_("Somebody has the user name %(name)s already.", name=person.user_name))
    user = User(
        id=uuid4(),
        email=person.email,
        email_key=same_address_key(person.email),
        name=person.name,
        role=person.role,
        phone=person.phone,
        user_name=person.user_name,
        user_name_key=user_name_key,
        language=person.language,
        password_hash=person.password_hash,
        password_changed_at=now if person.password_hash else None,
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


def set_password(
    session: Session, person: Person, password_hash: str, *, action: str, actor: audit.Actor, now: datetime
) -> None:
    """Store a new password: every session ends and every reset link is void.

    `action` is the audit row's: `user.password_changed` or `user.password_reset`. The first statement locks the
    account's row, as `lock` does.
    """
    changing = update(User).where(User.id == person.id)
    session.execute(changing.values(password_hash=password_hash, password_changed_at=now, must_reset=False))
    password_policy.keep_former(session, person.id, person.password_hash, now=now)
    sessions.end_all(session, person.id, now=now)
    reset_links.void(session, person.id, now=now)
    changes = {"password": audit.CHANGED}
    audit.record(session, action=action, actor=actor, subject=person.email, changes=changes, now=now)


def _taken(address: str) -> NotAdded:
    return NotAdded(N_("There is an account with the address %(address)s already.", address=address))


def checked_phone(phone: str) -> str:
    """The phone number as typed, on one line. Raises NotAdded."""
    try:
        return check_header_text(phone, limit=LONGEST_PHONE)
    except HeaderTextError as error:
        raise NotAdded(error.reason) from error


def _one(session: Session, condition: ColumnElement[bool], *, locks: bool = False) -> Person | None:
    found = select(*_COLUMNS).where(condition)
    row = session.execute(found.with_for_update(key_share=True) if locks else found).one_or_none()
    return Person(*row) if row else None


__all__ = [
    "ROLES",
    "AddressError",
    "NewPerson",
    "NotAdded",
    "Person",
    "WeakPassword",
    "add_user",
    "checked_phone",
    "find",
    "find_ranked",
    "find_where",
    "get",
    "hold_address",
    "is_administrator",
    "is_taken",
    "lock",
    "prepare_invited",
    "prepare_user",
    "set_password",
    "with_rank",
]
