"""Invitations: an account is made without a password, and a link by which its owner chooses the first one.

A link carries 256 random bits and is stored only as their SHA-256. It works for seven days, until it is used, until
a newer one is made, while the account's address, role and state are those it was made for, and while its owner is
written to where it was mailed. Reading its page changes nothing. Where mail cannot leave, whoever invites gets the link
to pass on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, exists, select, update
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, people_identifier, reset_links
from portal.accounts.account_mail import INVITATION_LIFETIME, AccountMail
from portal.accounts.models import Invitation, User
from portal.accounts.people import NewPerson, Person
from portal.accounts.people_identifier import Account
from portal.accounts.tokens import could_be_token, new_token, token_hash
from portal.mail.addresses import same_address_key
from portal.mail_service import NotAccepted
from portal.wording import Text

LinkFor = Callable[[str], str]  # the address of a token's page


@dataclass(frozen=True)
class Invited:
    """An account that somebody was invited to. The link is shown only where no mail carries it."""

    user_id: UUID
    email: str
    link: str = field(repr=False)
    why_not_mailed: Text | None  # None: a mail is on its way


@dataclass(frozen=True)
class OpenInvitation:
    """A link that works now."""

    user_id: UUID
    email: str
    invited_by: str
    expires_at: datetime


@dataclass(frozen=True)
class SentInvitation:
    """The newest link of an account, whether or not it works still."""

    created_at: datetime
    expires_at: datetime
    was_mailed: bool
    works: bool


def add_and_invite(
    session: Session,
    person: NewPerson,
    *,
    actor: audit.Actor,
    mail: AccountMail | None,
    link_for: LinkFor,
    now: datetime,
    is_bulk: bool = False,
) -> Invited:
    """Add the account and invite its owner; without `mail` none is tried. Raises NotAdded."""
    added = people.get(session, people.add_user(session, person, actor=actor, now=now))
    return invite(session, added, actor=actor, mail=mail, link_for=link_for, now=now, is_bulk=is_bulk)


def invite(
    session: Session,
    person: Person,
    *,
    actor: audit.Actor,
    mail: AccountMail | None,
    link_for: LinkFor,
    now: datetime,
    is_bulk: bool = False,
) -> Invited:
    """Make a link in place of the one before, and mail it where mail can leave."""
    token = new_token()
    why_not = None
    if mail is not None:
        why_not = _mail(session, person, link_for(token), actor=actor, mail=mail, now=now, is_bulk=is_bulk)
    is_mailed = mail is not None and why_not is None
    session.execute(delete(Invitation).where(Invitation.user_id == person.id))
    session.add(
        Invitation(
            id=uuid4(),
            user_id=person.id,
            token_hash=token_hash(token),
            email_key=same_address_key(person.email),
            role=person.role,
            invited_by=actor.name[:320],
            created_at=now,
            expires_at=now + INVITATION_LIFETIME,
            was_mailed=is_mailed,
            mailed_to_key=people_identifier.written_to_key(session, person) if is_mailed else None,
        )
    )
    session.flush()
    audit.record(session, action="user.invited", actor=actor, subject=person.email, now=now)
    return Invited(person.id, person.email, link_for(token), why_not)


def find(session: Session, token: str, *, now: datetime) -> OpenInvitation | None:
    """What the link opens, None where it never existed or works no more. Changes nothing."""
    if not could_be_token(token):
        return None
    columns = (User.id, User.email, User.name, Invitation.invited_by, Invitation.expires_at, Invitation.mailed_to_key)
    found = select(*columns).join(Invitation, Invitation.user_id == User.id)
    row = session.execute(found.where(_is_token(token), works(now))).one_or_none()
    if row is None or not reset_links.is_read_by(session, Account(row.id, row.email, row.name), row.mailed_to_key):
        return None
    return OpenInvitation(row.id, row.email, row.invited_by, row.expires_at)


def expired_at(session: Session, token: str, *, now: datetime) -> datetime | None:
    """Since when the link is too old, None where that is not the one thing that is wrong with it."""
    if not could_be_token(token):
        return None
    found = select(Invitation.expires_at).join(User, User.id == Invitation.user_id)
    return session.scalar(found.where(_is_token(token), Invitation.expires_at <= now, _is_as_it_was()))


def owner_of(session: Session, token: str) -> str:
    """The address of the account that the link was made for, however it is with it now; "" for one that never was."""
    its = select(User.email).join(Invitation, Invitation.user_id == User.id)
    return session.scalar(its.where(_is_token(token))) or ""


def accept(session: Session, token: str, password_hash: str, *, address: str, now: datetime) -> UUID | None:
    """Use the link up and set its account's first password; None where it works no more. Of many at once one succeeds.

    `address` is the client's.
    """
    waiting = find(session, token, now=now)
    if waiting is None or people.lock(session, waiting.user_id) is None:  # the account's row before its invitation's
        return None
    if find(session, token, now=now) is None:  # as it is now that nobody else changes the account
        return None
    fitting = exists().where(User.id == Invitation.user_id, works(now))
    using = update(Invitation).where(_is_token(token), Invitation.used_at.is_(None), fitting)
    used = using.values(used_at=now).returning(Invitation.user_id)
    user_id = session.scalar(used.execution_options(synchronize_session=False))
    if user_id is None:
        return None
    person = people.get(session, user_id)
    actor = audit.Actor(person.id, person.name or person.email, address)
    people.set_password(session, person, password_hash, action="user.invitation_accepted", actor=actor, now=now)
    return user_id


def newest(session: Session, user_id: UUID, *, now: datetime) -> SentInvitation | None:
    """The account's invitation, None where none waits for an answer."""
    columns = (Invitation.created_at, Invitation.expires_at, Invitation.was_mailed, works(now).label("works"))
    account = (User.id, User.email, User.name, Invitation.mailed_to_key)
    found = select(*columns, *account).join(User, User.id == Invitation.user_id)
    row = session.execute(found.where(Invitation.user_id == user_id, Invitation.used_at.is_(None))).one_or_none()
    if row is None:
        return None
    is_read = reset_links.is_read_by(session, Account(row.id, row.email, row.name), row.mailed_to_key)
    return SentInvitation(row.created_at, row.expires_at, row.was_mailed, row.works and is_read)


def works(now: datetime) -> ColumnElement[bool]:
    """Whether an invitation opens its account, which must be the one that it was made for."""
    return and_(Invitation.expires_at > now, _is_as_it_was())


def _is_as_it_was() -> ColumnElement[bool]:
    return and_(
        Invitation.used_at.is_(None),
        User.is_disabled.is_(False),
        User.password_hash.is_(None),
        User.email_key == Invitation.email_key,
        User.role == Invitation.role,
    )


def _is_token(token: str) -> ColumnElement[bool]:
    return Invitation.token_hash == token_hash(token)


def _mail(
    session: Session,
    person: Person,
    link: str,
    *,
    actor: audit.Actor,
    mail: AccountMail,
    now: datetime,
    is_bulk: bool,
) -> Text | None:
    """Queue the mail; why there is none, where none can leave."""
    try:
        mail.queue_invitation(session, person, link=link, invited_by=actor.name, now=now, is_bulk=is_bulk)
    except NotAccepted as refusal:
        return refusal.reason
    return None
