"""Signs of life of the workers, for pages and for the readiness check."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal.outbox.models import WorkerHeartbeat

BEAT_EVERY = timedelta(seconds=5)
IS_DEAD_AFTER = timedelta(minutes=10)


def worker_seen_at(session: Session) -> datetime | None:
    """When a worker last gave a sign of life, which each gives every 5 s; None when none runs."""
    return session.scalar(select(func.max(WorkerHeartbeat.seen_at)))


def beat(connection: Connection, owner: str, now: datetime) -> None:
    """Write this worker's sign of life, and drop those of workers that are long dead."""
    seen = connection.execute(update(WorkerHeartbeat).where(WorkerHeartbeat.owner == owner).values(seen_at=now))
    if seen.rowcount == 0:
        connection.execute(insert(WorkerHeartbeat).values(owner=owner, started_at=now, seen_at=now))
        connection.execute(delete(WorkerHeartbeat).where(WorkerHeartbeat.seen_at < now - IS_DEAD_AFTER))


def stop(connection: Connection, owner: str) -> None:
    """This worker ends in an orderly way."""
    connection.execute(delete(WorkerHeartbeat).where(WorkerHeartbeat.owner == owner))
