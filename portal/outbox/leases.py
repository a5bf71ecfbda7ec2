"""Leases: whoever claims a delivery owns it until the lease runs out, and renews the lease while at work.

In the database a lease is judged by the database's clock on PostgreSQL, whose workers are on many machines,
and by the caller's clock on SQLite, which is one machine. The owner itself judges by a clock that no
correction of the time can move.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Interval, bindparam, func, select
from sqlalchemy.engine import Connection

from portal.database import UtcDateTime

LEASE = timedelta(seconds=60)
MARGIN = timedelta(seconds=3)  # of a lease that must be left when a message is handed over
LONGEST_SENDING = timedelta(minutes=20)  # more than any conversation may take


def new_owner() -> str:
    """A name for this process that no other has had."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(6)}"


def moment(connection: Connection, now: datetime, after: timedelta = timedelta(0)) -> Any:
    """The moment `after` from now, by the clock that judges leases: a value, or an SQL expression."""
    if connection.dialect.name == "postgresql":
        return func.clock_timestamp() + after
    return now + after


def lease_end(dialect: str) -> ColumnElement[Any]:
    """The same for statements that are built once: an SQL expression over `lease_parameters`."""
    if dialect == "postgresql":
        return func.clock_timestamp() + bindparam("lease", type_=Interval())
    return bindparam("lease", type_=UtcDateTime())


def lease_parameters(connection: Connection, now: datetime, lease: timedelta) -> dict[str, Any]:
    """What `lease_end` is filled with."""
    return {"lease": lease if connection.dialect.name == "postgresql" else now + lease}


def clock(connection: Connection, now: datetime) -> datetime:
    """The clock that judges leases, read."""
    if connection.dialect.name == "postgresql":
        return connection.scalar(select(func.clock_timestamp())) or now
    return now


def ticks() -> float:
    """Seconds by a clock that nobody sets, and that runs on while the machine sleeps where it has such a clock."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class HeldLeases:
    """The leases of this process, by `ticks`; used by several threads."""

    def __init__(self, lease: timedelta) -> None:
        self._seconds = lease.total_seconds()
        self._margin = min(MARGIN, lease / 10).total_seconds()
        self._ends: dict[int, float] = {}
        self._begun: dict[int, float] = {}
        self._lock = threading.Lock()

    def take(self, delivery_ids: Iterable[int], *, since: float) -> None:
        """Note leases that were written at `since` ticks or later: they end no earlier."""
        end = since + self._seconds
        with self._lock:
            self._ends.update((delivery_id, end) for delivery_id in delivery_ids)

    def renewed(self, kept: Collection[int], lost: Iterable[int], *, since: float) -> None:
        """As `take` for those still held: one that was dropped meanwhile stays dropped."""
        end = since + self._seconds
        with self._lock:
            self._ends.update((delivery_id, end) for delivery_id in kept if delivery_id in self._ends)
        self.drop(lost)

    def begin(self, delivery_id: int) -> None:
        """Its message is being handed over from now on."""
        with self._lock:
            self._begun[delivery_id] = ticks()

    def drop(self, delivery_ids: Iterable[int]) -> None:
        with self._lock:
            for delivery_id in delivery_ids:
                self._ends.pop(delivery_id, None)
                self._begun.pop(delivery_id, None)

    def all(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._ends)

    def at_work(self) -> frozenset[int]:
        """All but those in hand for so long that their sender must be taken for stuck."""
        stuck = ticks() - LONGEST_SENDING.total_seconds()
        with self._lock:
            return frozenset(one for one in self._ends if self._begun.get(one, stuck) >= stuck)

    def to_renew(self) -> list[int]:
        """Those of which a third has passed."""
        before = ticks() + self._seconds * 2 / 3
        at_work = self.at_work()
        with self._lock:
            return [one for one, end in self._ends.items() if end <= before and one in at_work]

    def is_safe(self, delivery_id: int) -> bool:
        """Whether enough of the lease is left to hand the message over."""
        end = self._ends.get(delivery_id)
        return end is not None and ticks() < end - self._margin
