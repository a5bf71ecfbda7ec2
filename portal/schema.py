"""The database's schema: which ones this version works with, and `upgrade`, which brings it up to date.

Every part (web, worker, commands) calls `require_known` before it touches a table and refuses outside the
range, so that an old worker never writes into a newer schema and a new one never into an older.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic import command
from alembic.migration import MigrationContext
from flask import Flask
from sqlalchemy import inspect, text
from sqlalchemy.engine import Engine

from portal.database import create_private_file, sqlite_path
from portal.extensions import db
from portal.paths import MIGRATIONS

OLDEST = "0001"  # revisions are numbered, so that a range of them can be stated
NEWEST = "0001"
_LOCK_NUMBER = 0x6D61696C  # any number that every portal uses for the same advisory lock


class SchemaMismatch(Exception):
    """The database is older or newer than this version can work with."""


def current(engine: Engine) -> str | None:
    """The revision that the database is at, None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


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


def table_names(engine: Engine) -> set[str]:
    """The tables that exist, for `portal doctor`."""
    return set(inspect(engine).get_table_names())


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
