"""Who is signed in: the portal's own session table, so that a session can be ended on the server.

A session ends after an hour without activity, after twelve hours in any case, and with its account. Disabling
an account or changing its role acts at the next request, since the account is read with every request.
Source: OWASP ASVS 5.0 V7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.accounts.models import User, UserSession
from portal.accounts.tokens import could_be_token, new_token, token_hash
from portal.database import writing

IDLE = timedelta(minutes=60)
LIFETIME = timedelta(hours=12)
MARK_EVERY = timedelta(minutes=5)
KEEP_ENDED = timedelta(days=7)  # rows of ended sessions are removed after that


@dataclass(frozen=True)
class ActiveSession:
    """A session that holds, with its account as it is now."""

    id: UUID
    user_id: UUID
    email: str
    name: str
    role: str
    confirmed_at: datetime


def start(session: Session, user_id: UUID, *, address: str, agent: str, now: datetime) -> str:
    """Begin a session for somebody who has just given the password; returns its cookie's token."""
    token = new_token()
    session.add(
        UserSession(
            id=uuid4(),
            token_hash=token_hash(token),
            user_id=user_id,
            created_at=now,
            last_seen_at=now,
            confirmed_at=now,
            address=address[:64],
            agent=_printable(agent)[:300],
        )
    )
    session.flush()
    return token


def resume(engine: Engine, token: str, *, now: datetime, is_activity: bool) -> ActiveSession | None:
    """The session of a cookie, None where it has ended or there never was one.

    Activity is marked at most every five minutes, in a transaction of its own; what a page fetches by itself is
    no activity, or an open page would never sign out.
    """
    if not could_be_token(token):
        return None
    of_session = (UserSession.id, UserSession.user_id, UserSession.last_seen_at, UserSession.confirmed_at)
    found = select(*of_session, User.email, User.name, User.role).join(User, User.id == UserSession.user_id)
    with engine.connect() as connection:
        row = connection.execute(found.where(_holds(token_hash(token), now))).one_or_none()
    if row is None:
        return None
    if is_activity and now - row.last_seen_at >= MARK_EVERY:
        with writing(engine).begin() as connection:
            connection.execute(update(UserSession).where(UserSession.id == row.id).values(last_seen_at=now))
    return ActiveSession(row.id, row.user_id, row.email, row.name, row.role, row.confirmed_at)


def confirm(session: Session, session_id: UUID, *, now: datetime) -> None:
    """The password was given again in this session."""
    session.execute(update(UserSession).where(UserSession.id == session_id).values(confirmed_at=now))


def end(session: Session, session_id: UUID, *, now: datetime) -> None:
    """Sign out: the cookie is worth nothing from now on."""
    ending = update(UserSession).where(UserSession.id == session_id, UserSession.ended_at.is_(None))
    session.execute(ending.values(ended_at=now))


def end_all(session: Session, user_id: UUID, *, now: datetime) -> None:
    """Sign somebody out everywhere."""
    ending = update(UserSession).where(UserSession.user_id == user_id, UserSession.ended_at.is_(None))
    session.execute(ending.values(ended_at=now))


def purge(session: Session, *, now: datetime) -> None:
    """Remove rows of sessions that ended, or outlived LIFETIME, a week ago."""
    past = now - KEEP_ENDED
    gone = or_(UserSession.ended_at < past, UserSession.created_at < past - LIFETIME)
    session.execute(delete(UserSession).where(gone))


def _holds(hashed: bytes, now: datetime) -> ColumnElement[bool]:
    return and_(
        UserSession.token_hash == hashed,
        UserSession.ended_at.is_(None),
        UserSession.created_at > now - LIFETIME,
        UserSession.last_seen_at > now - IDLE,
        User.is_disabled.is_(False),
    )


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
