"""A person proves to read the mail of another address: by a link that is mailed there.

The link carries 256 random bits, stored only as SHA-256. It works for a day, once, until a newer one is made, and
while the account is not disabled. Reading its page changes nothing. It takes the link and a session of the very
account: of a mistyped address whoever reads the mail there has the link alone, and must not come into the account by
it. Whether the address is somebody else's is told to whoever has both, and to nobody before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Row, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import address_changes, addresses, people, reset_links
from portal.accounts.account_mail import AccountMail
from portal.accounts.address_changes import locked
from portal.accounts.address_mail import queue_account_validation, queue_address_changed
from portal.accounts.models import User, UserAddress
from portal.accounts.people import Person
from portal.accounts.people_identifier import written_to
from portal.accounts.tokens import could_be_token, new_token, token_hash
from portal.accounts.user_changes import NotChanged
from portal.mail.addresses import same_address_key
from portal.wording import N_

LIFETIME = timedelta(hours=24)
LinkFor = Callable[[str], str]  # the address of a token's page


@dataclass(frozen=True)
class Asking:
    """Who asks for a link, how it is mailed, and when."""

    actor: audit.Actor
    mail: AccountMail
    link_for: LinkFor
    now: datetime


class Taken(Exception):
    """Somebody else has the address by now. Nothing was written."""


class NotTheirs(Exception):
    """The link is of another account than the one that is signed in. Nothing was written."""


@dataclass(frozen=True)
class Claim:
    """What a link is about, whether it works or is too old."""

    user_id: UUID
    name: str
    address: str
    becomes_primary: bool
    expires_at: datetime

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at <= now


def claim(session: Session, user_id: UUID, address: str, *, becomes_primary: bool, asking: Asking) -> None:
    """Add an address that is to be validated, and mail the link there; one that waits already gets a newer link.

    Raises NotChanged for one that the person has, or one too many, and NotAccepted where no mail can leave.
    """
    person, key = locked(session, user_id), same_address_key(address)
    if key == same_address_key(person.email):
        raise NotChanged(N_("This is your primary address already. Type another one."), "address")
    row = session.scalar(select(UserAddress).where(UserAddress.user_id == user_id, UserAddress.address_key == key))
    if row is not None and row.validated_at is not None:
        raise NotChanged(N_("You have this address already, and it is validated."), "address")
    if row is None:
        _require_room(session, user_id)
        row = UserAddress(id=uuid4(), user_id=user_id, address_key=key, added_at=asking.now)
        session.add(row)
    row.address, row.becomes_primary = address, becomes_primary
    _mail_link(session, person, row, asking)
    changes = {"address": (None, address)}
    _record(session, "user.address_added", person, changes, asking)


def send_again(session: Session, user_id: UUID, address_id: UUID, *, asking: Asking) -> str:
    """Mail a new link in place of the one before; returns where to. Raises LookupError, NotAccepted, and NotChanged
    where it is validated.
    """
    person = locked(session, user_id)
    row = session.scalar(select(UserAddress).where(UserAddress.id == address_id, UserAddress.user_id == user_id))
    if row is None:
        raise LookupError(f"there is no address {address_id}")
    if row.validated_at is not None:
        raise NotChanged(N_("%(address)s is validated already.", address=row.address))
    _mail_link(session, person, row, asking)
    changes = {"address": (None, row.address)}
    _record(session, "user.address_validation_sent", person, changes, asking)
    return row.address


def find(session: Session, token: str) -> Claim | None:
    """What the link is about, None where it never existed, was used or has a newer one. Changes nothing."""
    found = _found(session, token)
    return (
        Claim(found.user_id, found.name, found.address, found.becomes_primary, found.token_expires_at)
        if found
        else None
    )


def validate(session: Session, token: str, *, actor: audit.Actor, mail: AccountMail, now: datetime) -> Claim | None:
    """Use the link up, and the address from now on; None where it works no more. Raises Taken and NotTheirs.

    `actor` is whoever is signed in. Of two people who validate the same address at once the later one finds it taken.
    """
    asked = find(session, token)
    if asked is not None and asked.user_id != actor.user_id:
        raise NotTheirs
    person = people.lock(session, asked.user_id) if asked else None
    if asked is None or person is None or person.is_disabled:
        return None
    people.hold_address(session, asked.address)
    if people.is_taken(session, asked.address):
        raise Taken
    told = written_to(session, person).address  # before this address counts
    address_id = _use(session, token, now=now)
    if address_id is None:
        return None
    changes = {"address": (None, asked.address)}
    audit.record(session, action="user.address_validated", actor=actor, subject=person.email, changes=changes, now=now)
    if asked.becomes_primary:
        address_changes.swap(session, person, address_id, asked.address, actor=actor, mail=mail, now=now)
    else:
        reset_links.void(session, person.id, now=now)
        queue_address_changed(mail, session, person, "added", to=told, address=asked.address, now=now)
    return asked


def _require_room(session: Session, user_id: UUID) -> None:
    number, waiting = addresses.counts(session, user_id)
    if waiting >= addresses.MOST_WAITING:
        reason = N_(
            "%(most)s addresses wait to be validated already. Validate or remove one of them first.",
            most=addresses.MOST_WAITING,
        )
        raise NotChanged(reason, "address")
    if number >= addresses.MOST:
        raise NotChanged(N_("You have %(most)s addresses already. Remove one first.", most=addresses.MOST), "address")


def _record(
    session: Session, action: str, person: Person, changes: dict[str, tuple[None, str]], asking: Asking
) -> None:
    actor, now = asking.actor, asking.now
    audit.record(session, action=action, actor=actor, subject=person.email, changes=changes, now=now)


def _mail_link(session: Session, person: Person, row: UserAddress, asking: Asking) -> None:
    token, now = new_token(), asking.now
    expires_at = now + LIFETIME
    row.token_hash, row.token_expires_at = token_hash(token), expires_at
    session.flush()
    link, to = asking.link_for(token), (row.address, row.id)
    queue_account_validation(asking.mail, session, person, *to, link=link, expires_at=expires_at, now=now)


def _found(session: Session, token: str) -> Row[UUID, str, str, bool, datetime | None] | None:
    if not could_be_token(token):
        return None
    columns = (UserAddress.user_id, User.name, UserAddress.address, UserAddress.becomes_primary)
    found = select(*columns, UserAddress.token_expires_at).join(User, User.id == UserAddress.user_id)
    waiting = (UserAddress.token_hash == token_hash(token), UserAddress.validated_at.is_(None))
    return session.execute(found.where(*waiting, User.is_disabled.is_(False))).one_or_none()


def _use(session: Session, token: str, *, now: datetime) -> UUID | None:
    waiting = (UserAddress.token_hash == token_hash(token), UserAddress.validated_at.is_(None))
    using = update(UserAddress).where(*waiting, UserAddress.token_expires_at > now)
    used = using.values(validated_at=now, token_hash=None, token_expires_at=None, becomes_primary=False)
    try:
        return session.scalar(used.returning(UserAddress.id).execution_options(synchronize_session=False))
    except IntegrityError as error:
        raise Taken from error
