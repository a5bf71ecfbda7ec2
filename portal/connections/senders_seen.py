"""What the newest dry run of a connection says of its From address."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.models import Connection, ConnectionCheck
from portal.connections.senders import find_settings, sender_of

_SAY_SO = frozenset({"sender", "mailbox"})  # the steps that try it


def senders_seen(session: Session, connection_id: UUID) -> list[tuple[str, bool]]:
    """The From address of a connection, and whether its newest check was let through with it; else nothing.

    A check that began before the connection was changed says nothing of what it is now.
    """
    newest = session.scalars(
        select(ConnectionCheck)
        .join(Connection, Connection.id == ConnectionCheck.connection_id)
        .where(ConnectionCheck.connection_id == connection_id, ConnectionCheck.ended_at.is_not(None))
        .where(ConnectionCheck.created_at >= Connection.changed_at)
        .order_by(ConnectionCheck.created_at.desc())
        .limit(1)
    ).one_or_none()
    values = find_settings(session, connection_id)
    if newest is None or values is None:
        return []
    said = [step["status"] for step in newest.steps if step["step"] in _SAY_SO]
    address = sender_of(values, email_settings.load(session)).from_address
    if not address or not said or said[-1] not in {"pass", "fail"}:
        return []
    return [(address, said[-1] == "pass")]
