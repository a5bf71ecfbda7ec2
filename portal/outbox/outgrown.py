"""What a fallback cannot carry, and the connection that it stands in for perhaps can: too large, for example.

Such a refusal ends nothing. The delivery goes to the next fallback that works; where none does it waits for a way out
that is paused, as one of the messages that are its probe, and until its own deadline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from portal.outbox import pauses
from portal.outbox.claim import Claimed
from portal.outbox.contents import Loaded
from portal.outbox.models import IS_UNCLAIMED, Attempt, Delivery
from portal.outbox.outcomes import Part
from portal.outbox.pauses import READY
from portal.outbox.pausing import FIRST_PAUSE, PROBE_EVERY
from portal.outbox.prepared import WayOut
from portal.outbox.reasons import OUTGROWN
from portal.outbox.row_locks import locked
from portal.outbox.states import State

# Other ways out take more. What else is refused for good, a recipient for example, would be refused everywhere.
_NEEDS_ANOTHER_WAY = frozenset(
    {
        *("graph.message_too_large", "gmail.message_too_large", "smtp.message_too_large"),
        *("smtp.smtputf8_missing", "smtp.8bitmime_missing"),
    }
)
_REMEMBERED_FOR = timedelta(hours=1)  # then it is tried there again: somebody may have given it more rights


def spared(loaded: Loaded, way_out: WayOut, parts: tuple[Part, ...], *, now: datetime) -> tuple[Part, ...]:
    """The parts of an attempt, those that only this stand-in cannot carry put off instead of failed."""
    if loaded.is_tried_once or not way_out.stands_in_on(loaded.claimed.route):
        return parts
    return tuple(
        part._replace(state=State.DEFERRED, code=OUTGROWN, counts=False, due_at=now)
        if part.state is State.FAILED and part.code in _NEEDS_ANOTHER_WAY
        else part
        for part in parts
    )


@dataclass
class Sorted:
    """Claimed deliveries by what becomes of them."""

    here: list[Claimed] = field(default_factory=list)
    elsewhere: list[tuple[Claimed, WayOut]] = field(default_factory=list)  # by a way out that works
    waiting: dict[datetime, list[int]] = field(default_factory=dict)  # ids, by when they are looked at again


def sort_out(
    connection: Connection, claimed: Sequence[Claimed], way_out: WayOut, ways: Sequence[WayOut], *, now: datetime
) -> Sorted:
    """Which of the deliveries that were claimed for a stand-in it can carry, as far as is known."""
    found, refused_by = Sorted(), _refused_by(connection, [one.id for one in claimed], now)
    states = pauses.load(connection) if refused_by else {}
    for one in claimed:
        refusing = refused_by.get(one.id, frozenset())
        if way_out.connection_id not in refusing:
            found.here.append(one)
            continue
        others = [way for way in ways if way.connection_id not in refusing]
        paused = [pause for way in others if (pause := states.get(way.connection_id, READY).pause)]
        working = next((way for way in others if states.get(way.connection_id, READY).pause is None), None)
        if working is not None:
            found.elsewhere.append((one, working))
        else:
            next_probe = min((pause.next_probe_at for pause in paused), default=now + PROBE_EVERY)
            until = next_probe if next_probe > now else now + FIRST_PAUSE  # that probe is under way
            found.waiting.setdefault(until, []).append(one.id)
    return found


def let_go(connection: Connection, route: str, *, now: datetime) -> None:
    """The route leads to another way out: what waited for that is due."""
    last = (
        select(Attempt.code)
        .where(Attempt.delivery_id == Delivery.id)
        .order_by(Attempt.id.desc())
        .limit(1)
        .correlate(Delivery)
        .scalar_subquery()
    )
    connection.execute(
        update(Delivery)
        .where(locked(IS_UNCLAIMED, Delivery.route == route, Delivery.due_at > now, last == OUTGROWN))
        .values(due_at=now)
    )


def _refused_by(connection: Connection, delivery_ids: Iterable[int], now: datetime) -> dict[int, frozenset[UUID]]:
    """The connections that lately could not carry a delivery, for those that met any."""
    query = select(Attempt.delivery_id, Attempt.connection_id).where(
        Attempt.delivery_id.in_(list(delivery_ids)),
        Attempt.code == OUTGROWN,
        Attempt.started_at > now - _REMEMBERED_FOR,
    )
    found: dict[int, set[UUID]] = {}
    for delivery_id, connection_id in connection.execute(query):
        if connection_id is not None:
            found.setdefault(delivery_id, set()).add(connection_id)
    return {delivery_id: frozenset(those) for delivery_id, those in found.items()}
