"""The sealed values of this room, for whoever seals them anew with another key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from portal.sealed_columns import Reseal, sealed_texts
from portal.servers import log_ins
from portal.servers.models import ServerLogin, Webhook


def _log_in(_session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    return {"sealed": row.sealed and reseal(row.sealed, log_ins.sealing_context(row.id))}


def _webhook(_session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    return {"sealed_secret": reseal(row.sealed_secret, webhook_context(row.id))}


def webhook_context(webhook_id: Any) -> str:
    """What the secret that signs a webhook's calls is sealed for."""
    return f"webhook.sealed_secret:{webhook_id}"


SEALED = (
    sealed_texts(ServerLogin, "sealed", sealed_anew=_log_in),
    sealed_texts(Webhook, "sealed_secret", sealed_anew=_webhook),
)
