"""The database's schema: which ones this version works with, and `upgrade`, which brings it up to date.

Every part (web, worker, commands) calls `require_known` before it touches a table and refuses outside the
range, so that an old worker never writes into a newer schema and a new one never into an older. What keeps
running asks a `Watch`: the database may be upgraded, or brought back from a backup, under its feet.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic import command
from flask import Flask
from sqlalchemy import inspect, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from portal.database import create_private_file, sqlite_path
from portal.extensions import db
from portal.paths import MIGRATIONS

OLDEST = "0016"  # revisions are numbered, so that a range of them can be stated
NEWEST = "0016"
WATCH_EVERY_SECONDS = 5.0
_LOCK_NUMBER = 0x6D61696C  # any number that every portal uses for the same advisory lock


class SchemaMismatch(Exception):
    """The database is older or newer than this version can work with."""


def current(engine: Engine) -> str | None:
    """The revision that the database is at, None for an empty one."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("select version_num from alembic_version"))
        return revision


def require_known(engine: Engine) -> str:
    """The database's revision. Raises SchemaMismatch, whose text says what to do."""
    revision = current(engine)
    if revision is None:
        raise SchemaMismatch("the database is empty; run: portal upgrade")
    if revision < OLDEST:
        raise SchemaMismatch(f"the database is at schema {revision}, older than {OLDEST}; run: portal upgrade")
    if revision > NEWEST:
        raise SchemaMismatch(
            f"the database is at schema {revision}, newer than {NEWEST}, the newest that this version knows; "
            "install the newer version of the portal, or restore a backup"
        )
    return revision


class Watch:
    """Whether the database still is at a schema that this version knows; asked by all threads of a process.

    The database is read every `every_seconds` at most, by whoever asks then; meanwhile the last answer stands, and
    so it does while the database cannot be read: whoever needs the database meets that himself.
    `on_change` is called with each new answer.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        every_seconds: float = WATCH_EVERY_SECONDS,
        on_change: Callable[[str], None] = lambda _mismatch: None,
    ) -> None:
        self._engine = engine
        self._every_seconds = every_seconds
        self._on_change = on_change
        self._lock = threading.Lock()
        self._next_look = 0.0  # monotonic
        self._mismatch = ""

    def mismatch(self) -> str:
        """Why nothing may be read or written, and what to do; "" while the schema is known."""
        with self._lock:
            now = time.monotonic()
            if now < self._next_look:
                return self._mismatch
            self._next_look = now + self._every_seconds
        found = self._look()
        if found != self._mismatch:
            self._mismatch = found
            self._on_change(found)
        return found

    def _look(self) -> str:
        try:
            require_known(self._engine)
        except SchemaMismatch as mismatch:
            return str(mismatch)
        except SQLAlchemyError:
            return self._mismatch
        return ""


def upgrade(app: Flask) -> tuple[str | None, str]:
    """Bring the schema to NEWEST, under a lock; on SQLite after a backup. Returns the revisions before and after."""
    with app.app_context():
        engine = db.engine
        path = sqlite_path(engine)
        if path is not None:
            create_private_file(path)
        with one_at_a_time(engine):
            before = current(engine)
            if before is not None and before > NEWEST:
                require_known(engine)
            if before != NEWEST:
                if path is not None and before is not None:
                    _back_up(path, path.with_name(f"{path.name}.before-{NEWEST}"))
                # Not flask_migrate.upgrade, which logs what went wrong and ends the process.
                command.upgrade(app.extensions["migrate"].migrate.get_config(MIGRATIONS), NEWEST)
        return before, require_known(engine)


@contextmanager
def one_at_a_time(engine: Engine) -> Iterator[None]:
    """Hold the lock of this database's upgrades. It cannot be taken twice: the second waits for the first."""
    path = sqlite_path(engine)
    if path is None:
        with engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(:number)"), {"number": _LOCK_NUMBER})
            try:
                yield
            finally:
                connection.execute(text("select pg_advisory_unlock(:number)"), {"number": _LOCK_NUMBER})
        return
    descriptor = os.open(path.with_name("upgrade.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _back_up(source: Path, target: Path) -> None:
    create_private_file(target)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
