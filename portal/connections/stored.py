"""Connections as they are stored, read as frozen values."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.connections import secrets
from portal.connections.models import Connection, ConnectionSecret
from portal.connections.values import ConnectionValues, Method, Role, SMTPValues
from portal.secret_box import SecretBox, Unreadable

_RANKS = {Role.DEFAULT: 0, Role.FALLBACK: 1, Role.AVAILABLE: 2, Role.DRAFT: 3}


@dataclass(frozen=True, kw_only=True)
class StoredConnection:
    """A connection without its secrets."""

    id: UUID
    values: ConnectionValues
    version: int
    changed_at: datetime
    changed_by: str
    password_stored_at: datetime | None  # None: none is stored
    password_is_readable: bool  # False where none is stored

    @property
    def lacks_password(self) -> bool:
        """Whether its way of signing in needs a password that is not there or cannot be opened."""
        is_needed = self.values.method is Method.SMTP and self.values.smtp.needs_password
        return is_needed and not self.password_is_readable


def find(session: Session, connection_id: UUID, *, box: SecretBox) -> StoredConnection | None:
    """The connection with this id."""
    row = session.get(Connection, connection_id)
    return _stored(row, secrets.find_password(session, row.id), box) if row else None


def find_named(session: Session, name: str, *, box: SecretBox) -> StoredConnection | None:
    """The connection with this name, in whatever case it is written."""
    row = session.scalars(select(Connection).where(Connection.name_key == name_key(name))).one_or_none()
    return _stored(row, secrets.find_password(session, row.id), box) if row else None


def find_default(session: Session, *, box: SecretBox) -> StoredConnection | None:
    """The default connection, None where there is none."""
    row = session.scalars(select(Connection).where(Connection.role == Role.DEFAULT)).one_or_none()
    return _stored(row, secrets.find_password(session, row.id), box) if row else None


def all_connections(session: Session, *, box: SecretBox) -> tuple[StoredConnection, ...]:
    """Every connection: the default, the fallbacks in their order, then by name, drafts last."""
    passwords = {row.connection_id: row for row in session.scalars(select(ConnectionSecret))}
    found = [_stored(row, passwords.get(row.id), box) for row in session.scalars(select(Connection))]
    return tuple(sorted(found, key=_place))


def name_key(name: str) -> str:
    """What makes two names the same."""
    return unicodedata.normalize("NFKC", name).casefold()


def values_of(row: Connection) -> ConnectionValues:
    """What people set, read from its row."""
    return ConnectionValues(
        name=row.name,
        method=Method(row.method),
        role=Role(row.role),
        fallback_order=row.fallback_order,
        smtp=SMTPValues.from_json(row.method_values.get(Method.SMTP)),
        from_address=row.from_address,
        display_name=row.display_name,
        reply_to=row.reply_to,
        envelope_from=row.envelope_from,
        messages_per_minute=row.messages_per_minute,
        max_connections=row.max_connections,
    )


def _stored(row: Connection, password: ConnectionSecret | None, box: SecretBox) -> StoredConnection:
    values = values_of(row)
    opened = secrets.open_password(password, values.smtp, box=box) if password else Unreadable("none is stored")
    return StoredConnection(
        id=row.id,
        values=values,
        version=row.version,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        password_stored_at=password.stored_at if password else None,
        password_is_readable=not isinstance(opened, Unreadable),
    )


def _place(one: StoredConnection) -> tuple[int, int, str]:
    return _RANKS[one.values.role], one.values.fallback_order or 0, name_key(one.values.name)
