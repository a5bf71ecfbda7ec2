"""Who is signed in: the portal's own session table, so that a session can be ended on the server.

A session ends after an hour without activity, after twelve hours in any case, and with its account. Disabling
an account or changing its role acts at the next request, since the account is read with every request.
Source: OWASP ASVS 5.0 V7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.accounts import ceremonies
from portal.accounts.models import User, UserSession
from portal.accounts.tokens import could_be_token, new_token, token_hash
from portal.database import writing

IDLE = timedelta(minutes=60)
LIFETIME = timedelta(hours=12)
MARK_EVERY = timedelta(minutes=5)
NOT_CONFIRMED = datetime(1970, 1, 1, tzinfo=UTC)  # a session whose beginning proved nothing that is fresh
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
    language: str
    time_zone: str


def start(
    session: Session,
    user_id: UUID,
    *,
    address: str,
    agent: str,
    signed_in_with: str = "password",
    confirmed_at: datetime | None = None,
    now: datetime,
) -> str:
    """Begin a session; returns its cookie's token. `confirmed_at` is when the person proved who it is: None is now."""
    token = new_token()
    session.add(
        UserSession(
            id=uuid4(),
            token_hash=token_hash(token),
            user_id=user_id,
            created_at=now,
            last_seen_at=now,
            confirmed_at=confirmed_at or now,
            signed_in_with=signed_in_with,
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
    of_person = (User.email, User.name, User.role, User.language, User.time_zone)
    found = select(*of_session, *of_person).join(User, User.id == UserSession.user_id)
    with engine.connect() as connection:
        row = connection.execute(found.where(_holds(token_hash(token), now))).one_or_none()
    if row is None:
        return None
    if is_activity and now - row.last_seen_at >= MARK_EVERY:
        with writing(engine).begin() as connection:
            connection.execute(update(UserSession).where(UserSession.id == row.id).values(last_seen_at=now))
    own = (row.email, row.name, row.role, row.confirmed_at, row.language, row.time_zone)
    return ActiveSession(row.id, row.user_id, *own)


def confirm(session: Session, session_id: UUID, *, now: datetime) -> None:
    """The password was given again in this session."""
    session.execute(update(UserSession).where(UserSession.id == session_id).values(confirmed_at=now))


def take_confirmation(engine: Engine, session_id: UUID, confirmed_at: datetime) -> bool:
    """Use the confirmation of that very moment up; False where it was used, or another one took its place.

    It counts for pages that ask every time, which are opened by a GET: a short write of its own before the page. The
    moment moves by the least step that is stored, so that what a browser kept of it fits no more.
    """
    its = and_(UserSession.id == session_id, UserSession.confirmed_at == confirmed_at)
    taking = update(UserSession).where(its).values(confirmed_at=confirmed_at - timedelta(microseconds=1))
    with writing(engine).begin() as connection:
        return connection.scalar(taking.returning(UserSession.id)) is not None


def is_open(session: Session, session_id: UUID, user_id: UUID) -> bool:
    """Whether this person's session has not been ended."""
    its = and_(UserSession.id == session_id, UserSession.user_id == user_id, UserSession.ended_at.is_(None))
    return session.scalar(select(UserSession.id).where(its)) is not None


def end(session: Session, session_id: UUID, *, now: datetime) -> None:
    """Sign out: the cookie is worth nothing from now on."""
    ending = update(UserSession).where(UserSession.id == session_id, UserSession.ended_at.is_(None))
    session.execute(ending.values(ended_at=now))


def end_all(session: Session, user_id: UUID, *, now: datetime) -> None:
    """Sign somebody out everywhere; a sign-in that waits for its second factor ends too.

    Whoever begins a session locks the account's row, so that none begins unseen beside this.
    """
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    ceremonies.end_all(session, user_id, now=now)
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
