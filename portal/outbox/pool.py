"""The pool of one way out: what is claimed for it, and which of its senders may take how much of that now.

Secret kinds go first. One sender is never given to bulk while the way out allows two or more. A way out that was
just opened or resumed begins with one sender and doubles with each slice that went well, so that a mended server
is not met by everything at once and a wrong password is tried once, not four times.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from portal.outbox.claim import Claimed
from portal.outbox.crew import Crew
from portal.outbox.prepared import Priority, WayOut

LOW = 60  # deliveries; the dispatcher is called to claim more before the senders run dry
MOST_OCTETS = 8 * 1024 * 1024  # of one slice: large messages are taken one by one, not twenty into memory


@dataclass(frozen=True)
class Batch:
    """What one sender takes in hand."""

    claimed: tuple[Claimed, ...] = ()
    is_probe: bool = False
    is_suspect: bool = False

    @property
    def is_plain(self) -> bool:
        return not (self.is_probe or self.is_suspect)

    @property
    def priority(self) -> int:
        return self.claimed[0].priority


class Suspects:
    """At most one delivery that was in hand when a worker died is being sent at any time, of all ways out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def try_take(self) -> bool:
        return self._lock.acquire(blocking=False)

    def give_back(self) -> None:
        self._lock.release()


class Pool:
    """Used by the dispatcher, which puts, and by the senders of one way out, which take."""

    def __init__(self, way_out: WayOut, *, suspects: Suspects, on_low: Callable[[], None]) -> None:
        self.way_out = way_out
        self.slots = 0  # connections that the budget of all workers leaves to this one
        self.is_doubted = True  # until it has worked once: paused, failing, or not known
        self.refused: frozenset[str] = frozenset()  # envelope senders that are paused here
        self.crew = Crew()
        self._suspects = suspects
        self._on_low = on_low
        self._changed = threading.Condition()
        self._waiting: dict[Priority, deque[Claimed]] = {priority: deque() for priority in Priority}
        self._in_hand: list[Batch] = []
        self._started = 1  # senders that the slow start lets work
        self._probe: Claimed | None = None
        self._not_before = 0.0
        self._suspended_by: set[object] = set()
        self._is_closed = False
        self._has_called = False  # for more, since something was put

    def count(self, priority: Priority | None = None) -> int:
        with self._changed:
            queues = self._waiting.values() if priority is None else [self._waiting[priority]]
            return sum(map(len, queues)) + (1 if priority is None and self._probe else 0)

    def routes(self) -> set[str]:
        with self._changed:
            return {one.route for queue in self._waiting.values() for one in queue}

    @property
    def is_busy(self) -> bool:
        with self._changed:
            return bool(self._in_hand)

    def put(self, claimed: Sequence[Claimed], *, probe: bool = False) -> None:
        with self._changed:
            self._has_called = False
            if probe and self._probe is None:
                self._probe = claimed[0]
            else:  # also a second probe, where a database that was away kept the first from its end
                for one in claimed:
                    self._waiting[Priority(one.priority)].append(one)
            self._changed.notify_all()

    def put_back(self, claimed: Sequence[Claimed], *, wait_seconds: float) -> None:
        """The pace of the way out does not allow these yet."""
        with self._changed:
            for one in reversed(claimed):
                self._waiting[Priority(one.priority)].appendleft(one)
            self._not_before = time.monotonic() + wait_seconds

    def withdraw(self, *, route: str | None = None, keep_tests: bool = False) -> list[int]:
        """Take out what waits (of one route), for the caller to release; returns the ids."""
        withdrawn: list[int] = []
        with self._changed:
            for priority, queue in self._waiting.items():
                if keep_tests and priority is Priority.ONCE:
                    continue
                gone = [one for one in queue if route is None or one.route == route]
                withdrawn += [one.id for one in gone]
                self._waiting[priority] = deque(one for one in queue if not (route is None or one.route == route))
            if route is None and not keep_tests and self._probe is not None:
                withdrawn.append(self._probe.id)
                self._probe = None
        return withdrawn

    def take(self, most: int, *, wait_seconds: float, only_plain: bool = False) -> Batch:
        """The next slice of at most `most` messages; an empty one when none may be taken within the time.

        `only_plain`: neither a probe nor a suspect, for whoever has another slice in hand.
        """
        end = time.monotonic() + wait_seconds
        with self._changed:
            while True:
                batch = self._next(most, only_plain=only_plain)
                if batch.claimed:
                    self._in_hand.append(batch)
                    self._call_when_low()
                    return batch
                now = time.monotonic()
                if self._is_closed or now >= end:
                    return Batch()
                self._changed.wait((min(end, self._not_before) if self._not_before > now else end) - now)

    @property
    def has_next(self) -> bool:
        """Whether a slice may be taken now, as far as can be seen without taking it."""
        with self._changed:
            return self._may_give() and (
                self._probe is not None
                or any(queue and self._has_place(priority) for priority, queue in self._waiting.items())
            )

    def done(self, batch: Batch, *, went_well: bool) -> None:
        """The slice is out of its sender's hands."""
        with self._changed:
            self._in_hand.remove(batch)
            if batch.is_suspect:
                self._suspects.give_back()
            if went_well:
                self._started = min(self._started * 2, max(self.slots, 1))
            self._changed.notify_all()

    def suspend(self, by: object) -> None:
        """A sender met a fault: nothing is taken until it has written that down."""
        with self._changed:
            self._suspended_by.add(by)

    def go_on(self, by: object) -> None:
        with self._changed:
            self._suspended_by.discard(by)
            self._changed.notify_all()

    @property
    def is_suspended(self) -> bool:
        return bool(self._suspended_by)

    def start_slowly(self) -> None:
        with self._changed:
            self._started = 1

    def close(self) -> None:
        """Nothing more is taken; senders finish what they have."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def _call_when_low(self) -> None:
        """Once: whether there is more, the dispatcher knows when it has looked."""
        if not self._has_called and sum(map(len, self._waiting.values())) < LOW:
            self._has_called = True
            self._on_low()

    def _next(self, most: int, *, only_plain: bool) -> Batch:
        if not self._may_give():
            return Batch()
        if self._probe is not None:
            return Batch() if only_plain else self._take_probe(self._probe)
        for priority, queue in self._waiting.items():
            if queue and self._has_place(priority):
                claimed = () if only_plain and queue[0].is_suspect else self._cut(queue, most)
                if claimed:
                    return Batch(claimed, is_suspect=claimed[0].is_suspect)
        return Batch()

    def _may_give(self) -> bool:
        is_early = time.monotonic() < self._not_before
        return not (is_early or self._is_closed or self._suspended_by or len(self._in_hand) >= self.slots)

    def _take_probe(self, probe: Claimed) -> Batch:
        self._probe = None
        return Batch((probe,), is_probe=True)

    def _has_place(self, priority: Priority) -> bool:
        """The slow start counts only what is as urgent: a hanging newsletter keeps no reset mail waiting."""
        as_urgent = sum(batch.priority <= priority for batch in self._in_hand)
        bulk = sum(batch.priority == Priority.BULK for batch in self._in_hand)
        is_full = priority is Priority.BULK and bulk >= max(1, self.slots - 1)
        return as_urgent < self._started and not is_full

    def _cut(self, queue: deque[Claimed], most: int) -> tuple[Claimed, ...]:
        """From the front: a share for each sender, at most `most`, not too large, suspects alone."""
        share = min(most, -(-len(queue) // max(1, self.slots)))
        cut: list[Claimed] = []
        passed: list[Claimed] = []
        octets = 0
        while queue and len(cut) < share:
            one = queue[0]
            if one.is_suspect and (cut or not self._suspects.try_take()):
                passed.append(queue.popleft())
                continue
            if cut and octets + one.size > MOST_OCTETS:
                break
            cut.append(queue.popleft())
            octets += one.size
            if one.is_suspect:
                break
        queue.extendleft(reversed(passed))
        return tuple(cut)
