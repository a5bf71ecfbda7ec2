"""Claiming: which deliveries are due, and taking a lease on some of them; the state does not change yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, bindparam, select, text, update
from sqlalchemy.engine import Connection

from portal.outbox.id_lists import id_list, is_among
from portal.outbox.leases import lease_end, lease_parameters, moment
from portal.outbox.models import IS_UNCLAIMED, IS_WAITING, Delivery
from portal.outbox.prepared import Priority
from portal.outbox.ready_statements import ReadyListing, ReadyStatement
from portal.outbox.row_locks import locked


class Claimed(NamedTuple):
    """One delivery that this process holds a lease on."""

    id: int
    message_id: UUID
    route: str
    priority: int
    sender: str | None
    size: int
    due_at: datetime
    deliver_by: datetime
    lost_leases: int

    @property
    def is_suspect(self) -> bool:
        """It was in hand when a worker died: it goes alone, so that no neighbour is blamed with it."""
        return self.lost_leases > 0


_COLUMNS = [getattr(Delivery.__table__.c, name) for name in Claimed._fields]

# Steps from each route to the next through the partial index instead of reading every waiting row.
_ROUTES = text(
    "WITH RECURSIVE found(route) AS ("
    " SELECT (SELECT min(route) FROM delivery"
    "  WHERE state IN ('queued', 'deferred') AND lease_until IS NULL)"
    " UNION ALL"
    " SELECT (SELECT min(d.route) FROM delivery AS d"
    "  WHERE d.state IN ('queued', 'deferred') AND d.lease_until IS NULL AND d.route > found.route)"
    " FROM found WHERE found.route IS NOT NULL"
    ") SELECT route FROM found WHERE route IS NOT NULL"
)


def waiting_routes(connection: Connection) -> list[str]:
    """The routes on which something waits that nobody has claimed, due or not."""
    return list(connection.scalars(_ROUTES))


_DUE = select(
    *(
        select(Delivery.id)
        .where(IS_UNCLAIMED, Delivery.route == bindparam("route"), Delivery.priority == int(priority))
        .where(Delivery.due_at <= bindparam("now", type_=Delivery.due_at.type))
        .exists()
        for priority in Priority
    )
)


def due_priorities(connection: Connection, route: str, now: datetime) -> list[Priority]:
    """The priorities of which something is due on the route, the first to go first."""
    found = connection.execute(_DUE, {"route": route, "now": now}).one()
    return [priority for priority, is_due in zip(Priority, found, strict=True) if is_due]


def claim(
    connection: Connection,
    *,
    route: str,
    priority: Priority,
    limit: int,
    owner: str,
    now: datetime,
    lease: timedelta,
) -> list[Claimed]:
    """Take a lease on up to `limit` due deliveries, the longest due first."""
    found = _PICK.rows(connection, {"of_route": route, "of_priority": int(priority), "now": now, "at_most": limit})
    if found:
        ids = id_list((row[0] for row in found), connection.dialect.name)
        lease_values = lease_parameters(connection, now, lease)
        _TAKE.run(connection, {"ids": ids, "owner": owner, **lease_values})
    return sorted(map(Claimed._make, found), key=lambda claimed: (claimed.due_at, claimed.id))


_PICK = ReadyListing(
    lambda _: (
        select(*_COLUMNS)
        .where(IS_UNCLAIMED, Delivery.route == bindparam("of_route"), Delivery.priority == bindparam("of_priority"))
        .where(Delivery.due_at <= bindparam("now", type_=Delivery.due_at.type))
        .order_by(Delivery.due_at)
        .limit(bindparam("at_most", type_=Integer()))
        .with_for_update(skip_locked=True)
    )
)
_TAKE = ReadyStatement(
    lambda dialect: (
        update(Delivery)
        .where(is_among(Delivery.id, dialect))
        .values(lease_owner=bindparam("owner"), lease_until=lease_end(dialect))
    )
)


def release(connection: Connection, delivery_ids: Sequence[int], *, owner: str) -> None:
    """Give claimed deliveries back untouched."""
    if delivery_ids:
        connection.execute(
            update(Delivery)
            .where(locked(Delivery.id.in_(delivery_ids), IS_WAITING, Delivery.lease_owner == owner))
            .values(lease_owner=None, lease_until=None)
        )


def renew(
    connection: Connection, delivery_ids: Iterable[int], *, owner: str, now: datetime, lease: timedelta
) -> tuple[set[int], set[int]]:
    """Renew the leases; returns the ids of those renewed, and of those that are not ours any more.

    What another transaction is writing at this moment is neither: whoever waits for it while holding others back may
    be waited for in turn, until the database ends one of the two.
    """
    renewed: set[int] = set()
    lost: set[int] = set()
    ids = list(delivery_ids)
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        are_ours = Delivery.id.in_(some), Delivery.lease_owner == owner
        renewed.update(
            connection.scalars(
                update(Delivery)
                .where(locked(*are_ours, skips_locked=True))
                .values(lease_until=moment(connection, now, lease))
                .returning(Delivery.id)
            )
        )
        lost.update(set(some) - set(connection.scalars(select(Delivery.id).where(*are_ours))))
    return renewed, lost
