"""Statements that are compiled once for each dialect and then handed to the driver as they are.

Who takes much mail or sends it runs the same few statements all the time. What SQLAlchemy does anew at each execution,
and for each row with the result's columns, costs more than the database's own work. SQLite's driver is asked directly,
so that no listener of SQLAlchemy's for single statements hears of them there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, Table, bindparam, exc, func, insert, select
from sqlalchemy.engine import Connection, Dialect

from portal.extensions import Model

_Convert = Callable[[Any], Any]
_ROWS_AT_ONCE = 16  # of one INSERT; fewer are 8, 4, 2 and 1, so that few statements are ever compiled


class ReadyStatement:
    """Made from a statement for a dialect's name. Its parameters are `bindparam`s; none is an expanding one (IN).

    A column's default of Python's is not filled in: whoever inserts gives each value.
    """

    def __init__(self, build: Callable[[str], Executable]) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Execute it. Raises KeyError where a parameter has no value, SQLAlchemyError."""
        self._execute(connection, values)

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        compiled = self._for(connection.dialect)
        if connection.dialect.name == "sqlite":
            return _execute_by_driver(connection, compiled.text, compiled.parameters(values))
        result = connection.exec_driver_sql(compiled.text, compiled.parameters(values))
        return result.all() if result.returns_rows else ()

    def _for(self, dialect: Dialect) -> _Compiled:
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = _compile(self._build(dialect.name), dialect)
        return self._compiled[dialect.name]


class ReadyQuery(ReadyStatement):
    """The same for a SELECT, whose rows come as tuples of what the columns' types make of them."""

    def __init__(self, build: Callable[[str], Select[*tuple[Any, ...]]]) -> None:
        super().__init__(build)
        self._select = build
        self._conversions: dict[str, tuple[tuple[int, _Convert], ...]] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """What it finds."""
        return self._converted(self._execute(connection, values), connection.dialect)

    def _converted(self, rows: Sequence[Sequence[Any]], dialect: Dialect) -> list[tuple[Any, ...]]:
        if dialect.name not in self._conversions:
            self._conversions[dialect.name] = _result_conversions(self._select(dialect.name), dialect)
        conversions = self._conversions[dialect.name]
        if not conversions:
            return [tuple(row) for row in rows]
        lists = [list(row) for row in rows]
        for place, convert in conversions:
            for row in lists:
                row[place] = convert(row[place])
        return [tuple(row) for row in lists]


class ReadyListing(ReadyQuery):
    """The same for many short rows in no order: SQLite gives them as one, a JSON array.

    That holds no bytes, and rounds floats.
    Python's SQLite driver gives up the interpreter's lock for each row, and beside other busy threads waits to get it
    back each time.
    """

    def __init__(self, build: Callable[[str], Select[*tuple[Any, ...]]]) -> None:
        super().__init__(build)
        self._build = lambda dialect: _as_one_row(build(dialect)) if dialect == "sqlite" else build(dialect)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if connection.dialect.name != "sqlite":
            return super().rows(connection, values)
        [(listed,)] = self._execute(connection, values)
        return self._converted(json.loads(listed), connection.dialect)


class ReadyInsert:
    """Adds rows to a table.

    On SQLite several with each statement, since its driver gives up the interpreter's lock for each row of an
    `executemany`. psycopg takes hundreds of parameters apart anew each time, and sends an `executemany` in one go.
    """

    def __init__(self, model: type[Model]) -> None:
        self._table: Table = model.metadata.tables[model.__tablename__]
        self.columns = tuple(column.name for column in self._table.c if column.identity is None)
        self._compiled: dict[tuple[str, int], _Compiled] = {}

    def add(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add them in this order, each with a value for every one of `columns`: all but what the database numbers.

        Raises KeyError where a value is missing, what the column's type raises for a value, SQLAlchemyError.
        """
        if connection.dialect.name == "sqlite":
            self._add_together(connection, rows)
        elif rows:
            compiled = self._for(connection.dialect, 1)
            connection.exec_driver_sql(compiled.text, [compiled.of_rows([row], self.columns) for row in rows])

    def _add_together(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        start = 0
        while left := len(rows) - start:
            count = min(_ROWS_AT_ONCE, 1 << left.bit_length() - 1)
            compiled = self._for(connection.dialect, count)
            some = rows[start : start + count]
            _execute_by_driver(connection, compiled.text, compiled.of_rows(some, self.columns))
            start += count

    def _for(self, dialect: Dialect, count: int) -> _Compiled:
        key = dialect.name, count
        if key not in self._compiled:
            columns = [self._table.c[name] for name in self.columns]
            rows = [
                {column.name: bindparam(f"{column.name}_{number}", type_=column.type) for column in columns}
                for number in range(count)
            ]
            self._compiled[key] = _compile(insert(self._table).values(rows).inline(), dialect)
        return self._compiled[key]


@dataclass(frozen=True)
class _Parameter:
    """What a parameter of the driver's is filled with: a value of that name, or one that is part of the statement."""

    name: str
    is_fixed: bool
    fixed: Any
    convert: _Convert | None


@dataclass(frozen=True)
class _Compiled:
    """SQL for the driver, and its parameters in their order."""

    text: str
    is_positional: bool
    slots: tuple[_Parameter, ...]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        return self._given(
            [
                slot.fixed if slot.is_fixed else slot.convert(values[slot.name]) if slot.convert else values[slot.name]
                for slot in self.slots
            ]
        )

    def of_rows(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Any:
        """The parameters where each slot is a value of a row, one row after the other."""
        conversions = [(name, slot.convert) for name, slot in zip(columns, self.slots, strict=False)]
        return self._given(
            [convert(row[name]) if convert else row[name] for row in rows for name, convert in conversions]
        )

    def _given(self, values: Iterable[Any]) -> Any:
        """As the driver takes them."""
        if self.is_positional:
            return tuple(values)
        return {slot.name: value for slot, value in zip(self.slots, values, strict=True)}


def _compile(statement: Executable, dialect: Dialect) -> _Compiled:
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    slots: dict[str, _Parameter] = {}
    for parameter, name in compiled.bind_names.items():
        convert = parameter.type.dialect_impl(dialect).bind_processor(dialect)
        fixed = None if parameter.required else parameter.effective_value
        if convert and not parameter.required:
            fixed = convert(fixed)
        slots[name] = _Parameter(name, not parameter.required, fixed, convert)
    order = compiled.positiontup if compiled.positional else slots
    return _Compiled(str(compiled), compiled.positional, tuple(slots[name] for name in order))


def _execute_by_driver(connection: Connection, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
    """Execute it by SQLite's driver; returns the rows, if any. Raises the kind of error that SQLAlchemy makes of it."""
    if not connection.in_transaction():
        connection.begin()  # as SQLAlchemy does; it refuses where a transaction has just ended
    driver: Any = connection.connection.driver_connection
    try:
        rows: list[Any] = driver.execute(statement, parameters).fetchall()
    except sqlite3.Error as error:
        kind = getattr(exc, type(error).__name__, exc.DBAPIError)
        raise kind(statement, None, error, hide_parameters=True) from error
    return rows


def _result_conversions(query: Select[*tuple[Any, ...]], dialect: Dialect) -> tuple[tuple[int, _Convert], ...]:
    found = (
        (place, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for place, column in enumerate(query.selected_columns)
    )
    return tuple((place, convert) for place, convert in found if convert is not None)


def _as_one_row(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    columns: list[ColumnElement[Any]] = list(query.subquery().c)
    return select(func.json_group_array(func.json_array(*columns)))
