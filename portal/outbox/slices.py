"""The arrows out of the queue that the worker takes: begin to send, expire, hold, put off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.engine import Connection

from portal.outbox.id_lists import id_list, is_among
from portal.outbox.leases import lease_end, lease_parameters
from portal.outbox.models import IS_SWITCHED_OFF, IS_UNCLAIMED, IS_WAITING, Delivery
from portal.outbox.prepared import Priority
from portal.outbox.ready_statements import ReadyStatement
from portal.outbox.row_locks import locked
from portal.outbox.states import HeldReason, State, may_become

AT_ONCE = 1000  # rows of one transaction


def start(connection: Connection, delivery_ids: Sequence[int], *, owner: str, now: datetime, lease: timedelta) -> None:
    """Claimed deliveries begin to be sent, their leases renewed; of those that `MAY_START`."""
    if delivery_ids:
        values = {"ids": id_list(delivery_ids, connection.dialect.name), "owner": owner, "now": now}
        _START.run(connection, values | lease_parameters(connection, now, lease))


# One that was cancelled, lost or is past its time since it was claimed stays behind. Parameters: `owner` and `now`.
MAY_START = (
    or_(*(Delivery.state == state for state in may_become(State.SENDING))),
    Delivery.lease_owner == bindparam("owner"),
    Delivery.deliver_by > bindparam("now"),
)
_START = ReadyStatement(
    lambda dialect: (
        update(Delivery)
        .where(is_among(Delivery.id, dialect), *MAY_START)
        .values(state=State.SENDING, lease_until=lease_end(dialect))
    )
)


def expire(connection: Connection, now: datetime, *, at_most: int = AT_ONCE) -> list[UUID]:
    """Whatever waits and is past its time is over, claimed or not; returns the messages' ids, one for each."""
    overdue = (
        select(Delivery.id)
        .where(Delivery.ended_at.is_(None), Delivery.deliver_by <= now)
        .where(Delivery.state.in_(("queued", "deferred", "held")))
        .order_by(Delivery.deliver_by)
        .limit(at_most)
        .with_for_update(skip_locked=True)
        .cte("overdue")
    )
    return list(
        connection.scalars(
            update(Delivery)
            .where(Delivery.id.in_(select(overdue.c.id)), Delivery.state.in_(("queued", "deferred", "held")))
            .values(state=State.EXPIRED, held_reason=None, lease_owner=None, lease_until=None, ended_at=now)
            .returning(Delivery.message_id)
        )
    )


def put_off(connection: Connection, delivery_ids: Sequence[int], *, owner: str, until: datetime) -> None:
    """Claimed deliveries of a sender that is refused on their way out wait for its next probe."""
    if delivery_ids:
        connection.execute(
            update(Delivery)
            .where(locked(Delivery.id.in_(delivery_ids), IS_WAITING, Delivery.lease_owner == owner))
            .values(due_at=until, lease_owner=None, lease_until=None)
        )


def hold_switched_off(connection: Connection, route: str) -> None:
    """Sending is switched off: what waits on the route is held, test messages excepted."""
    waiting = (
        select(Delivery.id)
        .where(IS_UNCLAIMED, Delivery.route == route, Delivery.priority != int(Priority.ONCE))
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    connection.execute(
        update(Delivery)
        .where(Delivery.id.in_(select(waiting.c.id)), Delivery.state.in_(may_become(State.HELD)))
        .values(state=State.HELD, held_reason=HeldReason.SWITCHED_OFF)
    )


_SWITCHED_OFF_ROUTES = select(Delivery.route).where(IS_SWITCHED_OFF).distinct()


def switched_off_routes(connection: Connection) -> list[str]:
    """The routes whose messages are held only because sending is switched off."""
    return list(connection.scalars(_SWITCHED_OFF_ROUTES))


def release_switched_on(connection: Connection, route: str) -> None:
    """Sending is on again: what was held for that waits again."""
    held = (
        select(Delivery.id)
        .where(IS_SWITCHED_OFF, Delivery.route == route)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("held")
    )
    connection.execute(
        update(Delivery)
        .where(Delivery.id.in_(select(held.c.id)), Delivery.state == State.HELD)
        .values(state=State.QUEUED, held_reason=None)
    )
