"""The log as a file: JSON from which the chain can be verified, and CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Row

from portal.audit.chain import canonical, sealed_fields

_COLUMNS = (
    *("place", "id", "at", "action", "actor_id", "actor_name", "actor_address", "subject"),
    *("changes", "hash"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
_FORMULA_INSIDE = re.compile(r'([;\t\r\n][" ]*)(?=[=+\-@])')


def json_lines(entries: Iterable[Row[Any]]) -> Iterator[bytes]:
    """A list of objects, each on its line: the fields that are hashed, and `hash` in hexadecimal digits."""
    start = b"[\n"
    for entry in entries:
        yield start + canonical(_fields(entry))
        start = b",\n"
    yield b"\n]\n" if start != b"[\n" else b"[]\n"


def csv_lines(entries: Iterable[Row[Any]]) -> Iterator[bytes]:
    """RFC 4180 with a line of headings, UTF-8; `changes` is JSON."""
    yield _line(_COLUMNS)
    for entry in entries:
        fields = _fields(entry)
        fields["changes"] = json.dumps(fields["changes"], ensure_ascii=False, sort_keys=True)
        yield _line(harmless(fields[column]) for column in _COLUMNS)


def _fields(entry: Row[Any]) -> dict[str, Any]:
    return sealed_fields(entry, entry.place) | {"hash": entry.sealed_hash.hex() if entry.sealed_hash else None}


def _line(cells: Iterable[object]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8", "surrogatepass")


def harmless(value: object) -> object:
    """An apostrophe before what a spreadsheet would calculate (CWE-1236), even one that splits cells at semicolons."""
    if not isinstance(value, str):
        return value
    inside = _FORMULA_INSIDE.sub(r"\1'", value)
    return f"'{inside}" if value.startswith(_FORMULA) else inside
