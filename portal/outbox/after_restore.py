"""What of the outbox must not live on in a restored copy: what workers of the original had in hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, null, update
from sqlalchemy.engine import Connection

from portal.outbox.leases import LEASE, moment
from portal.outbox.models import Delivery, WayOutRecord, WorkerHeartbeat
from portal.outbox.recovery import Recovered, UncertainRule, always_send_again, recover


def let_go(
    connection: Connection, *, now: datetime, rule: Callable[[str], UncertainRule] = always_send_again
) -> Recovered:
    """End every lease as if its worker had died: what was being sent is uncertain, and the rule of its kind acts."""
    connection.execute(delete(WorkerHeartbeat))
    connection.execute(update(WayOutRecord).values(budget=null()))
    ended = moment(connection, now, timedelta(seconds=-1))
    connection.execute(update(Delivery).where(Delivery.lease_until.is_not(None)).values(lease_until=ended))
    total = Recovered()
    while (found := recover(connection, mine=(), now=now, lease=LEASE, rule=rule)) != Recovered():
        total = Recovered(
            total.freed + found.freed,
            total.uncertain + found.uncertain,
            total.queued + found.queued,
            total.held + found.held,
        )
    return total
