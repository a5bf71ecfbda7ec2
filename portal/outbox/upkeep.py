"""The outbox's own jobs: what has served its time is erased, and SQLite's write-ahead log is kept short.

Erased are bodies, idempotency keys, and the pieces of messages that a killed process never stored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.engine import Engine

from portal.database import BUSY_TIMEOUT_SECONDS, sqlite_path, writing
from portal.outbox import bodies, chunks, idempotency
from portal.outbox.jobs import Job

LARGE_LOG = 64 * 1024 * 1024  # octets
_AT_ONCE = 1000
_CHECKPOINT_WAITS_MS = 100
_log = structlog.get_logger("portal.outbox")


def own_jobs(engine: Engine) -> tuple[Job, ...]:
    """What the worker does for the outbox besides sending."""
    jobs = [
        Job(name="outbox.erase_bodies", every=timedelta(hours=1), run=_in_turns(engine, bodies.erase_overdue)),
        Job(name="outbox.drop_chunks", every=timedelta(hours=1), run=_in_turns(engine, chunks.drop_abandoned, 10)),
        Job(name="outbox.forget_keys", every=timedelta(hours=1), run=_in_turns(engine, idempotency.purge)),
    ]
    if sqlite_path(engine) is not None:
        jobs.append(Job(name="outbox.checkpoint", every=timedelta(minutes=1), run=lambda _now: checkpoint(engine)))
    return tuple(jobs)


def _in_turns(engine: Engine, tidy: Callable[..., int], at_once: int = _AT_ONCE) -> Callable[[datetime], None]:
    """So many at once that no transaction is long, until there are no more."""

    def run(now: datetime) -> None:
        done = at_once
        while done == at_once:
            with writing(engine).begin() as connection:
                done = tidy(connection, now, at_most=at_once)

    return run


def checkpoint(engine: Engine, *, large: int = LARGE_LOG) -> int:
    """Copy the write-ahead log into the database; returns the log's size in octets afterwards.

    Warns when it stays large: then something reads an old snapshot and never lets go.
    """
    path = sqlite_path(engine)
    if path is None:
        return 0
    log = path.with_name(f"{path.name}-wal")
    mode = "TRUNCATE" if _size_of(log) > large else "PASSIVE"
    driver = engine.raw_connection()
    try:
        cursor = driver.cursor()
        # While it waits for readers a checkpoint keeps writers waiting: rather try again in a minute.
        cursor.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAITS_MS}")
        cursor.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
    finally:
        driver.close()
    size = _size_of(log)
    if size > large:
        _log.warning("the database's write-ahead log keeps growing: something holds an old read open", octets=size)
    return size


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
