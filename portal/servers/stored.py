"""Servers as they are stored, read as frozen values."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.servers.models import Server
from portal.servers.values import ServerValues
from portal.wording import N_, Text

LONGEST_KEY = 200  # characters, as the column has them: one letter may fold into eighteen


class ChangeRefused(Exception):
    """What was asked of a server's keys, log-ins or webhooks is not done; `reason` says why."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class StoredServer:
    """A server without its keys and log-ins."""

    id: UUID
    values: ServerValues
    version: int
    changed_at: datetime
    changed_by: str
    last_seen_at: datetime | None


def find(session: Session, server_id: UUID) -> StoredServer | None:
    """The server with this id."""
    row = session.get(Server, server_id)
    return _stored(row) if row else None


def lock(session: Session, server_id: UUID) -> Server | None:
    """The row as it is now, locked: whoever changes a server, or its keys, waits for whoever does so already."""
    query = select(Server).where(Server.id == server_id).with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def lock_or_refuse(session: Session, server_id: UUID) -> Server:
    """As `lock`. Raises ChangeRefused where the server is gone."""
    row = lock(session, server_id)
    if row is None:
        raise ChangeRefused(N_("This server was deleted."))
    return row


def lock_all(session: Session) -> None:
    """Every row as it is now, locked, always in the same order: for whoever changes several by what is stored."""
    every = select(Server).order_by(Server.id).with_for_update().execution_options(populate_existing=True)
    session.scalars(every).all()


def find_locked(session: Session, server_id: UUID) -> StoredServer | None:
    """The same as it is now, locked: for whoever changes one value and keeps the others."""
    row = lock(session, server_id)
    return _stored(row) if row else None


def find_named(session: Session, name: str) -> StoredServer | None:
    """The server with this name, in whatever case it is written."""
    row = session.scalars(select(Server).where(Server.name_key == name_key(name))).one_or_none()
    return _stored(row) if row else None


def all_servers(session: Session) -> tuple[StoredServer, ...]:
    """Every server, by name."""
    return tuple(_stored(row) for row in session.scalars(select(Server).order_by(Server.name_key)))


def name_key(name: str) -> str:
    """What makes two names the same."""
    return unicodedata.normalize("NFKC", name).casefold()[:LONGEST_KEY]


def values_of(row: Server) -> ServerValues:
    """What people set, read from its row."""
    return ServerValues(
        name=row.name,
        description=row.description,
        is_enabled=row.is_enabled,
        is_exempt=row.is_exempt,
        from_address=row.from_address,
        display_name=row.display_name,
        reply_to=row.reply_to,
        automatic_bcc=row.automatic_bcc,
        format=row.format,
        connection_id=row.connection_id,
        fallback_ids=None if row.fallback_ids is None else tuple(map(UUID, row.fallback_ids)),
        messages_per_minute=row.messages_per_minute,
        messages_per_day=row.messages_per_day,
        largest_message=row.largest_message,
        most_recipients=row.most_recipients,
        allowed_senders=tuple(row.allowed_senders),
        unlisted_sender=row.unlisted_sender,
        networks=tuple(row.networks),
        legacy_networks=tuple(row.legacy_networks),
        allows_cram_md5=row.allows_cram_md5,
        variables=dict(row.variables),
    )


def _stored(row: Server) -> StoredServer:
    return StoredServer(
        id=row.id,
        values=values_of(row),
        version=row.version,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        last_seen_at=row.last_seen_at,
    )
