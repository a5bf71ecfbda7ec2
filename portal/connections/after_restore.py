"""What of the connections must not live on in a restored copy: checks, consents under way, and their links."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.engine import Connection

from portal.connections.models import ConnectionCheck, ConsentFlow, ConsentInvitation


def let_go(connection: Connection) -> None:
    """Connections, their secrets and grants stay."""
    for table in (ConnectionCheck, ConsentFlow, ConsentInvitation):
        connection.execute(delete(table))
