"""The rows of `way_out_state`: made when first needed, locked while they are decided on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection

from portal.outbox.models import WayOutRecord

_TABLE = WayOutRecord.__table__


def ensure_row(connection: Connection, connection_id: UUID, sender: str = "") -> None:
    """Make the row unless it stands; two workers may try at the same time."""
    values = {
        "connection_id": connection_id,
        "sender": sender,
        "status": "ready",
        "cause": "",
        "code": "",
        "step": "",
        "said": "",
        "failures": 0,
    }
    if connection.dialect.name == "postgresql":
        connection.execute(postgresql_insert(WayOutRecord).values(values).on_conflict_do_nothing())
    else:
        connection.execute(sqlite_insert(WayOutRecord).values(values).on_conflict_do_nothing())


def locked_row(connection: Connection, connection_id: UUID, sender: str = "") -> Row[Any]:
    """The row, locked until the transaction ends."""
    ensure_row(connection, connection_id, sender)
    return connection.execute(
        select(_TABLE).where(_TABLE.c.connection_id == connection_id, _TABLE.c.sender == sender).with_for_update()
    ).one()
