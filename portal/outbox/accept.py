"""Accepting messages that are their own cause (API, relay): many callers, one writer, one commit for all that wait.

A caller is answered after the commit that holds its message, and no earlier. What comes while a group is committed is
the next group; nothing waits for company. Callers hand over plain values, from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import structlog
from sqlalchemy.engine import Engine

from portal.outbox import accept_group
from portal.outbox.accept_errors import AcceptError, Busy, Cause, IdempotencyConflict, NotStored, cause_of, said_by
from portal.outbox.accept_group import Accepted, Outcome, Submission
from portal.outbox.accept_large import LargeContents
from portal.outbox.accept_queue import GROUP_MESSAGES, WaitingSubmissions, take_group
from portal.outbox.idempotency import Idempotency
from portal.outbox.prepared import PreparedMessage
from portal.outbox.queue import pack
from portal.outbox.writers import PooledWriter, SingleWriter
from portal.secret_box import SecretBox

__all__ = ["AcceptError", "Accepted", "Acceptor", "Busy", "Cause", "Idempotency", "IdempotencyConflict", "NotStored"]

MOST_WAITING = 4096  # messages
WAIT_SECONDS = 30.0
_LONGEST_COMMIT_SECONDS = 60.0
_log = structlog.get_logger("portal.outbox")


class Acceptor:
    """Of a process: one transaction at a time. Its thread starts with the first message that somebody waits for."""

    def __init__(
        self,
        engine: Engine,
        *,
        box: SecretBox,
        most_waiting: int = MOST_WAITING,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._box = box
        self._wait_seconds = wait_seconds
        self._writer = SingleWriter(engine)
        beside = self._writer if engine.dialect.name == "sqlite" else PooledWriter(engine)
        self._large = LargeContents(beside.begin)
        self._waiting = WaitingSubmissions(most_waiting)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def accept_message(self, prepared: PreparedMessage, *, idempotency: Idempotency | None = None) -> Accepted:
        """Store a message; returns when it is on disk. Raises AcceptError, or ValueError without recipients."""
        return self._wait_for(self.submit([prepared], idempotency=idempotency))[0]

    def accept_batch(
        self, prepared: Sequence[PreparedMessage], *, idempotency: Idempotency | None = None
    ) -> list[Accepted | AcceptError]:
        """Store messages; one result each, in their order. With a key they are stored together or not at all.

        Raises ValueError, before anything is stored, where one has no recipients.
        """
        if not prepared:
            return []
        if any(not one.rcpt_to for one in prepared):
            raise ValueError("a message without recipients cannot be queued")
        if idempotency is not None:
            return self._results(prepared, idempotency)
        results: list[Accepted | AcceptError] = []
        for start in range(0, len(prepared), GROUP_MESSAGES):
            results += self._results_of_each(prepared[start : start + GROUP_MESSAGES])
        return results

    def submit(
        self, prepared: Sequence[PreparedMessage], *, idempotency: Idempotency | None = None
    ) -> Future[tuple[Accepted, ...]]:
        """As `accept_message`, without waiting for the commit; several messages are stored together or not at all.

        Contents larger than `chunks.LARGE` are compressed and written meanwhile, which takes its time. Cancelling
        withdraws what is not being written yet. Raises AcceptError where it is refused at once.
        """
        if not prepared:
            raise ValueError("there is no message to be accepted")
        (taken,) = self._put([self._submission(prepared, idempotency)])
        if isinstance(taken, AcceptError):
            raise taken
        return taken

    def submit_each(self, prepared: Sequence[PreparedMessage]) -> list[Future[tuple[Accepted, ...]] | AcceptError]:
        """As `submit`, each message for itself, and the writer is woken once for all; a refusal is its one's result."""
        made = self._submission_of_each(prepared)
        put = iter(self._put([one for one in made if isinstance(one, Submission)]))
        return [one if isinstance(one, AcceptError) else next(put) for one in made]

    def store_each(self, prepared: Sequence[PreparedMessage]) -> list[Accepted | AcceptError]:
        """Store messages, each for itself, in the thread of a caller that has gathered a group by itself.

        Returns when they are on disk; one result each, in their order.
        """
        if self._waiting.is_closed:
            return [NotStored(Cause.STOPPING) for _ in prepared]
        made = self._submission_of_each(prepared)
        queue = deque(one for one in made if isinstance(one, Submission))
        while group := take_group(queue):
            self._settle(group)
        return [one if isinstance(one, AcceptError) else _result(one.future) for one in made]

    def close(self) -> None:
        """Store what was taken and stop; nothing more is taken. Who is in `store_each` by then stores what it has."""
        self._waiting.close()
        with self._starting:
            thread = self._thread
        if thread is not None:
            thread.join()
        self._writer.close()

    def _wait_for(self, future: Future[tuple[Accepted, ...]]) -> tuple[Accepted, ...]:
        try:
            return future.result(self._wait_seconds)
        except TimeoutError:
            if future.cancel():
                raise Busy from None
        try:  # it is being written: what comes of it is known soon
            return future.result(_LONGEST_COMMIT_SECONDS)
        except TimeoutError:
            raise NotStored(Cause.UNKNOWN) from None

    def _results(
        self, prepared: Sequence[PreparedMessage], idempotency: Idempotency | None
    ) -> list[Accepted | AcceptError]:
        try:
            return list(self._wait_for(self.submit(prepared, idempotency=idempotency)))
        except AcceptError as error:
            return [error] * len(prepared)

    def _results_of_each(self, prepared: Sequence[PreparedMessage]) -> list[Accepted | AcceptError]:
        results: list[Accepted | AcceptError] = []
        for future in self.submit_each(prepared):
            try:
                results += [future] if isinstance(future, AcceptError) else self._wait_for(future)
            except AcceptError as error:
                results.append(error)
        return results

    # What waits

    def _submission(self, prepared: Sequence[PreparedMessage], idempotency: Idempotency | None) -> Submission:
        """Packed, and what is large of it written. Raises AcceptError."""
        self._waiting.check_room(len(prepared), 0)
        messages, in_chunks = self._large.write([pack(one, box=self._box) for one in prepared])
        octets = sum(len(one.prepared.content) for one in messages if one.prepared.id not in in_chunks)
        return Submission(tuple(messages), idempotency, in_chunks, octets)

    def _submission_of_each(self, prepared: Sequence[PreparedMessage]) -> list[Submission | AcceptError]:
        made: list[Submission | AcceptError] = []
        for one in prepared:
            try:
                made.append(self._submission([one], None))
            except AcceptError as error:
                made.append(error)
        return made

    def _put(self, submissions: Sequence[Submission]) -> list[Future[tuple[Accepted, ...]] | AcceptError]:
        """Those that have room."""
        self._start()
        taken = self._waiting.put(submissions)
        for submission, future in zip(submissions, taken, strict=True):
            if isinstance(future, AcceptError):
                self._large.drop(submission.in_chunks)
        return taken

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._waiting.is_closed:
                self._thread = threading.Thread(target=self._run, name="outbox-accept", daemon=True)
                self._thread.start()

    # The writer's thread

    def _run(self) -> None:
        while group := self._waiting.next_group():
            taken = []
            for submission in group:
                if submission.future.set_running_or_notify_cancel():
                    taken.append(submission)
                else:
                    self._large.drop(submission.in_chunks)
            if taken:
                self._settle(taken)
            time.sleep(0)  # who was just answered may bring the next before its group is taken: half the commits

    def _settle(self, group: Sequence[Submission]) -> None:
        """Store them together; where that fails one by one, so that only the guilty one is refused."""
        error = self._try(group, is_in_doubt=False)
        first = cause_of(error) if error is not None else None
        if first in {Cause.AWAY, Cause.UNKNOWN}:  # the connection was lost: once more, on a new one
            error = self._try(group, is_in_doubt=True)
        if error is None:
            return
        cause = cause_of(error)
        for submission in sorted(group, key=lambda one: one.idempotency is not None):  # these may wait for a twin
            if not cause.is_everybodys:
                failed = self._try([submission], is_in_doubt=True)
                if failed is None:
                    continue
                cause = cause_of(failed)
            self._answer(submission, NotStored(Cause.UNKNOWN if first is Cause.UNKNOWN else cause))

    def _try(self, group: Sequence[Submission], *, is_in_doubt: bool) -> Exception | None:
        is_committing = False
        try:
            with self._writer.begin() as connection:
                outcomes = accept_group.store(connection, group, is_in_doubt=is_in_doubt)
                is_committing = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the next group must be written
            _log.warning("messages were not stored", messages=len(group), error=said_by(error))
            return NotStored(Cause.UNKNOWN) if is_committing and cause_of(error) is Cause.AWAY else error
        for submission, outcome in zip(group, outcomes, strict=True):
            self._answer(submission, outcome)
        return None

    def _answer(self, submission: Submission, outcome: Outcome) -> None:
        if isinstance(outcome, AcceptError):
            self._large.drop(submission.in_chunks)
            submission.future.set_exception(outcome)
            return
        if outcome[0].is_repeated:
            self._large.drop(submission.in_chunks)
        submission.future.set_result(outcome)


def _result(settled: Future[tuple[Accepted, ...]]) -> Accepted | AcceptError:
    try:
        return settled.result(0)[0]
    except AcceptError as error:
        return error
