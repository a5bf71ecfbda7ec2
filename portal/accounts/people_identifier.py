"""At which address a person is written to: the organisation chooses the attribute, the primary address stands in.

Every mail to a person goes there, but for what is about one of the person's addresses itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, not_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal import email_settings
from portal.accounts.models import User, UserAddress
from portal.email_settings import EmailSettings
from portal.email_settings.people_examples import Example, Examples
from portal.mail.addresses import AddressError, Mailbox, parse_address, same_address_key
from portal.wording import N_, Text

_LACKS: dict[str, tuple[Text, Text]] = {
    "user_name": (N_("There is no user name."), N_("The user name makes no valid address.")),
    "custom": (N_("The organisation’s own attribute is empty."), N_("The organisation’s own attribute is no address.")),
}


# Of what is like one of these `parse_address` makes no address. It takes 100 microseconds each: too many for everybody.
_NO_ADDRESS = ("% %", "%,%", "%;%", "%(%", "%)%", "%<%", "%>%", '%"%', "%..%")
_NO_WHOLE = ("%@%@%", ".%", "%.@%", "%@.%", "%@[%")


class Addressee(Protocol):
    """An account, in whatever shape."""

    @property
    def id(self) -> UUID: ...
    @property
    def email(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Account:
    """The plainest shape."""

    id: UUID
    email: str
    name: str


@dataclass(frozen=True)
class WrittenTo:
    """`lacks` says why it is the primary address in place of the chosen attribute; None where it is not."""

    address: str
    lacks: Text | None


def written_to(session: Session, person: Addressee) -> Mailbox:
    """Where mail to this person goes."""
    settings = email_settings.load(session)
    if settings.people_identifier == "primary":
        return Mailbox(person.email, person.name)
    return Mailbox(choose(session, person, settings).address, person.name)


def written_to_key(session: Session, person: Addressee) -> str:
    """What the address where mail to this person goes is compared by."""
    return same_address_key(choose(session, person, email_settings.load(session)).address)


def choose(session: Session, person: Addressee, settings: EmailSettings) -> WrittenTo:
    """The same under settings that may not be saved yet, with the reason."""
    kind = settings.people_identifier
    if kind == "alternative":
        other = _first_other(session, person.id)
        return WrittenTo(other, None) if other else WrittenTo(person.email, N_("There is no other validated address."))
    if kind == "user_name":
        user_name = session.scalar(select(User.user_name).where(User.id == person.id))
        return _parsed(f"{user_name}@{settings.people_domain}" if user_name else "", person, "user_name")
    if kind == "custom":
        value = session.scalar(select(User.custom_value).where(User.id == person.id)) or ""
        return _parsed(value, person, "custom")
    return WrittenTo(person.email, None)


def examples(session: Session, viewer: Addressee, settings: EmailSettings) -> Examples:
    """Where whoever looks would be written to, and somebody who lacks the attribute, with their number.

    The database counts, so of values that are no address only those that plainly are none.
    """
    shown = [_example(session, viewer, settings)]
    lacking = _lacking(settings)
    if lacking is None:
        return Examples(tuple(shown), 0)
    count = session.scalar(select(func.count()).select_from(User).where(lacking)) or 0
    other = select(User).where(lacking, User.id != viewer.id).order_by(User.is_disabled, User.email_key).limit(1)
    shown += [_example(session, one, settings) for one in session.scalars(other)]
    return Examples(tuple(shown), count)


def _example(session: Session, person: Addressee, settings: EmailSettings) -> Example:
    chosen = choose(session, person, settings)
    return Example(person.name or person.email, chosen.address, chosen.lacks)


def _first_other(session: Session, user_id: UUID) -> str | None:
    validated = select(UserAddress.address).where(UserAddress.user_id == user_id, UserAddress.validated_at.is_not(None))
    return session.scalar(validated.order_by(UserAddress.validated_at, UserAddress.id).limit(1))


def _parsed(text: str, person: Addressee, kind: str) -> WrittenTo:
    is_missing, is_wrong = _LACKS[kind]
    if not text:
        return WrittenTo(person.email, is_missing)
    try:
        return WrittenTo(parse_address(text), None)
    except AddressError:
        return WrittenTo(person.email, is_wrong)


def _lacking(settings: EmailSettings) -> ColumnElement[bool] | None:
    """Who has no such attribute, or one that makes no address; None where everybody has it."""
    of_person = exists().where(UserAddress.user_id == User.id, UserAddress.validated_at.is_not(None))
    is_no_local_part = _is_like(User.user_name, *_NO_ADDRESS, ".%", "%.")
    is_no_address = or_(User.custom_value.not_like("%_@_%._%"), _is_like(User.custom_value, *_NO_ADDRESS, *_NO_WHOLE))
    conditions: dict[str, ColumnElement[bool]] = {
        "alternative": not_(of_person),
        "user_name": or_(User.user_name_key.is_(None), is_no_local_part),
        "custom": or_(User.custom_key.is_(None), is_no_address),
    }
    return conditions.get(settings.people_identifier)


def _is_like(column: InstrumentedAttribute[str], *patterns: str) -> ColumnElement[bool]:
    return or_(*(column.like(pattern) for pattern in patterns))
