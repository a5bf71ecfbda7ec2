"""The browsers that somebody is signed in with, and ending them one by one or all others at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import ceremonies, people, sessions
from portal.accounts.models import UserSession
from portal.accounts.session_devices import device_of
from portal.wording import N_, Text

WAYS = {"password": N_("Password"), "passkey": N_("Passkey"), "provider": N_("Provider")}


@dataclass(frozen=True)
class ListedSession:
    """A session that holds. `address` is the client's."""

    id: UUID
    device: Text
    address: str
    signed_in_at: datetime
    last_seen_at: datetime
    signed_in_with: str
    is_this: bool

    @property
    def way(self) -> Text | str:
        return WAYS.get(self.signed_in_with, self.signed_in_with)


def listed(session: Session, user_id: UUID, *, this: UUID, now: datetime) -> tuple[ListedSession, ...]:
    """Somebody's sessions that hold: `this` first, then the one that was seen latest."""
    held = select(UserSession).where(UserSession.user_id == user_id, holds(now))
    rows = session.scalars(held.order_by(UserSession.last_seen_at.desc(), UserSession.id))
    found = [
        ListedSession(
            row.id,
            device_of(row.agent),
            row.address,
            row.created_at,
            row.last_seen_at,
            row.signed_in_with,
            row.id == this,
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda one: not one.is_this))


def end_one(session: Session, session_id: UUID, *, actor: audit.Actor, now: datetime) -> bool:
    """Sign one browser of the actor out; False where the actor has no such session."""
    owned = and_(UserSession.id == session_id, UserSession.user_id == actor.user_id, holds(now))
    agent = session.scalar(select(UserSession.agent).where(owned))
    if agent is None:
        return False
    sessions.end(session, session_id, now=now)
    _record(session, str(device_of(agent)), actor=actor, now=now)
    return True


def end_others(session: Session, *, but: UUID, actor: audit.Actor, now: datetime) -> int:
    """Sign the actor out everywhere but in the session `but`; how many sessions that were.

    A sign-in that waits for its second factor ends too. None begins unseen beside this.
    """
    if actor.user_id is None or people.lock(session, actor.user_id) is None:
        return 0
    ceremonies.end_all(session, actor.user_id, now=now)
    others = update(UserSession).where(UserSession.user_id == actor.user_id, UserSession.id != but, holds(now))
    ended = session.scalars(
        others.values(ended_at=now).returning(UserSession.agent).execution_options(synchronize_session=False)
    ).all()
    if ended:
        _record(session, ", ".join(sorted({str(device_of(agent)) for agent in ended})), actor=actor, now=now)
    return len(ended)


def holds(now: datetime) -> ColumnElement[bool]:
    """Whether a session has neither been ended nor outlived itself."""
    return and_(
        UserSession.ended_at.is_(None),
        UserSession.created_at > now - sessions.LIFETIME,
        UserSession.last_seen_at > now - sessions.IDLE,
    )


def _record(session: Session, devices: str, *, actor: audit.Actor, now: datetime) -> None:
    person = people.get(session, actor.user_id) if actor.user_id else None
    subject, changes = person.email if person else actor.name, {"sessions": (devices, None)}
    audit.record(session, action="user.sessions_ended", actor=actor, subject=subject, changes=changes, now=now)
