"""API keys: made, shown once, kept as their SHA-256, replaced one by another, revoked."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from portal import audit
from portal.servers.models import Server, ServerKey
from portal.servers.stored import ChangeRefused, lock_or_refuse
from portal.servers.values import KEY_KINDS, SCOPES
from portal.wording import N_

KEY_START = "mp_"
MOST_KEYS = 50  # of one server that are alive
OLD_KEY_LASTS = timedelta(days=7)  # once another takes its place
_SHOWN = 11  # characters
_SHAPE = re.compile(r"mp_(?:live|test|team)_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, kw_only=True)
class KeyValues:
    """What a key may do. Empty lists restrict nothing beyond what the server may."""

    name: str = ""
    scopes: tuple[str, ...] = ("send",)
    kind: str = "live"
    allowed_senders: tuple[str, ...] = ()
    allowed_recipients: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A key as pages show it."""

    id: UUID
    shown_start: str
    values: KeyValues
    successor_id: UUID | None  # the key that is to take its place, unless that was revoked
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_alive(self, now: datetime) -> bool:
        """Whether it opens anything."""
        expires_at = self.values.expires_at
        return self.revoked_at is None and (expires_at is None or expires_at > now)


@dataclass(frozen=True)
class Replacement:
    """A key that takes the place of another. `text` is readable this once."""

    text: str = field(repr=False)
    expires_at: datetime | None


def of_server(session: Session, server_id: UUID) -> tuple[StoredKey, ...]:
    """The keys of a server, the newest first."""
    query = select(ServerKey).where(ServerKey.server_id == server_id)
    found = session.scalars(query.order_by(ServerKey.created_at.desc(), ServerKey.id)).all()
    revoked = {row.id for row in found if row.revoked_at is not None}
    return tuple(_stored(row, revoked) for row in found)


def create(session: Session, server_id: UUID, values: KeyValues, *, actor: audit.Actor, now: datetime) -> str:
    """Make a key and return it: it is readable this once. Raises ChangeRefused."""
    server = lock_or_refuse(session, server_id)
    _refuse_bad(values, now)
    _refuse_too_many(session, server_id, now)
    _id, text = _add(session, server, values, actor=actor, now=now)
    return text


def rotate(session: Session, server_id: UUID, key_id: UUID, *, actor: audit.Actor, now: datetime) -> Replacement:
    """Make the key that takes the place of another, may do the same and lasts as long, counted from now.

    The old one lasts seven days more at most, so that both work while the application is changed. Raises ChangeRefused
    where the key is dead or being replaced already.
    """
    server = lock_or_refuse(session, server_id)
    row = _row(session, server_id, key_id)
    old = _stored(row)
    if not old.is_alive(now):
        raise ChangeRefused(N_("This key is dead already. Make a new one."))
    former = session.get(ServerKey, row.successor_id, populate_existing=True) if row.successor_id else None
    if former is not None and former.revoked_at is None:
        raise ChangeRefused(N_("Another key takes the place of this one already. Revoke one of the two first."))
    _refuse_too_many(session, server_id, now)
    # A former replacement was to last as long as this key at first; the end of this one has come nearer since.
    values = replace(old.values, expires_at=_lasting_as(former or row, now))
    row.successor_id, text = _add(session, server, values, replaces=row, actor=actor, now=now)
    ends_at = now + OLD_KEY_LASTS
    row.expires_at = min(row.expires_at or ends_at, ends_at)
    session.flush()
    return Replacement(text, values.expires_at)


