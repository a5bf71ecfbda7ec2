"""Changes of several deliveries lock them in one order, by id, so that no two transactions wait for each other.

PostgreSQL ends one of two that do ("deadlock detected"), a second after they met. SQLite has one writer at a time.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, TextClause, select

from portal.outbox.models import Delivery


def locked(*conditions: ColumnElement[bool] | TextClause, skips_locked: bool = False) -> ColumnElement[bool]:
    """The condition of an UPDATE of deliveries that changes those which meet all of the conditions.

    `skips_locked` leaves out what others are writing at this moment, for whoever holds back what these may wait for.
    """
    rows = (
        select(Delivery.id)
        .where(*conditions)
        .order_by(Delivery.id)
        .with_for_update(key_share=True, skip_locked=skips_locked)
        .correlate(None)
    )
    return Delivery.id.in_(rows)
