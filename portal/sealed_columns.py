"""Sealed values in tables, and sealing them anew with the first key: what a room says of each of its tables.

A value opens only in its context, which is made of its row and of what it is for; so each room re-seals its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select, tuple_, update
from sqlalchemy import Table as SQLTable
from sqlalchemy.orm import Session

from portal.secret_box import SecretBox, Unreadable

Reseal = Callable[[str, str], str]  # a sealed value and its context -> the same value, sealed with the first key
AT_ONCE = 50  # rows of one transaction


class CannotOpen(Exception):
    """No key of the box opens the value: it needs another key, or was for something that is no more."""


@dataclass(frozen=True, kw_only=True)
class SealedTable:
    """A table that holds sealed values, in `columns`.

    `sealed_anew` gives the new values of those columns of a row, and only reads; it raises CannotOpen. `is_stale` picks
    the rows whose values may be sealed with another key than the one of this id; rows beyond that are sealed anew for
    nothing. `on_sealed_anew` is called once the row has its new values.
    """

    table: SQLTable
    columns: tuple[str, ...]
    sealed_anew: Callable[[Session, Row[Any], Reseal], dict[str, Any]]
    is_stale: Callable[[str], ColumnElement[bool]]
    on_sealed_anew: Callable[[Session, Row[Any]], object] = lambda _session, _row: None
    at_once: int = AT_ONCE


@dataclass(frozen=True)
class Resealed:
    """What came of some rows. `last` is the key of the last one, None where there was none."""

    last: tuple[Any, ...] | None
    resealed: int = 0
    unreadable: int = 0


def text_is_stale(*columns: ColumnElement[Any]) -> Callable[[str], ColumnElement[bool]]:
    """Of columns that each hold one sealed text, or NULL."""

    def is_stale(key_id: str) -> ColumnElement[bool]:
        start = f"v1.{key_id}.%"
        return or_(*(and_(column.is_not(None), column.not_like(start)) for column in columns))

    return is_stale


def table_of(model: Any) -> SQLTable:
    """The table that a model maps."""
    table: SQLTable = model.__table__
    return table


def sealed_texts(
    model: Any, *columns: str, sealed_anew: Callable[[Session, Row[Any], Reseal], dict[str, Any]]
) -> SealedTable:
    """A model's table in which each of these columns holds one sealed text, or NULL."""
    table = table_of(model)
    is_stale = text_is_stale(*(table.c[name] for name in columns))
    return SealedTable(table=table, columns=columns, sealed_anew=sealed_anew, is_stale=is_stale)


def reseal_some(session: Session, sealed: SealedTable, *, box: SecretBox, after: tuple[Any, ...] | None) -> Resealed:
    """Seal the next rows anew, in the caller's transaction. What another transaction holds is left for later."""
    key = sealed.table.primary_key.columns
    wanted = select(sealed.table).where(sealed.is_stale(box.key_id)).order_by(*key).limit(sealed.at_once)
    if after is not None:
        wanted = wanted.where(tuple_(*key) > tuple_(*after))
    rows = session.execute(wanted.with_for_update(skip_locked=True)).all()
    done = lost = 0
    for row in rows:
        try:
            values = sealed.sealed_anew(session, row, _resealing(box))
        except CannotOpen:
            lost += 1
            continue
        if not values:
            continue
        this = and_(*(column == row._mapping[column.name] for column in key))
        session.execute(update(sealed.table).where(this).values(**values))
        sealed.on_sealed_anew(session, row)
        done += 1
    last = tuple(rows[-1]._mapping[column.name] for column in key) if rows else None
    return Resealed(last, done, lost)


def count_unreadable(session: Session, sealed: SealedTable, *, box: SecretBox) -> int:
    """How many rows hold something that no key of the box opens; reads them all."""
    lost = 0
    for row in session.execute(select(sealed.table).execution_options(yield_per=sealed.at_once)):
        try:
            sealed.sealed_anew(session, row, _resealing(box))
        except CannotOpen:
            lost += 1
    return lost


def _resealing(box: SecretBox) -> Reseal:
    def reseal(value: str, context: str) -> str:
        opened = box.open_bytes(value, context)
        if isinstance(opened, Unreadable):
            raise CannotOpen(opened.reason)
        return box.seal(opened, context)

    return reseal
