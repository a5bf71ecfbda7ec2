"""The order in which transactions lock rows, so that no two of them wait for each other.

First a connection, then its way out (`pausing.lock`), then messages, then deliveries, several of one kind by their ids.
Of two that did, PostgreSQL would end one after a second ("deadlock detected"). SQLite has one writer at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, TextClause, select
from sqlalchemy.engine import Connection

from portal.outbox.models import Delivery, Message


def lock_messages(connection: Connection, message_ids: Collection[UUID]) -> None:
    """Of the parts of a message that end at the same time the last one shall see the ends of the others."""
    if message_ids:
        rows = select(Message.id).where(Message.id.in_(message_ids)).order_by(Message.id)
        connection.execute(rows.with_for_update(key_share=True)).all()


def locked(*conditions: ColumnElement[bool] | TextClause, skips_locked: bool = False) -> ColumnElement[bool]:
    """The condition of an UPDATE of deliveries that changes those which meet all of the conditions.

    `skips_locked` leaves out what others are writing at this moment, for whoever holds back what these may wait for.
    """
    rows = (
        select(Delivery.id)
        .where(*conditions)
        .order_by(Delivery.id)
        .with_for_update(key_share=True, skip_locked=skips_locked)
        .correlate(None)
    )
    return Delivery.id.in_(rows)
