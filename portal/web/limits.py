"""How often something may be done: fixed windows, counted in the database and so across all processes.

Counting is one statement in a short transaction of its own, before or after the caller's unit of work, never
inside it: SQLite has one writer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import limits
from sqlalchemy import Connection, Engine, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests

from portal.database import writing
from portal.web.models import RateLimitCounter

Use = tuple[str, tuple[str, ...]]  # a rule, and what it is counted by
_FEW_KEYS = 500  # more are cheaper found among all counters that stand as high
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True)
class Allowed:
    remaining: int


@dataclass(frozen=True)
class Refused:
    retry_after_seconds: int


def allow(engine: Engine, rule: str, *key_parts: str, now: datetime | None = None) -> Allowed | Refused:
    """Count one use of `rule` ("5/minute", "3 per hour") by `key_parts` and say whether it was still within it.

    The first part names the limit, the others whom it counts: `allow(engine, "5/minute", "sign-in", address)`.
    The window begins with the first use. Refused uses do not prolong it. Raises ValueError for a bad rule.
    """
    now = now or datetime.now(UTC)
    with writing(engine).begin() as connection:
        hits, expires_at = _count(connection, rule, key_parts, now)
    return Allowed(remaining=amount(rule) - hits) if hits <= amount(rule) else _refused(expires_at, now)


def require(engine: Engine, rule: str, *key_parts: str, now: datetime | None = None) -> None:
    """The same for views: raises TooManyRequests (429 with Retry-After), whose page says how long to wait."""
    outcome = allow(engine, rule, *key_parts, now=now)
    if isinstance(outcome, Refused):
        raise TooManyRequests(retry_after=outcome.retry_after_seconds)


def require_all(engine: Engine, used: Sequence[Use], now: datetime) -> None:
    """The same for several rules at once, in one short transaction. What follows a refused one is not counted."""
    refused: Refused | None = None
    with writing(engine).begin() as connection:
        for rule, parts in used:
            hits, expires_at = _count(connection, rule, parts, now)
            if hits > amount(rule):
                refused = _refused(expires_at, now)
                break
    if refused is not None:
        raise TooManyRequests(retry_after=refused.retry_after_seconds)


def give_back_all(engine: Engine, used: Sequence[Use], now: datetime) -> None:
    """Take one counted use of each rule back, in one short transaction."""
    table = RateLimitCounter
    with writing(engine).begin() as connection:
        for rule, parts in used:
            counted = update(table).where(table.key == _key(rule, parts), table.hits > 0, table.expires_at > now)
            connection.execute(counted.values(hits=table.hits - 1))


def give_back(engine: Engine, rule: str, *key_parts: str, now: datetime | None = None) -> None:
    """Take one counted use back: it was none, such as a sign-in whose password was right."""
    table = RateLimitCounter
    counted = update(table).where(table.key == _key(rule, key_parts), table.hits > 0)
    with writing(engine).begin() as connection:
        connection.execute(counted.where(table.expires_at > (now or datetime.now(UTC))).values(hits=table.hits - 1))


def is_used_up(session: Session, rule: str, *key_parts: str, now: datetime) -> bool:
    """Whether the next use would be refused. Only reads, so it may stand inside a unit of work."""
    table = RateLimitCounter
    hits = select(table.hits).where(table.key == _key(rule, key_parts), table.expires_at > now)
    return (session.scalar(hits) or 0) >= amount(rule)


def used_up(session: Session, uses: Sequence[Use], *, now: datetime) -> set[Use]:
    """Those of the uses that would be refused: one statement, however many there are. Only reads."""
    if not uses:
        return set()
    table, keys = RateLimitCounter, {use: _key(*use) for use in uses}
    fewest = min(amount(rule) for rule, _parts in uses)
    found = select(table.key, table.hits).where(table.hits >= fewest, table.expires_at > now)
    if len(keys) <= _FEW_KEYS:
        found = found.where(table.key.in_(keys.values()))
    hits = {row.key: row.hits for row in session.execute(found)}
    return {use for use, key in keys.items() if hits.get(key, 0) >= amount(use[0])}


def amount(rule: str) -> int:
    """How many uses a rule allows within its window. Raises ValueError for a bad rule."""
    return _parsed(rule).amount


def forget(engine: Engine, rule: str, *key_parts: str) -> None:
    """Begin anew: nothing was counted by `key_parts`."""
    with writing(engine).begin() as connection:
        connection.execute(delete(RateLimitCounter).where(RateLimitCounter.key == _key(rule, key_parts)))


def purge(engine: Engine, now: datetime) -> int:
    """Delete the windows that are over; how many there were."""
    with writing(engine).begin() as connection:
        result = connection.execute(delete(RateLimitCounter).where(RateLimitCounter.expires_at <= now))
        return int(result.rowcount)


def client_key(address: str) -> str:
    """What the uses of a client's address are counted by: of IPv6 the /64, since whoever has one has all of it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def _refused(expires_at: datetime, now: datetime) -> Refused:
    return Refused(retry_after_seconds=max(1, round((expires_at - now).total_seconds())))


def _count(connection: Connection, rule: str, parts: tuple[str, ...], now: datetime) -> tuple[int, datetime]:
    table = RateLimitCounter
    key, window = _key(rule, parts), timedelta(seconds=_parsed(rule).get_expiry())
    is_over = table.expires_at <= now
    insert = _INSERTS[connection.dialect.name](table).values(key=key, hits=1, expires_at=now + window)
    statement = insert.on_conflict_do_update(
        index_elements=[table.key],
        set_={
            "hits": case((is_over, 1), else_=table.hits + 1),
            "expires_at": case((is_over, insert.excluded.expires_at), else_=table.expires_at),
        },
    ).returning(table.hits, table.expires_at)
    hits, expires_at = connection.execute(statement).one()
    return hits, expires_at


@lru_cache(maxsize=64)
def _parsed(rule: str) -> limits.RateLimitItem:
    return limits.parse(rule)


def _key(rule: str, parts: tuple[str, ...]) -> str:
    text = "".join(f"{len(part)}:{part}" for part in (rule, *parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
