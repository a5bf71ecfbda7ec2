"""What happens to deliveries whose owner fell silent, and to those of which nobody knows whether they left.

A lease that runs out frees a claimed delivery. One that was being sent becomes `uncertain`: it may have been
handed over. The rule of its kind then acts at once: send again with the same Message-ID, or hold for a person.
What was lost three times is held: it crashes the worker, or the server never answers it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, insert, or_, select, update
from sqlalchemy.engine import Connection

from portal.outbox.leases import moment
from portal.outbox.models import Attempt, Delivery, Message
from portal.outbox.prepared import Schedule
from portal.outbox.reasons import WORKER_LOST
from portal.outbox.states import WAITING, HeldReason, State, may_become
from portal.transports import Step

LOST_AT_MOST = 3
_AT_ONCE = 500  # rows of one transaction; the rest at the next look
_UNLEASED: dict[str, Any] = {"lease_owner": None, "lease_until": None}


class UncertainRule(Enum):
    """What is done with a message of which nobody knows whether it left."""

    SEND_AGAIN = "send_again"
    HOLD = "hold"  # a person asks the recipient


def always_send_again(_kind: str) -> UncertainRule:
    """The rule for every kind unless an administrator chose otherwise."""
    return UncertainRule.SEND_AGAIN


@dataclass(frozen=True)
class Recovered:
    freed: int = 0
    uncertain: int = 0
    queued: int = 0
    held: int = 0


def recover(
    connection: Connection,
    *,
    mine: Collection[int],
    now: datetime,
    lease: timedelta,
    rule: Callable[[str], UncertainRule],
) -> Recovered:
    """Look for leases that ran out. `mine` are deliveries in this process's hands: it judges those itself."""
    is_over = _is_over(connection, now, lease)
    lost = _lost(connection, is_over, State.SENDING, mine)
    freed = _free_claimed(connection, is_over, mine)
    if lost:
        _make_uncertain(connection, lost, now)
    undecided = _lost(connection, is_over, State.UNCERTAIN, mine)
    held, queued = _decide(connection, undecided, now=now, rule=rule)
    return Recovered(freed, len(lost), queued, held)


def _is_over(connection: Connection, now: datetime, lease: timedelta) -> ColumnElement[bool]:
    """Run out, or so far ahead that the clock was set back since: that lease would never run out."""
    until = Delivery.lease_until
    return or_(until <= moment(connection, now), until > moment(connection, now, 2 * lease))


def _lost(connection: Connection, is_over: ColumnElement[bool], state: State, mine: Collection[int]) -> list[int]:
    found = connection.scalars(
        select(Delivery.id)
        .where(Delivery.lease_until.is_not(None), is_over, Delivery.state == state)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return [delivery_id for delivery_id in found if delivery_id not in mine]


def _free_claimed(connection: Connection, is_over: ColumnElement[bool], mine: Collection[int]) -> int:
    claimed = connection.scalars(
        select(Delivery.id)
        .where(Delivery.lease_until.is_not(None), is_over, Delivery.state.in_(sorted(WAITING)))
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = [delivery_id for delivery_id in claimed if delivery_id not in mine]
    if ids:
        connection.execute(
            update(Delivery).where(Delivery.id.in_(ids), Delivery.state.in_(sorted(WAITING))).values(**_UNLEASED)
        )
    return len(ids)


def _make_uncertain(connection: Connection, ids: list[int], now: datetime) -> None:
    connection.execute(
        update(Delivery)
        .where(Delivery.id.in_(ids), Delivery.state.in_(may_become(State.UNCERTAIN)))
        .values(state=State.UNCERTAIN, lost_leases=Delivery.lost_leases + 1, lease_owner=None)
    )
    connection.execute(
        insert(Attempt),
        [
            {
                "delivery_id": delivery_id,
                "verdict": State.UNCERTAIN,
                "started_at": now,
                "elapsed_ms": 0,
                "step": Step.CONTENT,
                "reply_code": 0,
                "reply_text": "",
                "code": WORKER_LOST,
                "connection_name": "",
            }
            for delivery_id in ids
        ],
    )


def _decide(
    connection: Connection, ids: list[int], *, now: datetime, rule: Callable[[str], UncertainRule]
) -> tuple[int, int]:
    """Apply the rule to uncertain deliveries; returns how many are held, and how many go again."""
    if not ids:
        return 0, 0
    again: list[int] = []
    poison: dict[HeldReason, list[int]] = {HeldReason.CRASHES_WORKER: [], HeldReason.NO_ANSWER: []}
    for_person: list[int] = []
    for row in connection.execute(
        select(Delivery.id, Delivery.lost_leases, Delivery.lost_replies, Message.kind, Message.schedule)
        .join_from(Delivery, Message, Message.id == Delivery.message_id)
        .where(Delivery.id.in_(ids))
    ):
        if row.schedule == Schedule.ONCE or rule(row.kind) is UncertainRule.HOLD:
            for_person.append(row.id)
        elif row.lost_leases >= LOST_AT_MOST:
            poison[HeldReason.CRASHES_WORKER].append(row.id)
        elif row.lost_replies >= LOST_AT_MOST:
            poison[HeldReason.NO_ANSWER].append(row.id)
        else:
            again.append(row.id)
    _change(connection, for_person, State.UNCERTAIN, from_states=(State.UNCERTAIN,))
    _queue(connection, again, now)
    for reason, poisoned in poison.items():
        _queue(connection, poisoned, now)  # the way to `held` leads through the queue
        _change(connection, poisoned, State.HELD, from_states=may_become(State.HELD), held_reason=reason)
    return sum(map(len, poison.values())), len(again)


def _queue(connection: Connection, ids: list[int], now: datetime) -> None:
    _change(connection, ids, State.QUEUED, from_states=(State.UNCERTAIN,), due_at=now)


def _change(connection: Connection, ids: list[int], state: State, *, from_states: Iterable[str], **values: Any) -> None:
    if ids:
        connection.execute(
            update(Delivery)
            .where(Delivery.id.in_(ids), Delivery.state.in_(tuple(from_states)))
            .values(state=state, **_UNLEASED, **values)
        )
