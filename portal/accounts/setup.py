"""The first administrator: by a one-time address printed at the start, or unattended from the environment.

The set-up happens once. It is closed for good by the first administrator, however that one came to be.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import sessions
from portal.accounts.models import Setup, User
from portal.accounts.people import NewPerson, add_user, prepare_user
from portal.accounts.sign_in import SignedIn, Visitor
from portal.accounts.tokens import new_token, token_hash

_ONLY_ROW = 1


@dataclass(frozen=True)
class FirstAdministrator:
    """What somebody gave, unchecked."""

    email: str
    name: str
    password: str = field(repr=False)


def is_open(session: Session) -> bool:
    """Whether this portal still waits for its first administrator."""
    closed = select(Setup.id).where(Setup.closed_at.is_not(None))
    admin = select(User.id).where(User.role == "admin")
    return session.scalar(select(or_(closed.exists(), admin.exists()))) is False


def ensure_setup_token(session: Session, now: datetime) -> str | None:
    """A new token for the set-up address, None once there is an administrator. The former token is void.

    An administrator added in another way closes the set-up here, so that it does not open again without one.
    """
    _make_row(session)
    if not is_open(session):
        _close(session, now)
        return None
    token = new_token()
    session.execute(update(Setup).where(Setup.id == _ONLY_ROW).values(token_hash=token_hash(token)))
    return token


def is_setup_token(session: Session, token: str) -> bool:
    """Whether the set-up is open and this is its token."""
    stored = session.scalar(select(Setup.token_hash).where(Setup.id == _ONLY_ROW))
    return stored is not None and hmac.compare_digest(stored, token_hash(token)) and is_open(session)


def prepare(session: Session, first: FirstAdministrator, *, public_host: str) -> NewPerson:
    """Check what was given and hash the password; before any unit of work.

    Raises AddressError, WeakPassword, TooBusy, NotAdded.
    """
    return prepare_user(
        session, email=first.email, role="admin", password=first.password, name=first.name, public_host=public_host
    )


def set_up(session: Session, token: str, first: NewPerson, *, visitor: Visitor, now: datetime) -> SignedIn | None:
    """Make the first administrator and sign in; None where the token opens nothing (any more).

    Raises NotAdded where somebody has got the address meanwhile: the token then works on.
    """
    if not is_setup_token(session, token):
        return None
    first = replace(first, language=visitor.language)
    user_id = _first_admin(session, first, address=visitor.address, now=now)
    if user_id is None:
        return None
    begun = sessions.start(session, user_id, address=visitor.address, agent=visitor.agent, now=now)
    return SignedIn(user_id, begun)


def create_first_admin(session: Session, first: NewPerson, now: datetime) -> UUID | None:
    """As the environment asks: make the first administrator, None where there is one already. Raises NotAdded."""
    if not is_open(session):
        return None
    return _first_admin(session, first, address="", now=now)


def _first_admin(session: Session, first: NewPerson, *, address: str, now: datetime) -> UUID | None:
    """Of two at once, one closes the set-up and adds its administrator."""
    _make_row(session)
    if not _close(session, now):
        return None
    return add_user(session, first, actor=audit.Actor(None, "set-up", address), now=now)


def _close(session: Session, now: datetime) -> bool:
    """Close the set-up for good; False where it was closed before."""
    closing = update(Setup).where(Setup.id == _ONLY_ROW, Setup.closed_at.is_(None))
    closed = session.scalar(closing.values(closed_at=now, token_hash=None).returning(Setup.id))
    return closed is not None


def _make_row(session: Session) -> None:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Setup).values(id=_ONLY_ROW).on_conflict_do_nothing())
