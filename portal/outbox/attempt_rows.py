"""Adding attempt rows, the outbox's most frequent write, by a statement that is compiled once for each dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.engine import Connection, Dialect

from portal.outbox.models import Attempt

_TABLE: Table = Attempt.metadata.tables[Attempt.__tablename__]
COLUMNS = tuple(column.name for column in _TABLE.c if column.name != "id")


def add_attempts(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add the rows, each with a value for every one of `COLUMNS`. Raises KeyError where one is missing."""
    if rows:
        statement = _compiled(connection.dialect)
        connection.exec_driver_sql(statement.text, [statement.parameters(row) for row in rows])


@dataclass(frozen=True)
class _Statement:
    """SQL for the driver, and what each value goes through on its way there, by the column's type."""

    text: str
    order: tuple[str, ...]
    conversions: tuple[tuple[str, Callable[[Any], Any]], ...]
    is_positional: bool

    def parameters(self, row: dict[str, Any]) -> Any:
        values = dict(row)
        for name, convert in self.conversions:
            values[name] = convert(values[name])
        return tuple(values[name] for name in self.order) if self.is_positional else values


@lru_cache(maxsize=4)
def _compiled(dialect: Dialect) -> _Statement:
    compiled = insert(_TABLE).inline().compile(dialect=dialect, column_keys=list(COLUMNS))
    processors = ((name, _TABLE.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in COLUMNS)
    return _Statement(
        text=str(compiled),
        order=tuple(compiled.positiontup or COLUMNS),
        conversions=tuple((name, convert) for name, convert in processors if convert is not None),
        is_positional=compiled.positional,
    )
