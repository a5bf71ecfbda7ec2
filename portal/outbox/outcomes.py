"""What a report or an error of a way out means for one delivery: the parts that it falls into, and their states.

A mixed reply splits the delivery, so that a recipient who was accepted is never mailed again. Faults of the way
out, its quota and its refusal of a sender are not counted against the message (RFC 5321 4.5.4.1 speaks of the
host, not of the message). A test message is tried once: whatever is not `sent` or `uncertain` is `failed`.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from portal.outbox import reasons
from portal.outbox.contents import Loaded
from portal.outbox.pausing import PROBE_EVERY
from portal.outbox.prepared import WaysOut
from portal.outbox.retry import next_try_at
from portal.outbox.states import HeldReason, State
from portal.transports import (
    ConnectionFault,
    PermanentError,
    QuotaReached,
    RecipientResult,
    Reply,
    SenderRefused,
    SendReport,
    Step,
    TransportError,
    Verdict,
)

_NO_REPLY = Reply(0, "")
_STATES = {verdict: State(verdict.value) for verdict in Verdict}
_TOO_MANY_RECIPIENTS = frozenset({"4.5.3", "5.5.3"})  # RFC 3463 3.6


class Part(NamedTuple):
    """Recipients that share a fate, and what the attempt's row says of them."""

    state: State
    rcpt_to: tuple[str, ...]
    step: Step
    reply: Reply
    code: str = ""
    counts: bool = True  # towards the schedule
    due_at: datetime | None = None  # for DEFERRED
    held_reason: HeldReason | None = None  # for HELD
    other_replies: dict[str, list[str | int | None]] | None = None


class Outcome(NamedTuple):
    """What became of one attempt at one delivery."""

    loaded: Loaded
    parts: tuple[Part, ...]
    started_at: datetime
    elapsed_ms: int
    connection_id: UUID | None
    connection_name: str
    error: TransportError | None = None  # where it tells of the way out
    kept: bytes | None = None  # captured: what would have left
    was_tried: bool = True  # False: given back untouched

    def __repr__(self) -> str:
        return f"Outcome({self.loaded!r}, {self.parts!r})"  # never what was kept


def parts_of_report(loaded: Loaded, report: SendReport, *, now: datetime, chance: random.Random) -> tuple[Part, ...]:
    """The parts in the order sent, failed, deferred, uncertain."""
    if len(report.recipients) == 1:
        [only] = report.recipients
        if only.verdict is Verdict.SENT:
            return (Part(State.SENT, (only.address,), Step.CONTENT, only.reply, only.code),)
        return (_part(loaded, _state(only, loaded), [only], at_once=False, now=now, chance=chance),)
    some_sent = any(result.verdict is Verdict.SENT for result in report.recipients)
    groups: dict[tuple[State, bool], list[RecipientResult]] = {}
    for result in report.recipients:
        state = _state(result, loaded)
        at_once = state is State.DEFERRED and some_sent and _is_too_many(result.reply)
        groups.setdefault((state, at_once), []).append(result)
    order = (State.SENT, State.FAILED, State.DEFERRED, State.UNCERTAIN)
    return tuple(
        _part(loaded, state, group, at_once=at_once, now=now, chance=chance)
        for (state, at_once), group in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    )


def parts_of_error(loaded: Loaded, error: TransportError, *, now: datetime, chance: random.Random) -> tuple[Part, ...]:
    """The one part that all recipients are in: nothing was handed over.

    Where one of several recipients is refused and the answer does not say which, two halves are tried apart, so that
    in the end none but that one fails.
    """
    reply = error.reply or Reply(0, error.seen[:1000])
    if isinstance(error, PermanentError) and error.step is Step.RECIPIENT and _may_be_halved(loaded):
        middle = (len(loaded.rcpt_to) + 1) // 2
        halves = loaded.rcpt_to[:middle], loaded.rcpt_to[middle:]
        return tuple(
            Part(State.DEFERRED, half, error.step, reply, error.code, counts=False, due_at=now) for half in halves
        )
    state, counts, due_at = State.DEFERRED, False, now
    if isinstance(error, PermanentError) or loaded.is_tried_once:
        state, counts = State.FAILED, True
    elif isinstance(error, SenderRefused):
        due_at = now + PROBE_EVERY
    elif not isinstance(error, (ConnectionFault, QuotaReached)):
        counts, due_at = True, _next_try(loaded, now=now, chance=chance)
    return (Part(state, loaded.rcpt_to, error.step, reply, error.code, counts=counts, due_at=due_at),)


