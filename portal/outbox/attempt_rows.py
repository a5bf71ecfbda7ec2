"""Adding attempt rows, the outbox's most frequent write: those of a slice in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Table, bindparam, insert
from sqlalchemy.engine import Connection

from portal.outbox.models import Attempt
from portal.outbox.ready_statements import ReadyStatement

_TABLE: Table = Attempt.metadata.tables[Attempt.__tablename__]
COLUMNS = tuple(column.name for column in _TABLE.c if column.name != "id")
_AT_ONCE = 20  # rows of one statement: as many as a slice has


def add_attempts(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add the rows, each with a value for every one of `COLUMNS`. Raises KeyError where one is missing."""
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        values = [row[name] for row in some for name in COLUMNS]
        statement, parameters = _insert(len(some))
        statement.run(connection, dict(zip(parameters, values, strict=True)))


@lru_cache(maxsize=_AT_ONCE)
def _insert(count: int) -> tuple[ReadyStatement, tuple[str, ...]]:
    """For so many rows, and its parameters in the order of the rows and `COLUMNS`."""
    rows = [
        {name: bindparam(f"{name}_{number}", type_=_TABLE.c[name].type) for name in COLUMNS} for number in range(count)
    ]
    parameters = tuple(parameter.key for row in rows for parameter in row.values())
    return ReadyStatement(lambda _: insert(_TABLE).values(rows).inline()), parameters
