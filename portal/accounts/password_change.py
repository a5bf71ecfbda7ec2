"""A new password: by a reset link, or by somebody signed in. Every other session ends and the owner gets a mail."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import known_words, people, reset_links, sessions
from portal.accounts.password_rules import WeakPassword, require_good
from portal.accounts.passwords import hash_password, verify_password
from portal.accounts.sign_in import SignedIn, Visitor
from portal.wording import N_

if TYPE_CHECKING:
    from portal.accounts.account_mail import AccountMail


def hash_new_password(session: Session, user_id: UUID, password: str, *, public_host: str) -> str:
    """The hash of a password that is good enough for this person and not the present one.

    Takes 100 ms, so it comes before any unit of work. `public_host` is the portal's. Raises WeakPassword, TooBusy.
    """
    person = people.get(session, user_id)
    require_good(password, about=(person.email, person.name, *known_words.of_organisation(session, public_host)))
    if person.password_hash is not None and verify_password(person.password_hash, password):
        raise WeakPassword(N_("This is the password that you have already. Choose another one."))
    return hash_password(password)


def reset_by_link(
    session: Session, token: str, password_hash: str, *, address: str, mail: AccountMail, now: datetime
) -> UUID | None:
    """Use the link up and set its account's password; None where it works no more. `address` is the client's."""
    user_id = reset_links.use(session, token, now=now)
    if user_id is None:
        return None
    person = people.get(session, user_id)
    actor = audit.Actor(None, "reset link", address)
    people.set_password(session, person, password_hash, action="user.password_reset", actor=actor, now=now)
    mail.queue_password_changed(session, person, now=now)
    return user_id


def change_own(
    session: Session, user_id: UUID, password_hash: str, *, visitor: Visitor, mail: AccountMail, now: datetime
) -> SignedIn:
    """Set the password of somebody who has just given the present one; returns the only session that goes on."""
    person = people.get(session, user_id)
    actor = audit.Actor(person.id, person.name or person.email, visitor.address)
    people.set_password(session, person, password_hash, action="user.password_changed", actor=actor, now=now)
    mail.queue_password_changed(session, person, now=now)
    token = sessions.start(session, user_id, address=visitor.address, agent=visitor.agent, now=now)
    return SignedIn(user_id, token)
