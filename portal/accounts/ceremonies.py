"""What a browser is in the middle of: a sign-in that waits for its second factor, or the challenge of a passkey.

The browser's cookie holds a random token, the row its hash. A ceremony ends after ten minutes or five tries, and
is used once: of two requests at the same moment one wins, by a conditional UPDATE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from portal.accounts.factor_models import Ceremony
from portal.accounts.provider_models import ProviderSignIn
from portal.accounts.tokens import could_be_token, new_token, token_hash

LIFETIME = timedelta(minutes=10)
MOST_TRIES = 5
Purpose = Literal["sign_in", "passkey", "register", "confirm"]


@dataclass(frozen=True)
class UnderWay:
    """A ceremony that may still be finished."""

    id: UUID
    user_id: UUID | None
    password_changed_at: datetime | None
    challenge: bytes | None = field(repr=False)
    began_with: str
    next_path: str
    tries: int
    expires_at: datetime


def start(
    session: Session,
    purpose: Purpose,
    *,
    user_id: UUID | None = None,
    password_changed_at: datetime | None = None,
    challenge: bytes | None = None,
    began_with: str = "password",
    next_path: str = "",
    now: datetime,
) -> str:
    """Returns the cookie's token."""
    token = new_token()
    session.add(
        Ceremony(
            id=uuid4(),
            token_hash=token_hash(token),
            purpose=purpose,
            user_id=user_id,
            password_changed_at=password_changed_at,
            challenge=challenge,
            began_with=began_with,
            next_path=next_path,
            created_at=now,
            expires_at=now + LIFETIME,
        )
    )
    session.flush()
    return token


def find(session: Session, token: str, purpose: Purpose, *, now: datetime) -> UnderWay | None:
    """The ceremony of a cookie, None where it has ended, is another, or never was."""
    if not could_be_token(token):
        return None
    columns = (
        Ceremony.id,
        Ceremony.user_id,
        Ceremony.password_changed_at,
        Ceremony.challenge,
        Ceremony.began_with,
        Ceremony.next_path,
        Ceremony.tries,
        Ceremony.expires_at,
    )
    its = and_(Ceremony.token_hash == token_hash(token), Ceremony.purpose == purpose)
    row = session.execute(select(*columns).where(its, _is_open(now))).one_or_none()
    return UnderWay(*row) if row else None


def count_try(session: Session, ceremony_id: UUID, *, now: datetime) -> int | None:
    """Use one try up and say how many are left; None where there was none any more."""
    counting = update(Ceremony).where(Ceremony.id == ceremony_id, _is_open(now)).values(tries=Ceremony.tries + 1)
    tries = session.scalar(counting.returning(Ceremony.tries))
    return None if tries is None else MOST_TRIES - tries


def set_challenge(session: Session, ceremony_id: UUID, challenge: bytes) -> None:
    """The challenge that the next answer of a passkey must hold; an earlier one is void."""
    session.execute(update(Ceremony).where(Ceremony.id == ceremony_id).values(challenge=challenge))


def take_challenge(session: Session, under_way: UnderWay) -> bytes | None:
    """The challenge, for one answer; None where there is none, or another request has taken it."""
    if under_way.challenge is None:
        return None
    mine = and_(Ceremony.id == under_way.id, Ceremony.challenge == under_way.challenge)
    taken = session.scalar(update(Ceremony).where(mine).values(challenge=None).returning(Ceremony.id))
    return under_way.challenge if taken else None


def finish(session: Session, ceremony_id: UUID, *, now: datetime) -> bool:
    """Use the ceremony up; False where it was used before."""
    using = update(Ceremony).where(Ceremony.id == ceremony_id, Ceremony.used_at.is_(None)).values(used_at=now)
    return session.scalar(using.returning(Ceremony.id)) is not None


def end_all(session: Session, user_id: UUID, *, now: datetime) -> None:
    """Whatever this person was in the middle of is over."""
    ending = update(Ceremony).where(Ceremony.user_id == user_id, Ceremony.used_at.is_(None))
    session.execute(ending.values(used_at=now))


def purge(session: Session, *, now: datetime) -> None:
    """Remove what is over, of sign-ins at the provider too."""
    session.execute(delete(Ceremony).where(Ceremony.expires_at <= now))
    session.execute(delete(ProviderSignIn).where(ProviderSignIn.expires_at <= now))


def _is_open(now: datetime) -> ColumnElement[bool]:
    return and_(Ceremony.used_at.is_(None), Ceremony.expires_at > now, Ceremony.tries < MOST_TRIES)
