"""The rules of the two engines, SQLite and PostgreSQL, and the column types that both share.

SQLite: WAL, `synchronous=FULL` (an acceptance must survive a power cut: NORMAL syncs no commit),
foreign keys, `secure_delete`, a busy timeout of 10 s, files 0600. The driver's own BEGIN is off; a
connection begins IMMEDIATE where it is going to write (`writing(engine)`), since a read that turns into a
write fails at once with a busy snapshot, whatever the timeout. Writers of all processes take turns (`write_turns`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Computed, DateTime, Dialect, MetaData, event
from sqlalchemy.dialects.sqlite import DATETIME as SQLITE_DATETIME
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from portal.write_turns import TurnTakingConnection, WriteTurns, connection_in_turn

BUSY_TIMEOUT_SECONDS = 10
NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING_CONVENTION)
_BEGIN = "portal_begin"


class _UtcText(SQLITE_DATETIME):
    """Aware moments in UTC, in the text that SQLAlchemy writes for naive ones: in C, both ways."""

    def bind_processor(self, _dialect: Dialect) -> Callable[[datetime | None], str | None]:
        return lambda moment: None if moment is None else moment.isoformat(" ", "microseconds")[:-6]  # without +00:00

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[str | None], datetime | None]:
        return lambda text: None if text is None else _in_utc(datetime.fromisoformat(text))


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment in UTC: `timestamptz` on PostgreSQL, sortable text on SQLite. Naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "sqlite":
            return super().load_dialect_impl(dialect)
        return _UtcText()  # type: ignore[no-untyped-call]

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is UTC:
            return value
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else _in_utc(value)


def _in_utc(moment: datetime) -> datetime:
    """What the database says without a time zone is in UTC."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


class KeptByDatabase(Computed):
    """A column that the database makes of others; PostgreSQL stores it, SQLite only where an index holds it.

    SQLite can add such a column to a table that there is already, but no stored one.
    """

    inherit_cache = True

    def __init__(self, sqltext: str) -> None:
        super().__init__(sqltext, persisted=True)


@compiles(KeptByDatabase, "sqlite")
def _virtual(column: KeptByDatabase, _compiler: Any, **_options: Any) -> str:
    return f"GENERATED ALWAYS AS ({column.sqltext})"


def engine_options(database_url: str) -> dict[str, Any]:
    """Arguments for `create_engine` that fit the database. No error shows the values of a statement."""
    if database_url.startswith("sqlite"):
        turn_taking = connection_in_turn(WriteTurns())
        arguments = {"timeout": BUSY_TIMEOUT_SECONDS, "isolation_level": None, "factory": turn_taking}
        return {"hide_parameters": True, "connect_args": arguments}
    return {"hide_parameters": True, "pool_pre_ping": True, "pool_size": 10, "max_overflow": 10}


def configure(engine: Engine) -> None:
    """Put the rules of this module on every connection of `engine`."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)


def writing(engine: Engine) -> Engine:
    """The same engine and pool, whose transactions take SQLite's write lock when they begin."""
    return engine.execution_options(**{_BEGIN: "IMMEDIATE"})


WRITING_OPTIONS = {_BEGIN: "IMMEDIATE"}  # the same, for `session.connection(execution_options=…)`


def synchronous_level(connection: Connection) -> str:
    """What the database promises on commit: SQLite's `synchronous` number or PostgreSQL's `synchronous_commit`."""
    statement = "PRAGMA synchronous" if connection.dialect.name == "sqlite" else "SHOW synchronous_commit"
    return str(connection.exec_driver_sql(statement).scalar())


def sqlite_path(engine: Engine) -> Path | None:
    """The database's file, or None where it is not SQLite."""
    name = engine.url.database
    return Path(name) if engine.dialect.name == "sqlite" and name else None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    level = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.close()
    if level != 2:
        raise RuntimeError("SQLite did not accept synchronous=FULL; nothing could be promised to be kept")


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_BEGIN, "")
    driver = connection.connection.driver_connection
    if not mode or not isinstance(driver, TurnTakingConnection):
        connection.exec_driver_sql(f"BEGIN {mode}".rstrip())
        return
    driver.take_turn()
    try:
        connection.exec_driver_sql(f"BEGIN {mode}")
    except BaseException:
        driver.give_back_turn()
        raise


def create_private_file(path: Path) -> None:
    """Make sure that `path` exists and that only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
