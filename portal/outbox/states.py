"""The states of a delivery and the table of arrows between them.

Every change is one conditional UPDATE that names the states it may come from (`may_become`), and for the
owner of a lease also the lease. What has ended stays as it is, with one exception: a `sent` that comes late,
from an owner whose lease was lost, is the truth and always counts (`LATE_SENT`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """`sent` means that the next server took responsibility (RFC 5321 6.1), no more."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    SENT = "sent"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    HELD = "held"


class HeldReason(StrEnum):
    """Why a delivery waits for an administrator."""

    SWITCHED_OFF = "switched_off"  # sending is: it goes on by itself when sending is on again
    CRASHES_WORKER = "crashes_worker"
    NO_ANSWER = "no_answer"  # the answer to it was lost again and again
    UNREADABLE = "unreadable"  # its content cannot be read


ENDED = frozenset({State.SENT, State.FAILED, State.EXPIRED, State.CANCELLED})
WAITING = frozenset({State.QUEUED, State.DEFERRED})

_WAITING_ARROWS = frozenset({State.SENDING, State.EXPIRED, State.CANCELLED, State.HELD})

ARROWS: dict[State, frozenset[State]] = {
    State.QUEUED: _WAITING_ARROWS,
    State.DEFERRED: _WAITING_ARROWS,
    State.SENDING: frozenset(
        # QUEUED only when surely nothing was handed over
        {State.SENT, State.DEFERRED, State.FAILED, State.EXPIRED, State.UNCERTAIN, State.QUEUED}
    ),
    State.HELD: frozenset({State.QUEUED, State.CANCELLED, State.EXPIRED}),
    State.UNCERTAIN: frozenset({State.QUEUED}),
    **{ended: frozenset() for ended in ENDED},
}
# What only a person may decide, who can ask the recipient.
PERSONS_ARROWS: dict[State, frozenset[State]] = {
    State.UNCERTAIN: frozenset({State.SENT, State.FAILED, State.CANCELLED}),
}
LATE_SENT = frozenset(State) - {State.SENT}

# From least to most finished; a message is as finished as its least finished delivery.
_UNFINISHED = (State.HELD, State.QUEUED, State.DEFERRED, State.SENDING, State.UNCERTAIN)
_FINISHED = (State.FAILED, State.EXPIRED, State.CANCELLED, State.SENT)


def is_legal(old: State, new: State, *, by_person: bool = False) -> bool:
    """Whether the table has an arrow from `old` to `new`."""
    persons = PERSONS_ARROWS.get(old, frozenset()) if by_person else frozenset()
    return new in ARROWS[old] or new in persons


def may_become(new: State, *, by_person: bool = False) -> tuple[str, ...]:
    """The states with an arrow to `new`, as a condition's values."""
    return tuple(str(old) for old in State if is_legal(old, new, by_person=by_person))


def status_of(states: Iterable[State]) -> State:
    """A message's status: its least finished delivery; where finished ones differ, `failed` if any failed."""
    found = set(states)
    return next(state for state in (*_UNFINISHED, *_FINISHED) if state in found)
