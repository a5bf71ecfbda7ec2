"""How often something may be done: fixed windows, counted in the database and so across all processes.

Counting is one statement in a short transaction of its own, before or after the caller's unit of work, never
inside it: SQLite has one writer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import limits
from sqlalchemy import Engine, case, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from werkzeug.exceptions import TooManyRequests

from portal.database import writing
from portal.web.models import RateLimitCounter

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
    limit = _parsed(rule)
    hits, expires_at = _count(engine, _key(rule, key_parts), now, timedelta(seconds=limit.get_expiry()))
    if hits <= limit.amount:
        return Allowed(remaining=limit.amount - hits)
    return Refused(retry_after_seconds=max(1, round((expires_at - now).total_seconds())))


def require(engine: Engine, rule: str, *key_parts: str, now: datetime | None = None) -> None:
    """The same for views: raises TooManyRequests (429 with Retry-After), whose page says how long to wait."""
    outcome = allow(engine, rule, *key_parts, now=now)
    if isinstance(outcome, Refused):
        raise TooManyRequests(retry_after=outcome.retry_after_seconds)


def give_back(engine: Engine, rule: str, *key_parts: str, now: datetime | None = None) -> None:
    """Take one counted use back: it was none, such as a sign-in whose password was right."""
    table = RateLimitCounter
    counted = update(table).where(table.key == _key(rule, key_parts), table.hits > 0)
    with writing(engine).begin() as connection:
        connection.execute(counted.where(table.expires_at > (now or datetime.now(UTC))).values(hits=table.hits - 1))


def purge(engine: Engine, now: datetime) -> int:
    """Delete the windows that are over; how many there were."""
    with writing(engine).begin() as connection:
        result = connection.execute(delete(RateLimitCounter).where(RateLimitCounter.expires_at <= now))
        return int(result.rowcount)


def _count(engine: Engine, key: str, now: datetime, window: timedelta) -> tuple[int, datetime]:
    table = RateLimitCounter
    is_over = table.expires_at <= now
    insert = _INSERTS[engine.dialect.name](table).values(key=key, hits=1, expires_at=now + window)
    statement = insert.on_conflict_do_update(
        index_elements=[table.key],
        set_={
            "hits": case((is_over, 1), else_=table.hits + 1),
            "expires_at": case((is_over, insert.excluded.expires_at), else_=table.expires_at),
        },
    ).returning(table.hits, table.expires_at)
    with writing(engine).begin() as connection:
        hits, expires_at = connection.execute(statement).one()
    return hits, expires_at


@lru_cache(maxsize=64)
def _parsed(rule: str) -> limits.RateLimitItem:
    return limits.parse(rule)


def _key(rule: str, parts: tuple[str, ...]) -> str:
    text = "".join(f"{len(part)}:{part}" for part in (rule, *parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
