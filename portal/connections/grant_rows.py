"""Grants as rows: kept and dropped with what people do to their connections. Renewing them is `grants`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from portal.connections.grant_sealing import grant_to_text, stored_context
from portal.connections.models import Connection, ConnectionGrant
from portal.connections.oauth.provider import Grant
from portal.connections.values import ConnectionValues, Method
from portal.secret_box import SecretBox

ALIVE = MappingProxyType({"dead_code": "", "dead_said": "", "dead_at": None, "dead_for": None, "told_at": None})


def store(
    session: Session, connection_id: UUID, values: ConnectionValues, grant: Grant, *, box: SecretBox, now: datetime
) -> None:
    """Keep what somebody consented to, in place of the grant before; of two at once the later stays."""
    session.execute(select(Connection.id).where(Connection.id == connection_id).with_for_update())
    session.execute(delete(ConnectionGrant).where(*mine(connection_id, values.method)))
    session.add(new_row(connection_id, values, grant, box=box, now=now))
    session.flush()


def forget(session: Session, connection_id: UUID, method: Method) -> None:
    """Drop the grant."""
    session.execute(delete(ConnectionGrant).where(*mine(connection_id, method)))


def forget_all(session: Session, connection_id: UUID) -> tuple[str, ...]:
    """Drop the grants of every method; returns whose consent they were."""
    dropped = delete(ConnectionGrant).where(ConnectionGrant.connection_id == connection_id)
    accounts = session.scalars(dropped.returning(ConnectionGrant.account)).all()
    return tuple(sorted(account for account in accounts if account))


def outdate(session: Session, connection_id: UUID, *, now: datetime) -> None:
    """Let no token that was given before a change at `now` serve after it, even one that came while it was made."""
    those = ConnectionGrant.connection_id == connection_id, ConnectionGrant.renewed_at >= now
    session.execute(update(ConnectionGrant).where(*those).values(renewed_at=now - timedelta(microseconds=1)))


def forget_moved(session: Session, connection_id: UUID, before: ConnectionValues, after: ConnectionValues) -> str:
    """Drop what was granted to another application or for another server; returns whose consent that was, or ""."""
    if not is_moved(connection_id, before, after):
        return ""
    dropped = delete(ConnectionGrant).where(*mine(connection_id, after.method)).returning(ConnectionGrant.account)
    return session.scalar(dropped) or ""


def is_moved(connection_id: UUID, before: ConnectionValues, after: ConnectionValues) -> bool:
    """Whether a grant for the method in use would be another application's, or for another server."""
    was = replace(before, method=after.method)
    return stored_context(connection_id, was) != stored_context(connection_id, after)


def new_row(
    connection_id: UUID, values: ConnectionValues, grant: Grant, *, box: SecretBox, now: datetime
) -> ConnectionGrant:
    """A row that nobody has added to a session yet."""
    alive: dict[str, Any] = dict(ALIVE)
    return ConnectionGrant(
        connection_id=connection_id,
        method=values.method,
        sealed=box.seal(grant_to_text(grant), stored_context(connection_id, values)),
        account=grant.account,
        expires_at=grant.expires_at,
        obtained_at=now,
        renewed_at=now,
        secret_slot=grant.secret_slot,
        **alive,
    )


def mine(connection_id: UUID, method: Method) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The conditions that name the row of a connection's method."""
    return ConnectionGrant.connection_id == connection_id, ConnectionGrant.method == method
