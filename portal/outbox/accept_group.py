"""One group of submissions in one transaction: keys first, then the messages of those that are new."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.engine import Connection

from portal.outbox import chunks, idempotency, queue
from portal.outbox.accept_errors import AcceptError, Cause, IdempotencyConflict, NotStored
from portal.outbox.idempotency import FirstAnswer, Idempotency, Name
from portal.outbox.models import Message
from portal.outbox.queue import Packed
from portal.outbox.states import State

# Seconds for a twin in another process, whose transaction takes milliseconds unless it is stuck.
_WAIT_IN_GROUP = 1
_WAIT_ALONE = 2


@dataclass(frozen=True)
class Accepted:
    """A message that is on disk. Of a repetition: the first one, as it was answered then."""

    id: UUID
    status: State  # queued or held
    is_repeated: bool = False
    answer: dict[str, Any] = field(default_factory=dict, repr=False)  # what `Idempotency.answer` of the first said


@dataclass(frozen=True, eq=False)
class Submission:
    """What is stored wholly or not at all: one message, or several that share an idempotency key."""

    messages: tuple[Packed, ...]
    idempotency: Idempotency | None
    in_chunks: frozenset[UUID]  # messages whose content is written already
    octets: int  # that are still to be written
    future: Future[tuple[Accepted, ...]] = field(default_factory=Future)

    @property
    def ids(self) -> tuple[UUID, ...]:
        return tuple(one.prepared.id for one in self.messages)

    @property
    def statuses(self) -> tuple[State, ...]:
        return tuple(one.first_status for one in self.messages)

    def accepted(self) -> tuple[Accepted, ...]:
        answer = dict(self.idempotency.answer) if self.idempotency else {}
        return tuple(Accepted(id, status, answer=answer) for id, status in zip(self.ids, self.statuses, strict=True))


Outcome = tuple[Accepted, ...] | AcceptError


def store(connection: Connection, group: Sequence[Submission], *, is_in_doubt: bool) -> list[Outcome]:
    """What each submission comes to when this transaction commits, in their order.

    `is_in_doubt`: they were tried before, and nobody knows whether that was committed.
    """
    firsts = _first_answers(connection, group, wait_seconds=_WAIT_ALONE if len(group) == 1 else _WAIT_IN_GROUP)
    present = _present(connection, group) if is_in_doubt else frozenset()
    outcomes: list[Outcome] = []
    new: list[Submission] = []
    for submission in group:
        first = firsts.get(submission.idempotency.name) if submission.idempotency else None
        if first is not None and first.message_ids != submission.ids:
            outcomes.append(_repeated(submission, first))
            continue
        if not present.issuperset(submission.ids):
            new.append(submission)
        outcomes.append(submission.accepted())
    _insert(connection, new)
    return outcomes


def _first_answers(
    connection: Connection, group: Sequence[Submission], *, wait_seconds: int
) -> dict[Name, FirstAnswer]:
    """By key, the answer that counts: what stands there, else that of the first in the group that names it."""
    wanted: dict[Name, Submission] = {}
    for submission in group:
        if submission.idempotency is not None:
            wanted.setdefault(submission.idempotency.name, submission)
    if not wanted:
        return {}
    rows = {
        name: (one.idempotency, one.ids, one.statuses) for name, one in wanted.items() if one.idempotency is not None
    }
    now = max(one.messages[0].prepared.created_at for one in wanted.values())
    own = {
        name: FirstAnswer(key.request_hash, tuple(ids), tuple(statuses), key.answer)
        for name, (key, ids, statuses) in rows.items()
    }
    return own | idempotency.take(connection, rows, now=now, wait_seconds=wait_seconds)


def _repeated(submission: Submission, first: FirstAnswer) -> Outcome:
    if submission.idempotency is None or not first.is_of(submission.idempotency):
        return IdempotencyConflict()
    return tuple(
        Accepted(id, status, is_repeated=True, answer=dict(first.answer))
        for id, status in zip(first.message_ids, first.statuses, strict=True)
    )


def _present(connection: Connection, group: Sequence[Submission]) -> frozenset[UUID]:
    ids = [id for submission in group for id in submission.ids]
    return frozenset(connection.scalars(select(Message.id).where(Message.id.in_(ids))))


def _insert(connection: Connection, new: Sequence[Submission]) -> None:
    if not new:
        return
    queue.store(connection, [message for submission in new for message in submission.messages])
    in_chunks = frozenset[UUID]().union(*(submission.in_chunks for submission in new))
    if in_chunks and not chunks.finish(connection, in_chunks):
        raise NotStored(Cause.LOCKED)  # they waited for so long that what was written of them is dropped
