"""The outbox's own jobs: bodies whose time is over are erased, and SQLite's write-ahead log is kept short."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.engine import Engine

from portal.database import BUSY_TIMEOUT_SECONDS, sqlite_path, writing
from portal.outbox import bodies
from portal.outbox.jobs import Job

LARGE_LOG = 64 * 1024 * 1024  # octets
_AT_ONCE = 1000
_CHECKPOINT_WAITS_MS = 100
_log = structlog.get_logger("portal.outbox")


def own_jobs(engine: Engine) -> tuple[Job, ...]:
    """What the worker does for the outbox besides sending."""
    jobs = [Job(name="outbox.erase_bodies", every=timedelta(hours=1), run=_erasing(engine))]
    if sqlite_path(engine) is not None:
        jobs.append(Job(name="outbox.checkpoint", every=timedelta(minutes=1), run=lambda _now: checkpoint(engine)))
    return tuple(jobs)


def _erasing(engine: Engine) -> Callable[[datetime], None]:
    def erase(now: datetime) -> None:
        erased = _AT_ONCE
        while erased == _AT_ONCE:
            with writing(engine).begin() as connection:
                erased = bodies.erase_overdue(connection, now, at_most=_AT_ONCE)

    return erase


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
