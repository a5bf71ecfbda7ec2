"""Whether the chain holds: every sealed entry is read again in order, and its hash made anew.

Each fault is told once: after an entry that does not fit, the stored hash is taken as the one to go on from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.engine import Connection, Engine

from portal.audit.chain import BEFORE_THE_FIRST, next_hash
from portal.audit.models import AuditEntry

MOST_FAULTS = 20  # that are told one by one
_AT_ONCE = 1000


class Kind(StrEnum):
    CHANGED = "changed"  # content, place or hash are not those that were sealed
    MISSING = "missing"  # no entry has this place
    UNREADABLE = "unreadable"  # the row holds what no entry can hold
    EXTRA = "extra"  # a place before the first
    OTHER_HASH = "other_hash"  # the chain has another hash at this place than the one that was kept elsewhere
    CUT_OFF = "cut_off"  # the chain ends before the place whose hash was kept elsewhere


@dataclass(frozen=True)
class Fault:
    """What does not fit at `place`, up to and including `last`. The entry is named where there is one."""

    kind: Kind
    place: int
    last: int
    at: datetime | None = None
    action: str = ""


@dataclass(frozen=True)
class Examined:
    """`faults` are the first MOST_FAULTS of `fault_count`. `newest` is place and hash; None: nothing is sealed."""

    sealed: int
    newest: tuple[int, bytes] | None
    faults: tuple[Fault, ...]
    fault_count: int
    waiting_since: datetime | None  # the oldest entry that is not sealed yet


def verify(engine: Engine, kept: Mapping[int, bytes] = MappingProxyType({})) -> Examined:
    """Read the whole chain, in short transactions. `kept`: hashes that were written down elsewhere, by place."""
    chain = _Chain()
    for entry in _entries(engine):
        chain.take(entry, kept)
    for place in sorted(kept):
        if place > chain.place:
            chain.tell(Fault(Kind.CUT_OFF, place, place))
    newest = (chain.place, chain.newest) if chain.place and chain.newest else None
    return Examined(chain.sealed, newest, tuple(chain.faults), chain.fault_count, _waiting_since(engine))


@dataclass(frozen=True)
class _Unreadable:
    place: int


@dataclass
class _Chain:
    """What was read so far. `newest` is the hash to go on from, None where it cannot be known."""

    sealed: int = 0
    place: int = 0
    newest: bytes | None = BEFORE_THE_FIRST
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0

    def take(self, entry: Row[Any] | _Unreadable, kept: Mapping[int, bytes]) -> None:
        """The entry with the next higher place."""
        place = entry.place
        self.sealed += 1
        if place < 1:
            self.tell(Fault(Kind.EXTRA, place, place))
            return
        if place > self.place + 1:
            self.tell(Fault(Kind.MISSING, self.place + 1, place - 1))
            self.newest = None
        self.place = place
        if isinstance(entry, _Unreadable):
            self.tell(Fault(Kind.UNREADABLE, place, place))
            self.newest = None
            return
        if entry.sealed_hash is None or (self.newest is not None and not _fits(self.newest, entry)):
            self.tell(Fault(Kind.CHANGED, place, place, entry.at, entry.action))
        elif place in kept and kept[place] != entry.sealed_hash:
            self.tell(Fault(Kind.OTHER_HASH, place, place, entry.at, entry.action))
        self.newest = entry.sealed_hash

    def tell(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)


def _fits(before: bytes, entry: Row[Any]) -> bool:
    return bool(next_hash(before, entry, entry.place) == entry.sealed_hash)


def _entries(engine: Engine) -> Iterator[Row[Any] | _Unreadable]:
    """Every sealed entry, in the order of places."""
    last: int | None = None
    while True:
        with engine.connect() as connection:
            entries = _page(connection, last, _AT_ONCE)
        yield from entries
        if len(entries) < _AT_ONCE:
            return
        last = entries[-1].place


def _page(connection: Connection, last: int | None, limit: int) -> list[Row[Any] | _Unreadable]:
    """The entries after the place `last`. Where a row cannot be read, the page is read one by one."""
    try:
        return list(connection.execute(_following(select(AuditEntry.__table__), last).limit(limit)))
    except (TypeError, ValueError):
        places = connection.scalars(_following(select(AuditEntry.place), last).limit(limit)).all()
    return [_entry(connection, place) for place in places if place is not None]


def _entry(connection: Connection, place: int) -> Row[Any] | _Unreadable:
    try:
        return connection.execute(select(AuditEntry.__table__).where(AuditEntry.place == place)).one()
    except (TypeError, ValueError):
        return _Unreadable(place)


def _following(selected: Select[Any], last: int | None) -> Select[Any]:
    after = AuditEntry.place.is_not(None) if last is None else AuditEntry.place > last
    return selected.where(after).order_by(AuditEntry.place)


def _waiting_since(engine: Engine) -> datetime | None:
    oldest = select(AuditEntry.at).where(AuditEntry.place.is_(None)).order_by(AuditEntry.id).limit(1)
    with engine.connect() as connection:
        return connection.execute(oldest).scalar()
