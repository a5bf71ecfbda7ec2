"""Reset links: made by an answered request, void by what happens to the account, used once; so are its codes.

A link carries 256 random bits and is stored only as their SHA-256. It works for an hour, until it is used, until
a newer one is made, while the account's address, role, state and password are those it was made for, and while its
owner is written to where its mail went.
Source: OWASP Forgot Password Cheat Sheet; ASVS 5.0 V6.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from portal.accounts.models import ResetRequest, User
from portal.accounts.people_identifier import Account, Addressee, written_to_key
from portal.accounts.tokens import could_be_token, token_hash

LIFETIME = timedelta(minutes=60)


@dataclass(frozen=True)
class ResetLink:
    """A link that works now, and the account that it is for."""

    user_id: UUID
    email: str


def find(session: Session, token: str, *, now: datetime) -> ResetLink | None:
    """What the link opens, None where it never existed or works no more. Changes nothing."""
    if not could_be_token(token):
        return None
    columns = (User.id, User.email, User.name, ResetRequest.mailed_to_key)
    account = select(*columns).join(ResetRequest, ResetRequest.user_id == User.id)
    row = session.execute(account.where(_is_token(token), is_open(now), is_as_it_was())).one_or_none()
    if row is None or not is_read_by(session, Account(row.id, row.email, row.name), row.mailed_to_key):
        return None
    return ResetLink(row.id, row.email)


def use(session: Session, token: str, *, now: datetime) -> UUID | None:
    """Use the link up and return whose it was; None where it does not work. Of many at once one succeeds.

    Whoever calls holds the account's row, so that nobody else changes where its owner is written to.
    """
    if find(session, token, now=now) is None:
        return None
    using = update(ResetRequest).where(_is_token(token), is_open(now), fits_account()).values(used_at=now)
    return session.scalar(using.returning(ResetRequest.user_id).execution_options(synchronize_session=False))


def owner_of(session: Session, token: str) -> str:
    """The address of the account that the link was made for, however it is with it now; "" for one that never was."""
    its = select(User.email).join(ResetRequest, ResetRequest.user_id == User.id)
    return session.scalar(its.where(_is_token(token))) or ""


def void(session: Session, user_id: UUID, *, now: datetime, but: UUID | None = None) -> None:
    """No link or code of this account made so far works any more, except that of the request `but`."""
    voiding = update(ResetRequest).where(
        ResetRequest.user_id == user_id, ResetRequest.used_at.is_(None), ResetRequest.void_at.is_(None)
    )
    if but is not None:
        voiding = voiding.where(ResetRequest.id != but)
    session.execute(voiding.values(void_at=now).execution_options(synchronize_session=False))


def make_way(
    session: Session, user_id: UUID, *, request_id: UUID, browser_hash: bytes | None, has_link: bool, now: datetime
) -> None:
    """A newer request of the account was answered: what it replaces works no more.

    That is what the same browser asked for before, and of all others the link, if a newer one is mailed. A code of
    another browser works on: else whoever asks for somebody's code would void that person's own.
    """
    others = (ResetRequest.user_id == user_id, ResetRequest.id != request_id)
    unused = (ResetRequest.used_at.is_(None), ResetRequest.void_at.is_(None))
    replaced = ResetRequest.browser_hash.is_not_distinct_from(browser_hash)
    if has_link:
        replaced = or_(replaced, ResetRequest.code_mac.is_(None))
    voiding = update(ResetRequest).where(*others, *unused, replaced).values(void_at=now)
    session.execute(voiding.execution_options(synchronize_session=False))
    if has_link:
        dying = update(ResetRequest).where(*others, *unused, ResetRequest.token_hash.is_not(None))
        session.execute(dying.values(token_hash=None).execution_options(synchronize_session=False))


def is_read_by(session: Session, person: Addressee, mailed_to_key: str | None) -> bool:
    """Whether somebody is written to still where a mail went; None was mailed nowhere."""
    return mailed_to_key is None or mailed_to_key == written_to_key(session, person)


def is_open(now: datetime) -> ColumnElement[bool]:
    """The request's link or code was neither used nor voided, and is not too old."""
    return and_(ResetRequest.used_at.is_(None), ResetRequest.void_at.is_(None), ResetRequest.expires_at > now)


def fits_account() -> ColumnElement[bool]:
    """As `is_as_it_was`, where the account is not joined."""
    return exists().where(User.id == ResetRequest.user_id, is_as_it_was())


def is_as_it_was() -> ColumnElement[bool]:
    """The account is the one that the link was made for, however it was changed since."""
    return and_(
        User.is_disabled.is_(False),
        User.email_key == ResetRequest.email_key,
        User.role == ResetRequest.role,
        or_(User.password_changed_at.is_(None), User.password_changed_at <= ResetRequest.answered_at),
    )


def _is_token(token: str) -> ColumnElement[bool]:
    return ResetRequest.token_hash == token_hash(token)
