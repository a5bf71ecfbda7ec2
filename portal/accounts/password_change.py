"""A new password: by a reset link or code, or by somebody signed in.

Every other session ends and the owner gets a mail.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, reset_codes, reset_links, sessions
from portal.accounts.password_policy import require_allowed
from portal.accounts.password_rules import WeakPassword
from portal.accounts.passwords import hash_password, verify_password
from portal.accounts.people import Person
from portal.accounts.reset_codes import RightCode
from portal.accounts.sign_in import SignedIn, Visitor
from portal.wording import N_

if TYPE_CHECKING:
    from portal.accounts.account_mail import AccountMail


def hash_new_password(session: Session, user_id: UUID, password: str, *, public_host: str) -> str:
    """The hash of a password that is good enough for this person and not the present one.

    Takes 100 ms, so it comes before any unit of work. `public_host` is the portal's. Raises WeakPassword, TooBusy.
    """
    person = people.get(session, user_id)
    require_allowed(session, password, about=(person.email, person.name), public_host=public_host, user_id=person.id)
    if person.password_hash is not None and verify_password(person.password_hash, password):
        raise WeakPassword(N_("This is the password that you have already. Choose another one."))
    return hash_password(password)


def reset_by_link(
    session: Session, token: str, password_hash: str, *, address: str, mail: AccountMail, now: datetime
) -> UUID | None:
    """Use the link up and set its account's password; None where it works no more. `address` is the client's."""
    link = reset_links.find(session, token, now=now)
    person = people.lock(session, link.user_id) if link else None  # the account's row first, as everybody does
    is_used = person is not None and reset_links.use(session, token, now=now) is not None
    return _reset(
        session,
        person if is_used else None,
        password_hash,
        actor=audit.Actor(None, "reset link", address),
        mail=mail,
        now=now,
    )


def reset_by_code(
    session: Session, right: RightCode, password_hash: str, *, address: str, mail: AccountMail, now: datetime
) -> UUID | None:
    """The same by a code that was right a moment ago."""
    person = people.lock(session, right.user_id)
    is_used = person is not None and reset_codes.use(session, right, now=now) is not None
    return _reset(
        session,
        person if is_used else None,
        password_hash,
        actor=audit.Actor(None, "reset code", address),
        mail=mail,
        now=now,
    )


def _reset(
    session: Session,
    person: Person | None,
    password_hash: str,
    *,
    actor: audit.Actor,
    mail: AccountMail,
    now: datetime,
) -> UUID | None:
    if person is None:
        return None
    people.set_password(session, person, password_hash, action="user.password_reset", actor=actor, now=now)
    mail.queue_password_changed(session, person, now=now)
    return person.id


def change_own(
    session: Session, before: Person, password_hash: str, *, visitor: Visitor, mail: AccountMail, now: datetime
) -> SignedIn | None:
    """Set the password of somebody who has just given the present one; returns the only session that goes on.

    `before` is the account as it was read before the present password was compared. None, and nothing changed but
    that the visitor's session is over, where the password is another one by now or the session was ended.
    """
    person = people.lock(session, before.id)
    if person is None or visitor.session_id is None:
        return None
    if person.password_hash != before.password_hash or not sessions.is_open(session, visitor.session_id, person.id):
        sessions.end(session, visitor.session_id, now=now)
        return None
    actor = audit.Actor(person.id, person.name or person.email, visitor.address)
    people.set_password(session, person, password_hash, action="user.password_changed", actor=actor, now=now)
    mail.queue_password_changed(session, person, now=now)
    token = sessions.start(session, person.id, address=visitor.address, agent=visitor.agent, now=now)
    return SignedIn(person.id, token)
