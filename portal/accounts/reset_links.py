"""Reset links: made by an answered request, void by what happens to the account, used once.

A link carries 256 random bits and is stored only as their SHA-256. It works for an hour, until it is used, until
a newer one is made, and while the account's address, role, state and password are those it was made for.
Source: OWASP Forgot Password Cheat Sheet; ASVS 5.0 V6.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from portal.accounts.models import ResetRequest, User
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
    account = select(User.id, User.email).join(ResetRequest, ResetRequest.user_id == User.id)
    row = session.execute(account.where(_works(token, now), _is_as_it_was())).one_or_none()
    return ResetLink(row.id, row.email) if row else None


def use(session: Session, token: str, *, now: datetime) -> UUID | None:
    """Use the link up and return whose it was; None where it does not work. Of many at once one succeeds."""
    if not could_be_token(token):
        return None
    fitting = exists().where(User.id == ResetRequest.user_id, _is_as_it_was())
    using = update(ResetRequest).where(_works(token, now), fitting).values(used_at=now)
    return session.scalar(using.returning(ResetRequest.user_id).execution_options(synchronize_session=False))


def void(session: Session, user_id: UUID, *, now: datetime, but: UUID | None = None) -> None:
    """No link of this account made so far works any more, except that of the request `but`."""
    voiding = update(ResetRequest).where(
        ResetRequest.user_id == user_id, ResetRequest.used_at.is_(None), ResetRequest.void_at.is_(None)
    )
    if but is not None:
        voiding = voiding.where(ResetRequest.id != but)
    session.execute(voiding.values(void_at=now).execution_options(synchronize_session=False))


def _works(token: str, now: datetime) -> ColumnElement[bool]:
    return and_(
        ResetRequest.token_hash == token_hash(token),
        ResetRequest.used_at.is_(None),
        ResetRequest.void_at.is_(None),
        ResetRequest.expires_at > now,
    )


def _is_as_it_was() -> ColumnElement[bool]:
    """The account is the one that the link was made for, however it was changed since."""
    return and_(
        User.is_disabled.is_(False),
        User.email_key == ResetRequest.email_key,
        User.role == ResetRequest.role,
        or_(User.password_changed_at.is_(None), User.password_changed_at <= ResetRequest.answered_at),
    )
