"""Telling webhooks: signed (https://www.standardwebhooks.com), at least once, again and again for three days.

What answers with 2xx has taken it. Of one webhook no second event is tried in a run after one that failed, and the
first of each come before the second of any. 410 switches a webhook off: whoever answers so wants nothing more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.network.https import HTTPS, HTTPSError
from portal.secret_box import SecretBox
from portal.servers.models import Webhook, WebhookEvent
from portal.servers.sealed_values import webhook_context

GIVE_UP_AFTER = timedelta(days=3)
RETRY_AFTER = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800))
_OTHERS_WAIT = timedelta(seconds=30)  # of the same webhook, once one failed
MOST_AT_ONCE = 200  # events of one run
_THREADS = 4
_CALL_SECONDS = 10.0
_RUN_SECONDS = 20.0  # of one webhook in one run
_MOST_ANSWERED = 65_536  # octets, of which none is read
_GONE = 410
_log = structlog.get_logger("portal.webhooks")
UnitOfWork = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, kw_only=True)
class Due:
    """An event that is to be told now."""

    id: UUID
    webhook_id: UUID
    url: str
    sealed_secret: str = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    attempts: int


def has_waiting(engine: Engine, *, now: Callable[[], datetime]) -> bool:
    """Whether something is to be told. Only reads."""
    with engine.connect() as connection:
        return connection.execute(_due_ids(now()).limit(1)).first() is not None


def tell(unit_of_work: UnitOfWork, *, https: HTTPS, box: SecretBox, now: datetime) -> None:
    """Tell what is due; returns when each has been tried once."""
    with unit_of_work() as session:
        found = [Due(**row._mapping) for row in session.execute(_due(now))]
    by_webhook: dict[UUID, list[Due]] = {}
    for due in found:
        by_webhook.setdefault(due.webhook_id, []).append(due)
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="webhooks") as pool:
        list(
            pool.map(lambda events: _tell_one(unit_of_work, events, https=https, box=box, now=now), by_webhook.values())
        )


def signature(secret: str, event_id: str, timestamp: str, content: bytes) -> str:
    """What proves that a call comes from here: `v1,` and an HMAC-SHA256 as base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{timestamp}.".encode() + content
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")


def _due(now: datetime) -> Any:
    """What a run tells: of a webhook with many events no more than leaves room for all the others."""
    place = func.row_number().over(
        partition_by=WebhookEvent.webhook_id, order_by=(WebhookEvent.due_at, WebhookEvent.created_at)
    )
    of_this_run = _due_ids(now).order_by(place, WebhookEvent.due_at).limit(MOST_AT_ONCE)
    return (
        select(
            WebhookEvent.id,
            WebhookEvent.webhook_id,
            Webhook.url,
            Webhook.sealed_secret,
            WebhookEvent.payload,
            WebhookEvent.created_at,
            WebhookEvent.attempts,
        )
        .join(Webhook, Webhook.id == WebhookEvent.webhook_id)
        .where(WebhookEvent.id.in_(of_this_run))
        .order_by(WebhookEvent.due_at, WebhookEvent.created_at)
    )


def _due_ids(now: datetime) -> Any:
    return (
        select(WebhookEvent.id)
        .join(Webhook, Webhook.id == WebhookEvent.webhook_id)
        .where(WebhookEvent.ended_at.is_(None), WebhookEvent.due_at <= now, Webhook.is_enabled)
    )


def _tell_one(unit_of_work: UnitOfWork, events: list[Due], *, https: HTTPS, box: SecretBox, now: datetime) -> None:
    """Everything that one webhook is to be told, until something fails or the time is up."""
    ends_at = time.monotonic() + _RUN_SECONDS
    for due in events:
        began = time.monotonic()
        error, is_gone = _call(due, https=https, box=box, now=now)
        moment = now + timedelta(seconds=time.monotonic() - began)
        with unit_of_work() as session:
            if error is None:
                _note_success(session, due, moment)
            else:
                _note_failure(session, due, error, moment, is_gone=is_gone)
        if error is not None or time.monotonic() > ends_at:
            return


def _call(due: Due, *, https: HTTPS, box: SecretBox, now: datetime) -> tuple[str | None, bool]:
    """Why it was not taken, None if it was; and whether the receiver wants nothing more."""
    secret = box.open(due.sealed_secret, webhook_context(due.webhook_id))
    if not isinstance(secret, str):
        return "the secret cannot be opened with the keys of this portal", False
    content = json.dumps(due.payload, separators=(",", ":")).encode()
    timestamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": str(due.id),
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, str(due.id), timestamp, content),
    }
    try:
        answer = https.request(
            "POST", due.url, headers=headers, content=content, seconds=_CALL_SECONDS, most_octets=_MOST_ANSWERED
        )
    except HTTPSError as error:
        return error.seen, False
    if 200 <= answer.status < 300:
        return None, False
    return f"it answered {answer.status}", answer.status == _GONE


def _note_success(session: Session, due: Due, now: datetime) -> None:
    _change_event(session, due, was_taken=True, ended_at=now, last_error="", attempts=due.attempts + 1)
    told = update(Webhook).where(Webhook.id == due.webhook_id)
    session.execute(told.values(last_success_at=now, last_error=""))


def _note_failure(session: Session, due: Due, error: str, now: datetime, *, is_gone: bool) -> None:
    others = update(WebhookEvent).where(WebhookEvent.webhook_id == due.webhook_id, WebhookEvent.ended_at.is_(None))
    session.execute(others.where(WebhookEvent.due_at <= now).values(due_at=now + _OTHERS_WAIT))
    too_old = others.where(WebhookEvent.created_at <= now - GIVE_UP_AFTER)
    session.execute(too_old.values(ended_at=now, last_error=error[:500]))  # tried or not: they must not pile up
    is_over = now - due.created_at >= GIVE_UP_AFTER
    wait = RETRY_AFTER[min(due.attempts, len(RETRY_AFTER) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311
    _change_event(
        session,
        due,
        attempts=due.attempts + 1,
        due_at=now + wait,
        ended_at=now if is_over else None,
        last_error=error[:500],
    )
    failed: dict[str, Any] = {"last_failure_at": now, "last_error": error[:500]}
    if is_gone:
        failed["is_enabled"] = False
    session.execute(update(Webhook).where(Webhook.id == due.webhook_id).values(**failed))
    _log.warning("a webhook was not told", webhook=str(due.webhook_id), attempts=due.attempts + 1, error=error)


def _change_event(session: Session, due: Due, **values: Any) -> None:
    """Unless it went meanwhile, with its webhook."""
    session.execute(update(WebhookEvent).where(WebhookEvent.id == due.id).values(**values))
