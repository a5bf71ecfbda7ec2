"""Webhooks of a server: the address that is told what became of its messages, and the secret that signs each call."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal import audit
from portal.network.https_origins import origin_of
from portal.secret_box import SecretBox
from portal.servers.models import Server, Webhook, WebhookEvent
from portal.servers.sealed_values import webhook_context
from portal.servers.stored import ChangeRefused, lock
from portal.wording import N_

MOST_WEBHOOKS = 5  # of one server
LONGEST_URL = 1000
_SECRET_START = "whsec_"  # noqa: S105 - as Standard Webhooks writes every secret
_SECRET_OCTETS = 32


@dataclass(frozen=True, kw_only=True)
class StoredWebhook:
    """A webhook as pages show it."""

    id: UUID
    url: str
    is_enabled: bool
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str
    waiting: int  # events that it was not told yet


def of_server(session: Session, server_id: UUID) -> tuple[StoredWebhook, ...]:
    """The webhooks of a server, the oldest first."""
    waiting = (
        select(func.count()).where(WebhookEvent.webhook_id == Webhook.id, WebhookEvent.ended_at.is_(None))
    ).scalar_subquery()
    query = select(Webhook, waiting).where(Webhook.server_id == server_id).order_by(Webhook.created_at, Webhook.id)
    return tuple(
        StoredWebhook(
            id=row.id,
            url=row.url,
            is_enabled=row.is_enabled,
            last_success_at=row.last_success_at,
            last_failure_at=row.last_failure_at,
            last_error=row.last_error,
            waiting=count,
        )
        for row, count in session.execute(query)
    )


def check_url(text: str) -> str:
    """An address that can be called. Raises ChangeRefused; whether it may be reached is seen with each call."""
    text = text.strip()
    try:
        origin_of(text)
    except ValueError:
        raise ChangeRefused(
            N_("Type an address that begins with https://, without a user name, as in https://wiki.contoso.test/mail.")
        ) from None
    if len(text) > LONGEST_URL or not text.isascii() or "#" in text:
        raise ChangeRefused(N_("Type an address of at most 1,000 ASCII characters, without a # in it."))
    return text


def create(session: Session, server_id: UUID, url: str, *, box: SecretBox, actor: audit.Actor, now: datetime) -> str:
    """Store a webhook and return its secret, which is readable this once. Raises ChangeRefused."""
    server = _locked_server(session, server_id)
    number = session.scalar(select(func.count()).where(Webhook.server_id == server_id)) or 0
    if number >= MOST_WEBHOOKS:
        raise ChangeRefused(N_("A server has at most %(most)s webhooks. Remove one first.", most=MOST_WEBHOOKS))
    secret = _SECRET_START + base64.b64encode(secrets.token_bytes(_SECRET_OCTETS)).decode("ascii")
    row = Webhook(
        id=uuid4(),
        server_id=server_id,
        url=check_url(url),
        is_enabled=True,
        created_at=now,
        created_by=actor.name,
        last_error="",
    )
    row.sealed_secret = box.seal(secret, webhook_context(row.id))
    session.add(row)
    session.flush()
    changes: dict[str, tuple[str | None, str | None] | audit.Changed] = {
        "url": (None, row.url),
        "secret": audit.CHANGED,
    }
    audit.record(session, action="server.webhook_added", actor=actor, subject=_named(server), changes=changes, now=now)
    return secret


def remove(session: Session, server_id: UUID, webhook_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """It is told nothing more, not even what waits. Raises LookupError where there is none."""
    server = _locked_server(session, server_id)
    row = _row(session, server_id, webhook_id)
    session.delete(row)
    session.flush()
    changes = {"url": (row.url, None)}
    audit.record(
        session, action="server.webhook_removed", actor=actor, subject=_named(server), changes=changes, now=now
    )


def enable(session: Session, server_id: UUID, webhook_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """It is told again what happens, and what waits at once. Raises LookupError where there is none."""
    server = _locked_server(session, server_id)
    row = _row(session, server_id, webhook_id)
    was_enabled, row.is_enabled = row.is_enabled, True
    waiting = update(WebhookEvent).where(WebhookEvent.webhook_id == webhook_id, WebhookEvent.ended_at.is_(None))
    session.execute(waiting.values(due_at=now))
    changes = {"is_enabled": (was_enabled, True)}
    audit.record(
        session, action="server.webhook_enabled", actor=actor, subject=_named(server), changes=changes, now=now
    )


def _named(server: Server) -> str:
    return f"server {server.name}"


def _locked_server(session: Session, server_id: UUID) -> Server:
    found = lock(session, server_id)
    if found is None:
        raise LookupError(f"there is no server {server_id}")
    return found


def _row(session: Session, server_id: UUID, webhook_id: UUID) -> Webhook:
    query = select(Webhook).where(Webhook.id == webhook_id, Webhook.server_id == server_id)
    found = session.scalars(query).one_or_none()
    if found is None:
        raise LookupError(f"the server has no webhook {webhook_id}")
    return found
