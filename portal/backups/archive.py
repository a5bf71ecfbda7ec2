"""The file of a backup: a ZIP with a manifest, and one part of JSON lines for each table.

The manifest says what made it, at which schema, which columns each table has, how many rows each part holds, and its
SHA-256. It is written last, so that what was cut off is no backup. A line is a list of values in the order of columns.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from portal.backups.values import StoredColumn

FORMAT, VERSION = "mail-portal-backup", 1
KEY_PART = "secret.key"
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 4 * 1024 * 1024
_DAMAGE = (  # RuntimeError: of a part that says it is encrypted, or packed in a way that is unknown
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),
    *(ValueError, KeyError, TypeError, AttributeError),
)

Row = dict[str, Any]
Progress = Callable[[str, int], None]  # a table's name, and how many rows were done since the last call


class NotABackup(Exception):
    """The file is no backup, is damaged, or was made by a version that this one does not know."""


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[StoredColumn, ...]
    rows: int
    sha256: str

    @property
    def part(self) -> str:
        return f"tables/{self.name}.jsonl"

    @property
    def has_contents(self) -> bool:
        """Whether a row may be as large as a message."""
        return any(column.kind == "octets" for column in self.columns)


@dataclass(frozen=True)
class Manifest:
    portal_version: str
    schema: str  # the revision
    database: str  # "sqlite" or "postgresql"
    made_at: str  # RFC 3339
    public_url: str
    key_ids: tuple[str, ...]  # of the keys that opened its secrets
    has_key: bool
    tables: tuple[Table, ...]

    def as_json(self) -> str:
        tables = [
            {
                "name": one.name,
                "rows": one.rows,
                "sha256": one.sha256,
                "columns": [vars(column) for column in one.columns],
            }
            for one in self.tables
        ]
        return json.dumps({"format": FORMAT, "version": VERSION, **vars(self), "tables": tables}, indent=1)

    @classmethod
    def read(cls, text: bytes) -> Manifest:
        """Raises NotABackup, or one of the errors that a damaged one causes."""
        held = json.loads(text)
        if held.pop("format") != FORMAT:
            raise NotABackup("it is no backup of this portal")
        if held.pop("version") != VERSION:
            raise NotABackup("a newer version of the portal made it; install that one first")
        tables = tuple(
            Table(one["name"], tuple(StoredColumn(**column) for column in one["columns"]), one["rows"], one["sha256"])
            for one in held.pop("tables")
        )
        return cls(**{**held, "key_ids": tuple(held["key_ids"])}, tables=tables)


def write_table(
    archive: zipfile.ZipFile, name: str, columns: Sequence[StoredColumn], rows: Iterable[Sequence[Any]]
) -> Table:
    """Write one part; holds one row at a time."""
    table, digest, count = Table(name, tuple(columns), 0, ""), hashlib.sha256(), 0
    with archive.open(table.part, "w", force_zip64=True) as part:
        for row in rows:
            written = [column.write(value) for column, value in zip(columns, row, strict=True)]
            line = json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            part.write(line)
            count += 1
    return Table(name, tuple(columns), count, digest.hexdigest())


def write_manifest(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    archive.writestr(_MANIFEST, manifest.as_json())


class Archive(AbstractContextManager["Archive"]):
    """A backup, opened for reading. Raises NotABackup wherever it does not hold what it says."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise NotABackup("there is no such file") from None
        except _DAMAGE:
            raise NotABackup("it is no whole backup: it was cut off, is damaged, or is something else") from None
        try:
            if self._zip.getinfo(_MANIFEST).file_size > _LARGEST_MANIFEST:
                raise NotABackup("its manifest is too large")
            self.manifest = Manifest.read(self._zip.read(_MANIFEST))
        except _DAMAGE:
            self._zip.close()
            raise NotABackup("its manifest is missing or damaged") from None

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self._zip.close()

    def verify(self, on_progress: Progress) -> None:
        """Read all of it once: every part is as it was written."""
        for table in self.manifest.tables:
            for _ in self._lines(table):
                on_progress(table.name, 1)

    def rows(self, table: Table) -> Iterator[Row]:
        """The rows of a table, one at a time."""
        for line in self._lines(table):
            try:
                values = json.loads(line)
                yield {column.name: column.read(value) for column, value in zip(table.columns, values, strict=True)}
            except (ValueError, TypeError):
                raise NotABackup(f"its table {table.name} holds a row that cannot be read") from None

    def keys(self) -> tuple[str, ...]:
        """The keys that it holds, the first one sealed; none where it was made without."""
        if not self.manifest.has_key:
            return ()
        try:
            text = self._zip.read(KEY_PART).decode()
        except _DAMAGE:
            raise NotABackup("its key is missing or damaged") from None
        return tuple(key for key in (piece.strip() for piece in text.split(",")) if key)

    def _lines(self, table: Table) -> Iterator[bytes]:
        digest, count = hashlib.sha256(), 0
        try:
            with self._zip.open(table.part) as part:
                for line in _each(part):
                    digest.update(line)
                    count += 1
                    yield line
        except _DAMAGE:
            raise NotABackup(f"its table {table.name} is missing or damaged") from None
        if (count, digest.hexdigest()) != (table.rows, table.sha256):
            raise NotABackup(f"its table {table.name} is not what was written")


def _each(part: IO[bytes]) -> Iterator[bytes]:
    yield from part
