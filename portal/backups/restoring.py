"""Bringing a backup back: all of it in one transaction, so that a crash leaves what was there before."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from flask import Flask
from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.orm import Session

from portal import audit, connections, create_app, installation, outbox, schema
from portal.accounts import after_restore as of_accounts
from portal.accounts.models import User
from portal.accounts.sealed_values import SEALED
from portal.backups.archive import Archive, NotABackup, Progress, Row, Table
from portal.backups.saving import columns_of, rows_of
from portal.config import Config
from portal.connections import after_restore as of_connections
from portal.connections.models import Connection as ConnectionRow
from portal.database import metadata
from portal.extensions import db
from portal.outbox import after_restore as of_outbox
from portal.outbox.models import Message
from portal.outbox.recovery import Recovered
from portal.paths import MIGRATIONS
from portal.sealed_columns import count_unreadable
from portal.secret_box import SecretBox
from portal.transaction import unit_of_work

WORKER_IS_GONE_AFTER = timedelta(seconds=30)  # each gives a sign of life every 5 s
_AT_ONCE = 200  # rows of one statement
_AT_ONCE_OF_CONTENTS = 2

Rows = Callable[[str], Iterator[Row]]


class NotRestored(Exception):
    """The backup is good, but it must not or cannot be restored here. Nothing was changed."""


@dataclass(frozen=True)
class Restored:
    rows: int
    outbox: Recovered  # what the workers of the original had in hand
    needs_secret: tuple[str, ...]  # connections whose secret the key does not open
    locked_apps: int  # authenticator apps whose secret the key does not open


def restore(
    app: Flask,
    archive: Archive,
    *,
    box: SecretBox,
    overwrite: bool = False,
    before_commit: Callable[[], object] = lambda: None,
    on_progress: Progress,
    now: datetime,
) -> Restored:
    """Replace every row by those of the backup. Inside the application's context; `box` is what will open it.

    Raises NotABackup, NotRestored, or what the database's driver raises. All sending is held afterwards, sessions and
    links of the copy are void, and what it was sending is uncertain. `before_commit` is called last.
    """
    _require_known(archive)
    archive.verify(on_progress)
    schema.upgrade(app)
    config: Config = app.config["PORTAL"]
    with (
        _rows_of_today(archive, config, on_progress) as rows,
        schema.one_at_a_time(db.engine),
        unit_of_work() as session,
    ):
        connection = session.connection()
        _lock(connection)
        _require_quiet(session, now)
        if not overwrite:
            _require_empty(session)
        _clear(connection)
        loaded = sum(_load(connection, table, rows(table.name), on_progress) for table in metadata.sorted_tables)
        _count_on(connection)
        recovered = _let_go(connection, now)
        installation.hold_restored(session, config, now=now)
        _record(session, archive, loaded, now)
        needs_secret, locked_apps = _unreadable(session, box)
        before_commit()
    return Restored(loaded, recovered, needs_secret, locked_apps)


def _record(session: Session, archive: Archive, rows: int, now: datetime) -> None:
    audit.record(
        session,
        action="installation.restored",
        actor=audit.COMMAND_LINE,
        subject=installation.SUBJECT,
        changes={"made_at": (None, archive.manifest.made_at), "rows": (None, rows)},
        now=now,
    )
    session.flush()


def _require_known(archive: Archive) -> None:
    found = archive.manifest.schema
    if found > schema.NEWEST:
        raise NotRestored(
            f"the backup is at schema {found}, newer than {schema.NEWEST}, the newest that this version knows; "
            "install the newer version of the portal first"
        )


def _lock(connection: Connection) -> None:
    """On PostgreSQL everybody waits; SQLite's unit of work has the write lock already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"lock table {_all_tables(connection)} in access exclusive mode"))


def _all_tables(connection: Connection) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return ", ".join(quote(table.name) for table in metadata.sorted_tables)


def _require_quiet(session: Session, now: datetime) -> None:
    seen_at = outbox.worker_seen_at(session)
    if seen_at is not None and now - seen_at < WORKER_IS_GONE_AFTER:
        raise NotRestored(
            "a worker is running here, or was seconds ago; stop the portal first (after a crash: wait half a minute)"
        )


def _require_empty(session: Session) -> None:
    is_builtin = ConnectionRow.method == "builtin"
    for what, wanted in (
        ("people", select(User.id)),
        ("messages", select(Message.id)),
        ("connections", select(ConnectionRow.id).where(~is_builtin)),
    ):
        if session.scalar(wanted.limit(1)) is not None:
            raise NotRestored(
                f"there are {what} in this installation already; back it up, then restore with --force, which replaces "
                "all that is in it"
            )