def revoke(session: Session, server_id: UUID, key_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """The key is dead at once; what it queued still leaves. One that is revoked already stays so.

    A key whose place it was to take may be replaced anew.
    """
    server = lock_or_refuse(session, server_id)
    row = _row(session, server_id, key_id)
    if row.revoked_at is not None:
        return
    row.revoked_at = now
    session.flush()
    changes = {"key": (_called(row), None)}
    audit.record(
        session, action="server.key_revoked", actor=actor, subject=f"server {server.name}", changes=changes, now=now
    )


def key_hash(text: str) -> bytes:
    """What is stored and looked up. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def could_be_key(text: str) -> bool:
    """Whether the text has a key's shape, so that rubbish is answered without asking the database."""
    return _SHAPE.fullmatch(text) is not None


def is_alive(now: datetime) -> ColumnElement[bool]:
    """The condition that a key opens something."""
    return ServerKey.revoked_at.is_(None) & or_(ServerKey.expires_at.is_(None), ServerKey.expires_at > now)


def _lasting_as(row: ServerKey, now: datetime) -> datetime | None:
    return now + (row.expires_at - row.created_at) if row.expires_at else None


def _add(
    session: Session,
    server: Server,
    values: KeyValues,
    *,
    replaces: ServerKey | None = None,
    actor: audit.Actor,
    now: datetime,
) -> tuple[UUID, str]:
    text = f"{KEY_START}{values.kind}_{secrets.token_urlsafe(32)}"
    row = ServerKey(
        id=uuid4(),
        server_id=server.id,
        name=values.name,
        shown_start=text[: _SHOWN + 1],
        hash=key_hash(text),
        scopes=list(values.scopes),
        kind=values.kind,
        allowed_senders=list(values.allowed_senders),
        allowed_recipients=list(values.allowed_recipients),
        created_at=now,
        created_by=actor.name,
        expires_at=values.expires_at,
    )
    session.add(row)
    session.flush()
    changes: dict[str, tuple[str | None, str | None]] = {
        "key": (None, _called(row)),
        "kind": (None, values.kind),
        "scopes": (None, ", ".join(values.scopes)),
        "allowed_senders": (None, ", ".join(values.allowed_senders) or None),
        "allowed_recipients": (None, ", ".join(values.allowed_recipients) or None),
        "expires_at": (None, values.expires_at.isoformat() if values.expires_at else None),
        "replaces": (None, _called(replaces) if replaces else None),
    }
    subject = f"server {server.name}"
    audit.record(session, action="server.key_created", actor=actor, subject=subject, changes=changes, now=now)
    return row.id, text


def _called(row: ServerKey) -> str:
    return f"{row.name} ({row.shown_start}…)" if row.name else f"{row.shown_start}…"


def _refuse_bad(values: KeyValues, now: datetime) -> None:
    if not values.scopes or not set(values.scopes) <= set(SCOPES) or values.kind not in KEY_KINDS:
        raise ChangeRefused(N_("Choose at least one scope: send, read or settings."))
    if values.expires_at is not None and values.expires_at <= now:
        raise ChangeRefused(N_("The key would have expired already. Choose a later day, or none."))


def _refuse_too_many(session: Session, server_id: UUID, now: datetime) -> None:
    alive = select(func.count()).select_from(ServerKey).where(ServerKey.server_id == server_id, is_alive(now))
    if (session.scalar(alive) or 0) >= MOST_KEYS:
        raise ChangeRefused(N_("A server has at most %(most)s keys. Revoke one that is not needed.", most=MOST_KEYS))


def _row(session: Session, server_id: UUID, key_id: UUID) -> ServerKey:
    query = select(ServerKey).where(ServerKey.id == key_id, ServerKey.server_id == server_id)
    row = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise ChangeRefused(N_("This key was deleted."))
    return row


def _stored(row: ServerKey, revoked: Collection[UUID] = ()) -> StoredKey:
    return StoredKey(
        id=row.id,
        shown_start=row.shown_start,
        values=KeyValues(
            name=row.name,
            scopes=_tuple(row.scopes),
            kind=row.kind,
            allowed_senders=_tuple(row.allowed_senders),
            allowed_recipients=_tuple(row.allowed_recipients),
            expires_at=row.expires_at,
        ),
        successor_id=None if row.successor_id in revoked else row.successor_id,
        created_at=row.created_at,
        created_by=row.created_by,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _tuple(stored: Sequence[str]) -> tuple[str, ...]:
    return tuple(stored)
