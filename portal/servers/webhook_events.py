"""What webhooks are to be told: one event for each end of a message, written down before it is told.

The worker tells of an end after its commit, so a crash between the two would lose it: `catch_up` reads the ends of the
time past again. An event's id is made of what it tells, so that writing it twice is writing it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal.outbox.submitted import End, ends_of
from portal.servers.models import Webhook, WebhookEvent

KEEP_FOR = timedelta(days=7)  # once it was told, or given up
_AT_ONCE = 500
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def remember(session: Session, message_ids: Sequence[UUID], *, now: datetime, withheld: str = "") -> None:
    """Write down how these messages ended, for the webhooks of their servers.

    What has not ended, and what no webhook is to be told, is passed over. `withheld`: why none is ever told of these.
    """
    if hooks := _hooks(session):
        _write(session, ends_of(session, servers=hooks.keys(), message_ids=message_ids), hooks, now, withheld)


def catch_up(
    session: Session, *, since: datetime, until: datetime | None = None, now: datetime, withheld: str = ""
) -> None:
    """The same for every message that ended since, and before `until` where that is given."""
    if hooks := _hooks(session):
        _write(session, ends_of(session, servers=hooks.keys(), since=since, until=until), hooks, now, withheld)


def purge(session: Session, *, now: datetime) -> None:
    """Forget what was told, or given up, a week ago."""
    session.execute(delete(WebhookEvent).where(WebhookEvent.ended_at <= now - KEEP_FOR))


_Hooks = dict[UUID, list[tuple[UUID, datetime]]]  # by server: webhooks, and since when each is there


def _hooks(session: Session) -> _Hooks:
    found: _Hooks = {}
    for row in session.execute(select(Webhook.server_id, Webhook.id, Webhook.created_at).where(Webhook.is_enabled)):
        found.setdefault(row.server_id, []).append((row.id, row.created_at))
    return found


def _write(session: Session, ends: Iterable[End], hooks: _Hooks, now: datetime, withheld: str) -> None:
    """What is withheld is written, too: an end that is read again later is then known and not told."""
    rows = [
        _row(end, webhook_id, now, withheld)
        for end in ends
        for webhook_id, created_at in hooks[end.server_id]
        if end.ended_at >= created_at
    ]
    new = _INSERTS[session.connection().dialect.name](WebhookEvent).on_conflict_do_nothing()
    for start in range(0, len(rows), _AT_ONCE):
        session.execute(new, rows[start : start + _AT_ONCE])


def _row(end: End, webhook_id: UUID, now: datetime, withheld: str) -> dict[str, Any]:
    event = f"message.{end.status}"
    data = {
        "id": str(end.message_id),
        "status": str(end.status),
        "subject": end.subject,
        "to": list(end.to),
        "recipients": [{"address": address, "status": str(status)} for address, status in end.recipients],
        "ended_at": end.ended_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "location": f"/api/v1/messages/{end.message_id}",
    }
    return {
        "id": uuid5(webhook_id, f"{end.message_id} {event}"),
        "webhook_id": webhook_id,
        "event": event,
        "payload": {"type": event, "timestamp": data["ended_at"], "data": data},
        "created_at": now,
        "due_at": now,
        "attempts": 0,
        "was_taken": False,
        "last_error": withheld,
        "ended_at": now if withheld else None,
    }
