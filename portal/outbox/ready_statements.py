"""Statements that are compiled once for each dialect and then handed to the driver as they are.

A busy worker runs the same few statements with every slice. What SQLAlchemy does anew at each execution, and for each
row with the result's columns, costs more than the database's own work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, func, select
from sqlalchemy.engine import Connection, CursorResult, Dialect

_Convert = Callable[[Any], Any]


class ReadyStatement:
    """Made from a statement for a dialect's name. Its parameters are `bindparam`s; none is an expanding one (IN)."""

    def __init__(self, build: Callable[[str], Executable]) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Execute it. Raises KeyError where a parameter has no value."""
        self._execute(connection, values)

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        compiled = self._for(connection.dialect)
        return connection.exec_driver_sql(compiled.text, compiled.parameters(values))

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
        found = self._execute(connection, values).all()
        return [self._converted(row, connection.dialect) for row in found]

    def _converted(self, row: Any, dialect: Dialect) -> tuple[Any, ...]:
        if dialect.name not in self._conversions:
            self._conversions[dialect.name] = _result_conversions(self._select(dialect.name), dialect)
        conversions = self._conversions[dialect.name]
        if not conversions:
            return tuple(row)
        converted = list(row)
        for place, convert in conversions:
            converted[place] = convert(converted[place])
        return tuple(converted)


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
        listed = self._execute(connection, values).scalar_one()
        return [self._converted(row, connection.dialect) for row in json.loads(listed)]


@dataclass(frozen=True)
class _Compiled:
    """SQL for the driver, and what each parameter goes through on its way there."""

    text: str
    order: tuple[str, ...]  # of the parameters, where they are given by place
    is_positional: bool
    conversions: tuple[tuple[str, _Convert | None], ...]
    fixed: Mapping[str, Any]  # values that are part of the statement

    def parameters(self, values: Mapping[str, Any]) -> Any:
        given = {name: convert(values[name]) if convert else values[name] for name, convert in self.conversions}
        if self.fixed:
            given.update(self.fixed)
        return tuple([given[name] for name in self.order]) if self.is_positional else given


def _compile(statement: Executable, dialect: Dialect) -> _Compiled:
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    conversions: list[tuple[str, _Convert | None]] = []
    fixed: dict[str, Any] = {}
    for parameter, name in compiled.bind_names.items():
        convert = parameter.type.dialect_impl(dialect).bind_processor(dialect)
        if parameter.required:
            conversions.append((name, convert))
        else:
            fixed[name] = convert(parameter.effective_value) if convert else parameter.effective_value
    order = tuple(compiled.positiontup or ())
    return _Compiled(str(compiled), order, compiled.positional, tuple(conversions), fixed)


def _result_conversions(query: Select[*tuple[Any, ...]], dialect: Dialect) -> tuple[tuple[int, _Convert], ...]:
    found = (
        (place, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for place, column in enumerate(query.selected_columns)
    )
    return tuple((place, convert) for place, convert in found if convert is not None)


def _as_one_row(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    columns: list[ColumnElement[Any]] = list(query.subquery().c)
    return select(func.json_group_array(func.json_array(*columns)))
