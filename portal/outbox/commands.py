"""What a person may do to a message: try again now, release, cancel.

Each takes part in the caller's transaction and raises NotPossible, having changed nothing, when no recipient of the
message is in a state that allows it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.outbox import bodies, wakeup
from portal.outbox.models import Delivery
from portal.outbox.row_locks import lock_messages, locked
from portal.outbox.states import ENDED, WAITING, HeldReason, State, may_become, status_of
from portal.wording import N_, Text

_UNLEASED: dict[str, Any] = {"lease_owner": None, "lease_until": None}


class NotPossible(Exception):
    """The message is in no state for that; `reason` says which it is in, and what can be done."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def retry(session: Session, message_id: UUID, *, now: datetime) -> None:
    """Try again at once, with the same Message-ID and Date: what is deferred, uncertain or held."""
    states = _states(session, message_id)
    if State.HELD in states:
        release(session, message_id, now=now)
    sooner = _change(session, message_id, tuple(sorted(WAITING)), due_at=now)
    again = _change(session, message_id, (State.UNCERTAIN,), state=State.QUEUED, due_at=now, **_UNLEASED)
    if not sooner + again:
        raise NotPossible(_why_not(states))
    wakeup.wake(session)


def release(session: Session, message_id: UUID, *, now: datetime) -> None:
    """Let a held message go on."""
    states = _states(session, message_id)
    held = Delivery.held_reason != HeldReason.SWITCHED_OFF
    released = _change(
        session,
        message_id,
        (State.HELD,),
        held,
        state=State.QUEUED,
        held_reason=None,
        due_at=now,
        lost_leases=0,
        lost_replies=0,
    )
    if not released:
        raise NotPossible(_why_not_released(states))
    wakeup.wake(session)


def cancel(session: Session, message_id: UUID, *, now: datetime) -> None:
    """Let those recipients go without it to whom it was not handed over yet."""
    lock_messages(session.connection(), [message_id])
    states = _states(session, message_id)
    possible = may_become(State.CANCELLED, by_person=True)
    cancelled = _change(
        session, message_id, possible, state=State.CANCELLED, held_reason=None, ended_at=now, **_UNLEASED
    )
    if not cancelled:
        raise NotPossible(_why_not(states))
    bodies.erase_secrets(session.connection(), [message_id])


def _states(session: Session, message_id: UUID) -> list[State]:
    found = session.scalars(select(Delivery.state).where(Delivery.message_id == message_id)).all()
    if not found:
        raise NotPossible(N_("There is no message with this number."))
    return [State(state) for state in found]


def _change(session: Session, message_id: UUID, old: tuple[str, ...], *conditions: Any, **values: Any) -> int:
    return (
        session.connection()
        .execute(
            update(Delivery)
            .where(locked(Delivery.message_id == message_id, Delivery.state.in_(old), *conditions))
            .values(**values)
        )
        .rowcount
    )


def _why_not(states: list[State]) -> Text:
    status = status_of(states)
    if status in ENDED:
        return N_(
            "This message has ended as %(status)s and stays so. To try again, send it again as a new message.",
            status=status,
        )
    return N_("This message is being handed over at this moment. Look again in a minute.")


def _why_not_released(states: list[State]) -> Text:
    if State.HELD in states:
        return N_("Sending is switched off. An administrator can switch it on under Email settings.")
    return N_("This message is not held: it is %(status)s.", status=status_of(states))
