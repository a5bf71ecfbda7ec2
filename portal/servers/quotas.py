"""How many messages a server may submit: fixed windows of a minute and a day (UTC), shared by all processes.

A process takes a little from the common count at once and gives it out from memory, so that not every message costs
a write of its own; what it has left when a window ends is lost, and so never more leaves than is allowed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from portal.database import writing
from portal.servers.callers import Caller, database_of
from portal.servers.models import Server, ServerUse
from portal.servers.remembering import remembered
from portal.wording import N_, Text

_PERIODS = {"minute": timedelta(minutes=1), "day": timedelta(days=1)}
_PART_AT_ONCE = 50  # the part of a limit that a process takes at once
_MOST_AT_ONCE = 100
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True)
class Quota:
    """What is left of the tightest limit; `limit` is None where the server has none."""

    limit: int | None
    remaining: int
    reset_seconds: int


class QuotaExceeded(Exception):
    """A limit is used up; `retry_after` is in seconds."""

    def __init__(self, retry_after: int, reason: Text) -> None:
        super().__init__(str(reason))
        self.retry_after = retry_after
        self.reason = reason


@dataclass
class _Store:
    """What a process has left of a window with this limit. Of all processes together `taken` were given out."""

    starts_at: datetime
    limit: int
    left: int = 0
    taken: int = 0


class _Stores:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_key: dict[tuple[str, UUID, str], _Store] = {}


_stores = _Stores()


@remembered
def limits_of(session: Session, server_id: UUID) -> Mapping[str, int]:
    """What a server may submit in each period; nothing where it has no limits."""
    query = select(Server.messages_per_minute, Server.messages_per_day).where(Server.id == server_id)
    row = session.execute(query).one_or_none()
    found = zip(_PERIODS, row, strict=True) if row else ()
    return {period: limit for period, limit in found if limit is not None}


def take(engine: Engine, caller: Caller, limits: Mapping[str, int], *, messages: int, now: datetime) -> Quota:
    """Count messages of a server with these limits. Raises QuotaExceeded, and then counts none of them.

    To be called outside of any unit of work, since it may write in a short transaction of its own.
    """
    if not limits:
        return Quota(None, 0, 0)
    with _stores.lock:
        quotas = [_reserve(engine, caller, one, messages=messages, now=now) for one in limits.items()]
        for period in limits:
            _stores.by_key[(database_of(engine), caller.server_id, period)].left -= messages
    return min(quotas, key=lambda one: one.remaining)


def _reserve(engine: Engine, caller: Caller, rule: tuple[str, int], *, messages: int, now: datetime) -> Quota:
    """Have so many at hand, without taking them yet. Raises QuotaExceeded."""
    period, limit = rule
    starts_at = _start(period, now)
    ends_in = max(1, round((starts_at + _PERIODS[period] - now).total_seconds()))
    key = (database_of(engine), caller.server_id, period)
    store = _stores.by_key.get(key)
    if store is None or (store.starts_at, store.limit) != (starts_at, limit):
        store = _stores.by_key[key] = _Store(starts_at, limit)
    if store.left < messages:
        wanted = max(messages - store.left, min(_MOST_AT_ONCE, limit // _PART_AT_ONCE), 1)
        with writing(engine).begin() as connection:
            least = messages - store.left
            store.taken, given = _count(connection, key, starts_at, limit=limit, wanted=wanted, least=least)
        store.left += given
    if store.left < messages:
        raise QuotaExceeded(ends_in, _used_up(caller, period, limit))
    return Quota(limit, max(0, limit - store.taken) + store.left - messages, ends_in)


def _count(
    connection: Connection, whose: tuple[str, UUID, str], starts_at: datetime, *, limit: int, wanted: int, least: int
) -> tuple[int, int]:
    """Take `least` up to `wanted` from the common count, or nothing: how many are taken in all, and how many now."""
    _engine, server_id, period = whose
    table = ServerUse
    row = {"server_id": server_id, "period": period, "starts_at": starts_at, "taken": 0}
    insert = _INSERTS[connection.dialect.name](table).values(**row)
    is_over = table.starts_at < starts_at
    taken = connection.execute(
        insert.on_conflict_do_update(
            index_elements=[table.server_id, table.period],
            set_={
                "starts_at": case((is_over, insert.excluded.starts_at), else_=table.starts_at),
                "taken": case((is_over, 0), else_=table.taken),
            },
        ).returning(table.taken)
    ).scalar_one()
    given = min(wanted, limit - taken) if limit - taken >= least else 0
    if given:
        mine = (table.server_id == server_id) & (table.period == period)
        connection.execute(update(table).where(mine).values(taken=taken + given))
    return taken + given, given


def _start(period: str, now: datetime) -> datetime:
    start = now.replace(second=0, microsecond=0)
    return start if period == "minute" else start.replace(hour=0, minute=0)


def _used_up(caller: Caller, period: str, limit: int) -> Text:
    if period == "minute":
        return N_(
            "The server %(name)s may submit %(limit)s messages a minute, and they are used up. Try again in the next "
            "minute, or ask an administrator to raise the limit under Servers.",
            name=caller.server_name,
            limit=limit,
        )
    return N_(
        "The server %(name)s may submit %(limit)s messages a day, and they are used up. Try again tomorrow (UTC), or "
        "ask an administrator to raise the limit under Servers.",
        name=caller.server_name,
        limit=limit,
    )
