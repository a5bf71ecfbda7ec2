"""Connections as they are stored, read as frozen values."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections import secrets
from portal.connections.grant_sealing import GrantState, grant_state
from portal.connections.models import Connection, ConnectionGrant
from portal.connections.secrets import SecretState, needed_secret
from portal.connections.senders import as_sent
from portal.connections.stored_values import values_of
from portal.connections.values import (
    CONSENT_METHODS,
    NEXT_CLIENT_SECRET,
    PASSWORD,
    ConnectionValues,
    Method,
    Role,
)
from portal.secret_box import SecretBox

_RANKS = {Role.DEFAULT: 0, Role.FALLBACK: 1, Role.AVAILABLE: 2, Role.DRAFT: 3}


@dataclass(frozen=True, kw_only=True)
class StoredConnection:
    """A connection without its secrets."""

    id: UUID
    values: ConnectionValues
    version: int
    changed_at: datetime
    changed_by: str
    secrets_by_method: Mapping[Method, Mapping[str, SecretState]]  # then by field
    as_sent: ConnectionValues  # the same values with the From address that mail bears, be it the organisation's
    grant: GrantState | None  # of the method in use; None: nobody has consented

    @property
    def secrets(self) -> Mapping[str, SecretState]:
        """Those of the method in use, by field."""
        return self.secrets_of(self.values.method)

    def secrets_of(self, method: Method) -> Mapping[str, SecretState]:
        """Those of a method, by field: each method keeps its own."""
        return self.secrets_by_method.get(method, {})

    @property
    def lacks_secret(self) -> bool:
        """Whether its method needs a secret that is not there or cannot be opened."""
        field = needed_secret(self.values)
        return field is not None and not self._is_readable(field)

    @property
    def lacks_consent(self) -> bool:
        """Whether somebody has to consent, for the first time or again."""
        return self.values.method in CONSENT_METHODS and (self.grant is None or not self.grant.is_good)

    @property
    def uses_next_secret(self) -> bool:
        """Whether the provider refused the client secret and took the next one, which should take its place."""
        return self.grant is not None and self.grant.secret_slot == 2 and NEXT_CLIENT_SECRET in self.secrets

    @property
    def password_stored_at(self) -> datetime | None:
        """When the SMTP password was stored, None where none is."""
        return self.secrets[PASSWORD].stored_at if PASSWORD in self.secrets else None

    @property
    def password_is_readable(self) -> bool:
        """Whether the SMTP password is there and can be opened."""
        return self._is_readable(PASSWORD)

    def _is_readable(self, field: str) -> bool:
        return field in self.secrets and self.secrets[field].is_readable


def find(session: Session, connection_id: UUID, *, box: SecretBox) -> StoredConnection | None:
    """The connection with this id."""
    row = session.get(Connection, connection_id)
    return _stored(session, row, box) if row else None


def find_named(session: Session, name: str, *, box: SecretBox) -> StoredConnection | None:
    """The connection with this name, in whatever case it is written."""
    row = session.scalars(select(Connection).where(Connection.name_key == name_key(name))).one_or_none()
    return _stored(session, row, box) if row else None


def find_default(session: Session, *, box: SecretBox) -> StoredConnection | None:
    """The default connection, None where there is none."""
    row = session.scalars(select(Connection).where(Connection.role == Role.DEFAULT)).one_or_none()
    return _stored(session, row, box) if row else None


def all_connections(session: Session, *, box: SecretBox) -> tuple[StoredConnection, ...]:
    """Every connection: the default, the fallbacks in their order, then by name, drafts last."""
    found = [_stored(session, row, box) for row in session.scalars(select(Connection))]
    return tuple(sorted(found, key=_place))


def connection_names(session: Session) -> dict[str, UUID]:
    """The ids of all connections by their names."""
    return {row.name: row.id for row in session.execute(select(Connection.name, Connection.id))}


def name_key(name: str) -> str:
    """What makes two names the same."""
    return unicodedata.normalize("NFKC", name).casefold()


def _stored(session: Session, row: Connection, box: SecretBox) -> StoredConnection:
    values = values_of(row)
    sent = as_sent(values, email_settings.load(session))
    grant = session.get(ConnectionGrant, (row.id, str(values.method)))
    return StoredConnection(
        id=row.id,
        values=values,
        version=row.version,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        secrets_by_method=secrets.states_by_method(session, row.id, values, box=box),
        as_sent=sent,
        grant=grant_state(grant, sent, box=box) if grant else None,
    )


def _place(one: StoredConnection) -> tuple[int, int, str]:
    return _RANKS[one.values.role], one.values.fallback_order or 0, name_key(one.values.name)
