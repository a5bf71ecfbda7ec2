"""Reading the log: by page, the newest first, and all that a filter leaves, the oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, select, true
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.orm import Session

from portal.audit.models import AuditEntry

PAGE_SIZE = 100
HIGHEST_ID = 2**63 - 1
_AT_ONCE = 1000
_LATEST = select(AuditEntry.id).order_by(AuditEntry.id.desc()).limit(64).subquery()
_NEWS = select(func.max(_LATEST.c.id), func.sum(_LATEST.c.id))


@dataclass(frozen=True)
class Wanted:
    """Which entries; "" and None stand for all. Texts may stand anywhere, `until` is not included."""

    who: str = ""
    action: str = ""
    subject: str = ""
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    entries: Sequence[Row[Any]]
    next_before: int | None  # None where this page is the last


def page(session: Session, wanted: Wanted, *, before: int | None = None) -> Page:
    """The newest entries that are wanted; the next page begins before the entry `before`."""
    place = AuditEntry.id < before if before is not None and 0 <= before <= HIGHEST_ID else true()
    newest = select(AuditEntry.__table__).where(place, _is(wanted)).order_by(AuditEntry.id.desc())
    found = session.execute(newest.limit(PAGE_SIZE + 1)).all()
    return Page(found[:PAGE_SIZE], found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None)


def all_of(engine: Engine, wanted: Wanted, *, last: int) -> Iterator[Row[Any]]:
    """Every entry that is wanted up to the entry `last`, in the order of writing; in short transactions."""
    after = 0
    while True:
        following = select(AuditEntry.__table__).where(AuditEntry.id > after, AuditEntry.id <= last, _is(wanted))
        with engine.connect() as connection:
            found = connection.execute(following.order_by(AuditEntry.id).limit(_AT_ONCE)).all()
        yield from found
        if len(found) < _AT_ONCE:
            return
        after = found[-1].id


def last_id(session: Session) -> int:
    """The number of the newest entry, 0 where there is none."""
    return session.scalar(select(func.max(AuditEntry.id))) or 0


def news(session: Session) -> tuple[int, int]:
    """Differs once there is another entry, be its number lower than those that were committed before it."""
    newest, of_all = session.connection().execute(_NEWS).one()
    return newest or 0, int(of_all or 0)


def news_of(engine: Engine) -> tuple[int, int]:
    """As `news`, by the driver alone, which costs a tenth of a session. Raises SQLAlchemyError."""
    refused = engine.dialect.loaded_dbapi.Error
    try:
        connection = engine.raw_connection()
    except refused:
        return _news_by_session(engine)
    try:
        cursor = connection.cursor()
        cursor.execute(_news_statement(engine.dialect))
        ((newest, of_all),) = cursor.fetchall()
        cursor.close()
    except refused as error:
        connection.invalidate(error)
        return _news_by_session(engine)
    finally:
        connection.close()
    return newest or 0, int(of_all or 0)


def _news_by_session(engine: Engine) -> tuple[int, int]:
    """What has failed is asked once more, and then failed in SQLAlchemy's words."""
    with Session(engine) as session:
        return news(session)


@lru_cache(maxsize=4)
def _news_statement(dialect: Dialect) -> str:
    return str(_NEWS.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def actions(session: Session) -> list[str]:
    """The actions that occur, each found by one step through the index, however many entries there are."""
    first = select(func.min(AuditEntry.action).label("action")).cte(recursive=True)
    following = select(func.min(AuditEntry.action)).where(AuditEntry.action > first.c.action).scalar_subquery()
    every = first.union_all(select(following).where(first.c.action.is_not(None)))
    return list(session.scalars(select(every.c.action).where(every.c.action.is_not(None))))


def subjects_of(session: Session, action: str, *, since: datetime) -> frozenset[str]:
    """What entries of this action tell of, of those written after `since`."""
    return frozenset(session.scalars(select(AuditEntry.subject).where(_is(Wanted(action=action, since=since)))))


def _is(wanted: Wanted) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [
        column.icontains(text, autoescape=True)
        for column, text in (
            (AuditEntry.actor_name, wanted.who),
            (AuditEntry.subject, wanted.subject),
            (AuditEntry.actor_address, wanted.address),
        )
        if text
    ]
    if wanted.action:
        conditions.append(AuditEntry.action == wanted.action)
    if wanted.since:
        conditions.append(AuditEntry.at >= wanted.since)
    if wanted.until:
        conditions.append(AuditEntry.at < wanted.until)
    return and_(true(), *conditions)
