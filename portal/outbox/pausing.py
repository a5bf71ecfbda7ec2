"""Pausing a way out that is at fault, probing it, and resuming: no message fails for a fault of its way out.

A fault (password, certificate, permission) pauses at once and is probed every 5 minutes, a refused sign-in
every 30, since providers lock accounts that knock more often. Three connection failures in a row pause for
30 s, doubling to 10 minutes. A quota rests the way out as long as it asks for. A refused sender pauses only
that sender there. A probe is one ordinary message.

What is put off for a refused sender is due at the very moment of that pause's next probe, which tells it from
whatever else waits: for another connection, or because a recipient's server asked for time.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal.outbox import wakeup
from portal.outbox.last_attempts import last_attempt_id
from portal.outbox.models import IS_UNFINISHED, IS_WAITING, Attempt, Delivery, Message, WayOutRecord
from portal.outbox.pauses import Cause, Pause
from portal.outbox.row_locks import locked
from portal.outbox.states import State
from portal.outbox.way_out_rows import locked_row
from portal.transports import (
    ConnectionFault,
    QuotaReached,
    SenderRefused,
    Step,
    TransientError,
    TransportError,
)

PROBE_EVERY = timedelta(minutes=5)
PROBE_SIGN_IN_EVERY = timedelta(minutes=30)
FAILURES_TO_PAUSE = 3
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=10)
LONGEST_REST = timedelta(hours=1)
_PROBE_LASTS = timedelta(minutes=2)  # a prober that died leaves the probe to others after that
_SAID_LIMIT = 1000  # characters
CONNECTING = frozenset({Step.TOKEN, Step.RESOLVE, Step.CONNECT, Step.TLS, Step.GREETING, Step.CAPABILITIES})


def lock(connection: Connection, connection_id: UUID) -> None:
    """To be called before anything is noted of a way out or of its senders in several steps.

    Otherwise two that note the same of several senders, each in its own order, would wait for each other.
    """
    locked_row(connection, connection_id)


def note_error(
    connection: Connection,
    connection_id: UUID,
    error: TransportError,
    *,
    sender: str,
    is_probe: bool,
    now: datetime,
) -> Pause | None:
    """What an error means for its way out. Returns the pause when administrators are to be told of it now."""
    meaning = _meaning(error, sender)
    if meaning is None:
        return None
    cause, whose, pause_for = meaning
    before = locked_row(connection, connection_id, whose)
    is_paused = before.status == "paused"
    is_worse = cause is Cause.FAULT and before.cause != Cause.FAULT
    if is_paused and not (is_probe or is_worse or cause is Cause.SENDER):
        return None  # it was on its way when the way out was paused
    if cause is Cause.UNREACHABLE:
        failures = _count_failure(connection, connection_id, before.failures)
        if not is_paused and failures < FAILURES_TO_PAUSE:
            return None
        pause_for = min(FIRST_PAUSE * 2 ** max(0, min(failures - FAILURES_TO_PAUSE, 10)), LONGEST_PAUSE)
    since = before.since if is_paused else now
    pause = _pause(cause, error, sender=whose, since=since, next_probe_at=now + pause_for)
    _store(connection, connection_id, pause)
    if cause is Cause.SENDER:
        _wait_for_probe(connection, connection_id, pause, error, former_probe_at=before.next_probe_at)
    is_news = (not is_paused or is_worse) and cause is not Cause.QUOTA  # a limit that is respected is no news
    return pause if is_news else None


def concerns_way_out(error: TransportError) -> bool:
    """Whether `note_error` would note anything."""
    return _meaning(error, "") is not None


def _meaning(error: TransportError, sender: str) -> tuple[Cause, str, timedelta] | None:
    """What is paused, whose sending ("" is everybody's), and for how long; None: only this message is concerned."""
    match error:
        case ConnectionFault():
            is_sign_in = error.step in {Step.AUTHENTICATE, Step.TOKEN}
            return Cause.FAULT, "", PROBE_SIGN_IN_EVERY if is_sign_in else PROBE_EVERY
        case SenderRefused():
            return Cause.SENDER, sender, PROBE_EVERY
        case QuotaReached():
            return Cause.QUOTA, "", min(error.retry_after, LONGEST_REST)
        case TransientError() if error.step in CONNECTING:
            return Cause.UNREACHABLE, "", FIRST_PAUSE
    return None


def _pause(cause: Cause, error: TransportError, *, sender: str, since: datetime, next_probe_at: datetime) -> Pause:
    said = str(error.reply or error.seen)[:_SAID_LIMIT]
    return Pause(cause, error.code, error.step, said, since, next_probe_at, sender=sender)


def note_success(connection: Connection, connection_id: UUID, *, sender: str, resumes: bool) -> None:
    """The way out works, and so does the sender.

    `resumes`: it was tried to find that out. Any other success may come from a conversation that was signed in
    before the fault, and lifts no pause.
    """
    is_failing = and_(WayOutRecord.status == "ready", WayOutRecord.failures > 0)
    connection.execute(
        update(WayOutRecord)
        .where(WayOutRecord.connection_id == connection_id, WayOutRecord.sender == "")
        .where(or_(is_failing, WayOutRecord.status == "paused") if resumes else is_failing)
        .values(**_READY_VALUES)
    )
    _lift(connection, connection_id, WayOutRecord.sender == sender)


def has_anything_to_lift(connection: Connection, connection_id: UUID, senders: Collection[str]) -> bool:
    """Whether a success of one of the senders may change what is known of the way out, as far as is committed."""
    is_at_fault = or_(WayOutRecord.status == "paused", WayOutRecord.failures > 0)
    of_these = or_(and_(WayOutRecord.sender == "", is_at_fault), WayOutRecord.sender.in_(set(senders) - {""}))
    return bool(connection.scalar(select(exists().where(WayOutRecord.connection_id == connection_id, of_these))))


def take_probe(connection: Connection, connection_id: UUID, *, sender: str = "", now: datetime) -> bool:
    """Whether this worker may make the probe that is due; no other worker may for the next two minutes."""
    taken = connection.execute(
        update(WayOutRecord)
        .where(WayOutRecord.connection_id == connection_id, WayOutRecord.sender == sender)
        .where(WayOutRecord.status == "paused", WayOutRecord.next_probe_at <= now)
        .values(next_probe_at=now + _PROBE_LASTS)
    )
    return taken.rowcount == 1


def refused_until(connection: Connection, connection_id: UUID, sender: str) -> datetime | None:
    """When this sender is tried there next, None once it is let through: what it sends is put off to that moment."""
    return connection.scalar(
        select(WayOutRecord.next_probe_at).where(
            WayOutRecord.connection_id == connection_id, WayOutRecord.sender == sender, WayOutRecord.status == "paused"
        )
    )


def resume(session: Session, connection_id: UUID) -> None:
    """The connection was changed, or checked and found to work: try again at once."""
    connection = session.connection()
    lock(connection, connection_id)
    _lift(connection, connection_id)
    connection.execute(update(WayOutRecord).where(WayOutRecord.connection_id == connection_id).values(**_READY_VALUES))
    wakeup.notify(connection)


_READY_VALUES: dict[str, Any] = {
    "status": "ready",
    "cause": "",
    "code": "",
    "step": "",
    "said": "",
    "since": None,
    "next_probe_at": None,
    "failures": 0,
}


def _lift(connection: Connection, connection_id: UUID, *conditions: ColumnElement[bool]) -> None:
    """End the pauses of refused senders there, and let go at once what waited for their probes."""
    lifted = connection.execute(
        delete(WayOutRecord)
        .where(WayOutRecord.connection_id == connection_id, WayOutRecord.sender != "", *conditions)
        .returning(WayOutRecord.sender, WayOutRecord.next_probe_at)
    )
    queued_at = select(Message.created_at).where(Message.id == Delivery.message_id).scalar_subquery()
    for sender, probe_at in lifted.all():
        those = _waiting_from(sender, Delivery.due_at == probe_at)
        connection.execute(update(Delivery).where(those).values(due_at=queued_at))


def _wait_for_probe(
    connection: Connection,
    connection_id: UUID,
    pause: Pause,
    error: TransportError,
    *,
    former_probe_at: datetime | None,
) -> None:
    """What was refused just now waits for the sender's next probe, and so does what waited for a probe that failed."""
    probes = select(WayOutRecord.next_probe_at).where(
        WayOutRecord.connection_id == connection_id, WayOutRecord.sender != "", WayOutRecord.status == "paused"
    )
    waits = [and_(_was_refused(connection_id, error), Delivery.due_at.not_in(probes))]
    if former_probe_at is not None:
        waits.append(Delivery.due_at == former_probe_at)
    those = _waiting_from(pause.sender, or_(*waits))
    connection.execute(update(Delivery).where(those).values(due_at=pause.next_probe_at))


def _waiting_from(sender: str, which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Those of the waiting deliveries that may be the sender's, but for what others are writing at this moment.

    A delivery without a sender has the way out's own, which may be any.
    """
    may_be_theirs = or_(Delivery.sender == sender, Delivery.sender.is_(None))
    return locked(IS_WAITING, IS_UNFINISHED, may_be_theirs, which, skips_locked=True)


def _was_refused(connection_id: UUID, error: TransportError) -> ColumnElement[bool]:
    """Whether the delivery's last attempt was made there and met this error."""
    met = (
        Attempt.connection_id == connection_id,
        Attempt.verdict == State.DEFERRED,
        Attempt.step == error.step,
        Attempt.code == error.code,
        Attempt.reply_code == (error.reply.code if error.reply else 0),
    )
    return select(Attempt.id).where(Attempt.id == last_attempt_id(), *met).exists()


def _count_failure(connection: Connection, connection_id: UUID, before: int) -> int:
    connection.execute(
        update(WayOutRecord)
        .where(WayOutRecord.connection_id == connection_id, WayOutRecord.sender == "")
        .values(failures=before + 1)
    )
    return before + 1


def _store(connection: Connection, connection_id: UUID, pause: Pause) -> None:
    connection.execute(
        update(WayOutRecord)
        .where(WayOutRecord.connection_id == connection_id, WayOutRecord.sender == pause.sender)
        .values(
            status="paused",
            cause=pause.cause,
            code=pause.code,
            step=pause.step,
            said=pause.said,
            since=pause.since,
            next_probe_at=pause.next_probe_at,
        )
    )
