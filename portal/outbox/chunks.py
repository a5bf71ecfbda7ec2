"""Large contents in pieces, written before their message, so that the transaction that stores it stays short.

The body's own row then has an empty content, which no packed content is. Until the message is stored, a row of
`unfinished_body` stands for the pieces: what a killed process leaves is found by it and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from portal.outbox.models import MessageBodyChunk, UnfinishedBody

LARGE = 256 * 1024  # octets as stored; what is larger is written in pieces of this size
ABANDONED_AFTER = timedelta(hours=1)  # far longer than any process needs from the first piece to the message


def write(
    begin: Callable[[], AbstractContextManager[Connection]], message_id: UUID, stored: bytes, *, begun_at: datetime
) -> None:
    """Write the pieces, each in a transaction of its own that `begin` opens."""
    for number, start in enumerate(range(0, len(stored), LARGE)):
        piece = {"message_id": message_id, "number": number, "content": stored[start : start + LARGE]}
        with begin() as connection:
            if number == 0:
                connection.execute(insert(UnfinishedBody), [{"message_id": message_id, "begun_at": begun_at}])
            connection.execute(insert(MessageBodyChunk), [piece])


def finish(connection: Connection, message_ids: Collection[UUID]) -> bool:
    """The messages are stored in this transaction. False when pieces were dropped meanwhile."""
    finished = connection.execute(delete(UnfinishedBody).where(UnfinishedBody.message_id.in_(message_ids)))
    return finished.rowcount == len(message_ids)


def whole(connection: Connection, message_id: UUID) -> bytes:
    """The pieces joined; b"" where there are none."""
    pieces = select(MessageBodyChunk.content).where(MessageBodyChunk.message_id == message_id)
    return b"".join(connection.scalars(pieces.order_by(MessageBodyChunk.number)))


def drop(connection: Connection, message_ids: Collection[UUID]) -> None:
    """Drop the pieces of bodies that are gone."""
    connection.execute(delete(MessageBodyChunk).where(MessageBodyChunk.message_id.in_(message_ids)))


def drop_unfinished(connection: Connection, message_ids: Collection[UUID]) -> None:
    """Drop the pieces of messages that were not stored after all; those of stored ones stay."""
    unfinished = delete(UnfinishedBody).where(UnfinishedBody.message_id.in_(message_ids))
    drop(connection, connection.scalars(unfinished.returning(UnfinishedBody.message_id)).all())


def drop_abandoned(connection: Connection, now: datetime, *, at_most: int = 100) -> int:
    """Drop what processes began to write and never stored; returns of how many messages."""
    abandoned = select(UnfinishedBody.message_id).where(UnfinishedBody.begun_at <= now - ABANDONED_AFTER).limit(at_most)
    ids = connection.scalars(abandoned).all()
    drop_unfinished(connection, ids)
    return len(ids)
