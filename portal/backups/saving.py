"""Making a backup while everything runs: one snapshot of the database, one private file, whole or not there."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Table, select, text
from sqlalchemy.engine import Engine

from portal import schema
from portal.backups import archive
from portal.backups.archive import Manifest, Progress
from portal.backups.values import StoredColumn
from portal.database import metadata
from portal.secret_box import SecretBox

_AT_ONCE = 500  # rows that are held at a time
_AT_ONCE_OF_CONTENTS = 2  # of tables that hold whole messages


@dataclass(frozen=True)
class Saved:
    rows: int
    octets: int


def save(
    engine: Engine,
    target: Path,
    *,
    portal_version: str,
    public_url: str,
    box: SecretBox,
    keys: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: Progress,
    now: datetime,
) -> Saved:
    """Write all rows to `target`, and the keys, if there are any to be taken along. Raises FileExistsError, OSError.

    Nobody waits for it: SQLite's readers hinder no writer, and on PostgreSQL it is one transaction that reads. Only an
    upgrade waits. Until it is whole it has another name beside `target`.
    """
    if target.exists() and not overwrite:
        raise FileExistsError(target)
    part = target.with_name(f".{target.name}.{os.getpid()}.{uuid4().hex[:8]}.part")
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as written:
                revision, tables = _write_tables(engine, written, on_progress)
                if keys:
                    written.writestr(archive.KEY_PART, ",".join(keys) + "\n")
                manifest = Manifest(
                    portal_version=portal_version,
                    schema=revision,
                    database=engine.dialect.name,
                    made_at=now.isoformat(),
                    public_url=public_url,
                    key_ids=box.key_ids,
                    has_key=bool(keys),
                    tables=tables,
                )
                archive.write_manifest(written, manifest)
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(part, target, overwrite=overwrite)
    finally:
        part.unlink(missing_ok=True)
    return Saved(sum(table.rows for table in tables), target.stat().st_size)


def rows_of(connection: Connection, table: Table, columns: Sequence[StoredColumn]) -> Iterator[tuple[Any, ...]]:
    """All rows of a table in the order of its key, a few at a time."""
    at_once = _AT_ONCE_OF_CONTENTS if any(column.kind == "octets" for column in columns) else _AT_ONCE
    wanted = select(*(table.c[column.name] for column in columns)).order_by(*table.primary_key)
    for row in connection.execute(wanted.execution_options(yield_per=at_once)):
        yield tuple(row)


def columns_of(table: Table) -> tuple[StoredColumn, ...]:
    """Those that are stored: what the database makes of others, it makes again."""
    return tuple(StoredColumn.of(column) for column in table.columns if column.computed is None)


def _write_tables(
    engine: Engine, written: zipfile.ZipFile, on_progress: Progress
) -> tuple[str, tuple[archive.Table, ...]]:
    """The schema's revision and the parts, all from one snapshot."""
    options = {}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    tables = []
    with schema.one_at_a_time(engine), engine.execution_options(**options).connect() as connection:
        revision = str(connection.scalar(text("select version_num from alembic_version")))
        for table in metadata.sorted_tables:
            columns = columns_of(table)
            rows = _told(rows_of(connection, table, columns), table.name, on_progress)
            tables.append(archive.write_table(written, table.name, columns, rows))
    return revision, tuple(tables)


def _told(rows: Iterator[tuple[Any, ...]], name: str, on_progress: Progress) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        on_progress(name, 1)
        yield row


def _put_in_place(part: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(target)
    else:
        try:
            os.link(part, target)  # where somebody else made it meanwhile, that one stays
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if target.exists():
                raise FileExistsError(target) from None
            part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system syncs a folder
            os.fsync(folder)
    finally:
        os.close(folder)
