"""A consent that was given and could not be stored: its code is spent, so the flow must not wait for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

import structlog
from werkzeug.exceptions import HTTPException

from portal.connections import consent_flows
from portal.transaction import unit_of_work

NOT_STORED = "settings.consent_not_stored"
_log = structlog.get_logger(__name__)


@contextmanager
def explained(flow_id: UUID) -> Iterator[None]:
    """End a flow that is redeemed inside with an explanation for its page, whatever goes wrong there."""
    try:
        yield
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - nobody can answer the provider's callback again
        _log.exception("a consent was given and could not be stored", flow=str(flow_id))
        with unit_of_work() as session:
            consent_flows.fail(session, flow_id, was="redeeming", code=NOT_STORED, said="", now=datetime.now(UTC))
