"""A request that is repeated with its key gets the first answer again, and no second message.

The key is written in the transaction of the messages: either all of it is there or nothing is, and a request whose
twin is at work in another process waits for that commit. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection

from portal.outbox.models import IdempotencyKey
from portal.outbox.states import State

KEEP_FOR = timedelta(days=7)
_KEY = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_HASH_OCTETS = 32

Name = tuple[UUID, str]


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """What a request says to be known again by. Raises ValueError for what is no key or no SHA-256."""

    server_id: UUID  # who asks: the same key of another server is another key
    key: str  # 1 to 255 printable ASCII characters
    request_hash: bytes = field(repr=False)  # SHA-256 of all that was asked
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON that a repetition is given again

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError("an idempotency key has 1 to 255 printable ASCII characters")
        if len(self.request_hash) != _HASH_OCTETS:
            raise ValueError("the request's hash is a SHA-256")

    @property
    def name(self) -> Name:
        return self.server_id, self.key


@dataclass(frozen=True)
class FirstAnswer:
    """What the first request with a key came to."""

    request_hash: bytes = field(repr=False)
    message_ids: tuple[UUID, ...]
    statuses: tuple[State, ...]  # as they were answered, not as they are now
    answer: Mapping[str, Any] = field(repr=False)

    def is_of(self, idempotency: Idempotency) -> bool:
        """Whether the same was asked."""
        return self.request_hash == idempotency.request_hash


def first_answer(connection: Connection, idempotency: Idempotency, *, now: datetime) -> FirstAnswer | None:
    """What was answered to a request with this key; None while there is none. Only reads."""
    return _stored(connection, [idempotency.name], since=now - KEEP_FOR).get(idempotency.name)


def take(
    connection: Connection,
    wanted: Mapping[Name, tuple[Idempotency, Sequence[UUID], Sequence[State]]],
    *,
    now: datetime,
    wait_seconds: int,
) -> dict[Name, FirstAnswer]:
    """Write the keys with their messages' ids and statuses; returns the answers of those that others have written.

    Waits for transactions of others that write the same keys: in one order everywhere, so that no two wait for each
    other. Raises OperationalError when such a wait is longer than `wait_seconds` (PostgreSQL) or the database is busy
    (SQLite).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{wait_seconds:d}s'"))
        insert: Any = postgresql_insert(IdempotencyKey)
    else:
        insert = sqlite_insert(IdempotencyKey)
    too_old = IdempotencyKey.created_at <= now - KEEP_FOR
    columns = ("request_hash", "message_ids", "answer", "created_at")
    written = insert.on_conflict_do_update(
        index_elements=["server_id", "key"],
        set_={column: insert.excluded[column] for column in columns},
        where=too_old,
    ).returning(IdempotencyKey.server_id, IdempotencyKey.key)
    rows = [_row(*wanted[name], now) for name in sorted(wanted)]
    ours = {(row.server_id, row.key) for row in connection.execute(written, rows)}
    return _stored(connection, wanted.keys() - ours)


def purge(connection: Connection, now: datetime, *, at_most: int = 1000) -> int:
    """Forget the keys whose time is over; returns how many."""
    name = tuple_(IdempotencyKey.server_id, IdempotencyKey.key)
    over = select(IdempotencyKey.server_id, IdempotencyKey.key).where(IdempotencyKey.created_at <= now - KEEP_FOR)
    return connection.execute(delete(IdempotencyKey).where(name.in_(over.limit(at_most)))).rowcount


def _row(
    idempotency: Idempotency, message_ids: Sequence[UUID], statuses: Sequence[State], now: datetime
) -> dict[str, Any]:
    return {
        "server_id": idempotency.server_id,
        "key": idempotency.key,
        "request_hash": idempotency.request_hash,
        "message_ids": [str(one) for one in message_ids],
        "answer": {"statuses": list(statuses), "more": dict(idempotency.answer)},
        "created_at": now,
    }


def _stored(
    connection: Connection, names: Collection[Name], *, since: datetime | None = None
) -> dict[Name, FirstAnswer]:
    if not names:
        return {}
    table = IdempotencyKey.__table__.c
    query = select(IdempotencyKey.__table__).where(tuple_(table.server_id, table.key).in_(names))
    if since is not None:
        query = query.where(table.created_at > since)
    return {
        (row.server_id, row.key): FirstAnswer(
            request_hash=bytes(row.request_hash),
            message_ids=tuple(map(UUID, row.message_ids)),
            statuses=tuple(map(State, row.answer["statuses"])),
            answer=row.answer["more"],
        )
        for row in connection.execute(query)
    }