def given_back(loaded: Loaded, state: State) -> tuple[Part, ...]:
    """Surely nothing was handed over and no attempt was made: back to the queue, or expired."""
    return (Part(state, loaded.rcpt_to, Step.SETTINGS, _NO_REPLY, counts=False),)


def unsendable(loaded: Loaded, *, now: datetime) -> tuple[Part, ...]:
    """The content is erased, or stored with a key that is missing: that key may come back."""
    if loaded.content is None:
        return (Part(State.FAILED, loaded.rcpt_to, Step.SETTINGS, _NO_REPLY, reasons.ERASED),)
    if loaded.is_tried_once:
        return (Part(State.FAILED, loaded.rcpt_to, Step.SETTINGS, _NO_REPLY, reasons.UNREADABLE),)
    return (
        Part(
            State.HELD,
            loaded.rcpt_to,
            Step.SETTINGS,
            _NO_REPLY,
            reasons.UNREADABLE,
            counts=False,
            due_at=now,
            held_reason=HeldReason.UNREADABLE,
        ),
    )


def malformed(loaded: Loaded) -> tuple[Part, ...]:
    """The headers do not read back as they were built; it can never be sent."""
    return (Part(State.FAILED, loaded.rcpt_to, Step.SETTINGS, _NO_REPLY, reasons.MALFORMED),)


def unexpected(loaded: Loaded, *, may_have_left: bool, now: datetime, chance: random.Random) -> tuple[Part, ...]:
    """A flaw of ours, not an answer: uncertain where the message may have been handed over."""
    if may_have_left:
        return (Part(State.UNCERTAIN, loaded.rcpt_to, Step.CONTENT, _NO_REPLY, reasons.UNEXPECTED),)
    if loaded.is_tried_once:
        return (Part(State.FAILED, loaded.rcpt_to, Step.CONTENT, _NO_REPLY, reasons.UNEXPECTED),)
    due_at = _next_try(loaded, now=now, chance=chance)
    return (Part(State.DEFERRED, loaded.rcpt_to, Step.CONTENT, _NO_REPLY, reasons.UNEXPECTED, due_at=due_at),)


def without_way_out(loaded: Loaded, ways_out: WaysOut, now: datetime) -> Outcome:
    """A test message whose connection is gone or cannot be used."""
    reply = Reply(0, str(ways_out.reason or ""))
    part = Part(State.FAILED, loaded.rcpt_to, Step.SETTINGS, reply, ways_out.code or reasons.NO_WAY_OUT)
    return Outcome(loaded, (part,), now, 0, None, "")


def _may_be_halved(loaded: Loaded) -> bool:
    return len(loaded.rcpt_to) > 1 and not loaded.is_tried_once


def _state(result: RecipientResult, loaded: Loaded) -> State:
    if result.verdict is Verdict.DEFERRED and loaded.is_tried_once:
        return State.FAILED
    return _STATES[result.verdict]


def _is_too_many(reply: Reply) -> bool:
    """The server takes fewer recipients at a time (RFC 5321 4.5.3.1.10): the rest goes at once."""
    return reply.code in {452, 552} and (
        reply.enhanced_status_code is None or reply.enhanced_status_code in _TOO_MANY_RECIPIENTS
    )


def _part(
    loaded: Loaded,
    state: State,
    group: list[RecipientResult],
    *,
    at_once: bool,
    now: datetime,
    chance: random.Random,
) -> Part:
    first = group[0]
    due_at = None
    if state is State.DEFERRED:
        due_at = now if at_once else _next_try(loaded, now=now, chance=chance)
    others = {
        result.address: [result.reply.code, result.reply.enhanced_status_code, result.reply.text[:1000], result.code]
        for result in group[1:]
        if result.reply != first.reply
    }
    return Part(
        state,
        tuple(result.address for result in group),
        Step.CONTENT if state in {State.SENT, State.UNCERTAIN} else Step.RECIPIENT,
        first.reply,
        first.code or (reasons.ANSWER_LOST if state is State.UNCERTAIN else ""),
        counts=not at_once,
        due_at=due_at,
        other_replies=others or None,
    )


def _next_try(loaded: Loaded, *, now: datetime, chance: random.Random) -> datetime:
    return next_try_at(loaded.schedule, loaded.attempt_number + 1, now=now, chance=chance)
