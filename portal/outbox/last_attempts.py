"""The newest attempt of a delivery, as a part of larger statements."""

from __future__ import annotations

from sqlalchemy import ScalarSelect, select

from portal.outbox.models import Attempt, Delivery


def last_attempt_id() -> ScalarSelect[int]:
    """The number of the last attempt of the `Delivery` that the statement around it is about; NULL before the first."""
    return (
        select(Attempt.id)
        .where(Attempt.delivery_id == Delivery.id)
        .order_by(Attempt.id.desc())
        .limit(1)
        .correlate(Delivery)
        .scalar_subquery()
    )