def _clear(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"truncate {_all_tables(connection)}"))
        return
    for table in reversed(metadata.sorted_tables):
        connection.execute(delete(table))


def _load(connection: Connection, table: sa.Table, rows: Iterator[Row], on_progress: Progress) -> int:
    columns = columns_of(table)
    target = sa.table(table.name, *(sa.column(column.name, column.type) for column in columns))
    at_once = _AT_ONCE_OF_CONTENTS if any(column.kind == "octets" for column in columns) else _AT_ONCE
    count = 0
    while some := list(islice(rows, at_once)):
        connection.execute(sa.insert(target), some)
        count += len(some)
        on_progress(table.name, len(some))
    return count


def _count_on(connection: Connection) -> None:
    """PostgreSQL's counters go on after the highest number; SQLite's do that by themselves."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        for column in table.primary_key:
            counter = connection.scalar(
                text("select pg_get_serial_sequence(:table, :column)"),
                {"table": connection.dialect.identifier_preparer.quote(table.name), "column": column.name},
            )
            if counter:
                highest = select(func.coalesce(func.max(column), 0)).scalar_subquery()
                connection.execute(select(func.setval(counter, highest + 1, False)))


def _let_go(connection: Connection, now: datetime) -> Recovered:
    of_accounts.let_go(connection, now=now)
    of_connections.let_go(connection)
    recovered = of_outbox.let_go(connection, now=now)
    for table in metadata.sorted_tables:  # whoever holds another lease works for the original
        if {"lease_owner", "lease_until"} <= set(table.c.keys()) and table.name != "delivery":
            connection.execute(sa.update(table).values(lease_owner=None, lease_until=None))
    return recovered


def _unreadable(session: Session, box: SecretBox) -> tuple[tuple[str, ...], int]:
    found = connections.all_connections(session, box=box)
    names = tuple(
        one.values.name
        for one in found
        if any(not held.is_readable for held in one.secrets.values())
        or (one.grant is not None and not one.grant.is_readable)
    )
    apps = next(sealed for sealed in SEALED if sealed.table.name == "authenticator_app")
    return names, count_unreadable(session, apps, box=box)


@contextmanager
def _rows_of_today(archive: Archive, config: Config, on_progress: Progress) -> Iterator[Rows]:
    """The rows as this version's tables hold them, by the name of the table."""
    tables = {table.name: table for table in archive.manifest.tables}
    if archive.manifest.schema == schema.NEWEST:
        _require_same(tables.values())
        yield lambda name: archive.rows(tables[name])
        return
    with _brought_up_to_date(archive, config, on_progress) as connection:
        yield lambda name: _rows(connection, metadata.tables[name])


def _require_same(tables: Sequence[Table] | Any) -> None:
    found = {table.name: set(table.columns) for table in tables}
    if found != {table.name: set(columns_of(table)) for table in metadata.sorted_tables}:
        raise NotABackup("it has other tables or columns than its schema; a changed version of the portal made it")


def _rows(connection: Connection, table: sa.Table) -> Iterator[Row]:
    columns = columns_of(table)
    names = [column.name for column in columns]
    for values in rows_of(connection, table, columns):
        yield dict(zip(names, values, strict=True))


@contextmanager
def _brought_up_to_date(archive: Archive, config: Config, on_progress: Progress) -> Iterator[Connection]:
    """An SQLite database aside, in which the rows of an older version went through the migrations since."""
    config.instance.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".restoring-", dir=config.instance))
    try:
        aside = create_app(replace(config, instance=folder, database_url=f"sqlite:///{folder / 'portal.sqlite3'}"))
        with aside.app_context():
            _migrate(aside, archive.manifest.schema)
            with unit_of_work() as session:
                for table in reversed(archive.manifest.tables):
                    session.execute(delete(_as_described(table)))
                for table in archive.manifest.tables:
                    _load_as_described(session.connection(), table, archive.rows(table), on_progress)
            _migrate(aside, schema.NEWEST)
            engine = db.engine
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _migrate(app: Flask, revision: str) -> None:
    command.upgrade(app.extensions["migrate"].migrate.get_config(MIGRATIONS), revision)


def _as_described(table: Table) -> Any:
    return sa.table(table.name, *(sa.column(column.name, column.type) for column in table.columns))


def _load_as_described(connection: Connection, table: Table, rows: Iterator[Row], on_progress: Progress) -> None:
    while some := list(islice(rows, _AT_ONCE_OF_CONTENTS if table.has_contents else _AT_ONCE)):
        connection.execute(sa.insert(_as_described(table)), some)
        on_progress(table.name, len(some))
