"""Which address is the primary one, and which are no more. Whoever reads the mail of an old one is told there.

With another primary address invitations and reset links die. Sessions stay. So it is where mail to a person goes
elsewhere by what else is known of the person.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import addresses, people, reset_links, user_changes
from portal.accounts.account_mail import AccountMail
from portal.accounts.address_mail import queue_address_changed
from portal.accounts.models import User, UserAddress
from portal.accounts.people import Person
from portal.accounts.people_identifier import written_to, written_to_key
from portal.accounts.user_changes import Details, NotChanged
from portal.mail.addresses import same_address_key
from portal.wording import N_


def make_primary(
    session: Session, user_id: UUID, address_id: UUID, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> str:
    """Use a validated address as the primary one from now on; the former stays among the others. Returns the new one.

    Raises LookupError, and NotChanged where it is not validated.
    """
    person = locked(session, user_id)
    other = addresses.find(session, user_id, address_id)
    if not other.is_validated:
        raise NotChanged(N_("Validate %(address)s first: open the link that was mailed there.", address=other.address))
    swap(session, person, other.id, other.address, actor=actor, mail=mail, now=now)
    return other.address


def swap(
    session: Session,
    person: Person,
    address_id: UUID,
    address: str,
    *,
    actor: audit.Actor,
    mail: AccountMail,
    now: datetime,
) -> None:
    """The same for a row that is known to be validated, of an account that is locked."""
    session.execute(delete(UserAddress).where(UserAddress.id == address_id))
    _set_primary(session, person, address, actor=actor, now=now)
    former = UserAddress(
        id=uuid4(),
        user_id=person.id,
        address=person.email,
        address_key=same_address_key(person.email),
        added_at=now,
        validated_at=now,
    )
    session.add(former)
    session.flush()
    queue_address_changed(mail, session, person, "replaced", to=person.email, address=person.email, now=now)


def remove(
    session: Session, user_id: UUID, address_id: UUID, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> str:
    """Forget an address that is not the primary one; a link to validate it dies. Returns it. Raises LookupError."""
    person = locked(session, user_id)
    other = addresses.find(session, user_id, address_id)
    session.execute(delete(UserAddress).where(UserAddress.id == address_id))
    changes = {"address": (other.address, None)}
    audit.record(session, action="user.address_removed", actor=actor, subject=person.email, changes=changes, now=now)
    if other.is_validated:
        reset_links.void(session, user_id, now=now)  # one may have been mailed there
        queue_address_changed(mail, session, person, "removed", to=other.address, address=other.address, now=now)
    return other.address


def change_for(
    session: Session, user_id: UUID, address: str, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> None:
    """Give somebody another primary address at once, on an administrator's word; the former is no more the person's.

    Raises NotChanged where it is somebody's, and as `person_for`.
    """
    user_changes.person_for(session, user_id, actor=actor)
    person = locked(session, user_id)
    if address == person.email:
        raise NotChanged(N_("This is the address already. Type another one."), "email")
    people.hold_address(session, address)
    key = same_address_key(address)
    session.execute(delete(UserAddress).where(UserAddress.user_id == user_id, UserAddress.address_key == key))
    if key != same_address_key(person.email) and people.is_taken(session, address):
        raise _taken(address)
    try:
        _set_primary(session, person, address, actor=actor, now=now)
    except IntegrityError as error:
        raise _taken(address) from error
    to = person.email
    queue_address_changed(mail, session, person, "replaced", to=to, address=to, by=actor.name, now=now)


def change_details(
    session: Session, user_id: UUID, wanted: Details, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> None:
    """What an administrator changes besides the primary address, which may change where mail to the person goes.

    Reset links that were mailed die then, and the former address is told. Raises as `user_changes.change_details`.
    """
    before = written_to(session, people.get(session, user_id))
    user_changes.change_details(session, user_id, wanted, actor=actor, now=now)
    person = people.get(session, user_id)
    if same_address_key(before.address) == written_to_key(session, person):
        return
    reset_links.void(session, user_id, now=now)
    to = before.address
    queue_address_changed(mail, session, person, "unused", to=to, address=to, by=actor.name, now=now)


def locked(session: Session, user_id: UUID) -> Person:
    """The account, which nobody else changes until the unit of work ends. Raises LookupError."""
    person = people.lock(session, user_id)
    if person is None:
        raise LookupError(f"there is no account {user_id}")
    return person


def _set_primary(session: Session, person: Person, address: str, *, actor: audit.Actor, now: datetime) -> None:
    new = {"email": address, "email_key": same_address_key(address)}
    session.execute(update(User).where(User.id == person.id).values(**new))
    reset_links.void(session, person.id, now=now)
    changes = {"email": (person.email, address)}
    audit.record(session, action="user.address_changed", actor=actor, subject=person.email, changes=changes, now=now)


def _taken(address: str) -> NotChanged:
    return NotChanged(
        N_("Somebody else has the address %(address)s already. Type another one.", address=address), "email"
    )
