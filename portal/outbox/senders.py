"""Senders: each takes slices of its way out's pool, sends them over its lines, and has them written down."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from portal.outbox.claim import release
from portal.outbox.findings import shows_that_it_works
from portal.outbox.ledger import PASSING, Ledger
from portal.outbox.lines import Line, concerns_others
from portal.outbox.outcomes import Outcome
from portal.outbox.pool import Batch, Pool

SLICE_SECONDS = 0.5  # a slice is sized to take about so long: its results are soon seen, and little is lost
PATIENCE_SECONDS = 0.2  # no line is to wait longer for another: a quick one has sent its slice by then


class Sender:
    """A thread's worth of sending: over one line, waiting on it, or over several, waiting on none of them."""

    def __init__(self, pool: Pool, ledger: Ledger, line: Line) -> None:
        self.lines = [line]
        self._pool = pool
        self._ledger = ledger
        self._size = max(1, ledger.settings.slice_size // 4)  # until the server's pace is known

    def step(self, *, wait_seconds: float, part_with: Callable[[Line], bool] | None = None) -> bool:
        """Write down the slices before and send the next; False when there was nothing to do in that time.

        `part_with` makes it send over all lines at once, waiting on none: a line that turned slow goes there with the
        rest of its slice, unless that answers with False.
        Raises one of PASSING when the database cannot be written now; nothing is lost, call again.
        """
        self._let_go()
        batches = self._take(wait_seconds)
        if not batches and not self.has_results:
            return False
        self._turn(batches)
        if part_with is None:
            self.lines[0].send()
        else:
            self._send_together(part_with)
        self._learn_pace()
        return True

    def settle(self) -> None:
        """Write down the slices before. Raises as `step`."""
        self._let_go()
        if self.has_results:
            self._turn([])

    def resume(self) -> None:
        """Send the rest of a slice that another sender began."""
        self.lines[0].send()
        self._learn_pace()

    def abandon(self) -> None:
        """Nothing more can be written: leave what is in hand to the leases' end."""
        for line in self.lines:
            self._ledger.leases.drop(line.ids)  # of its batch alone what it was to send: the rest may be another's
            line.outcomes = []
        self._let_go()
        for line in self.lines:
            self._pool.go_on(line)

    def close(self) -> None:
        """End the conversations."""
        for line in self.lines:
            line.close()

    @property
    def has_results(self) -> bool:
        """Whether something is not yet written down."""
        return any(line.outcomes for line in self.lines)

    @property
    def is_quick(self) -> bool:
        """Whether its last slices went fast, and nothing was amiss."""
        sent = [line for line in self.lines if line.outcomes]
        return bool(sent) and all(line.is_quick for line in sent)

    def _take(self, wait_seconds: float) -> list[Batch]:
        """A slice for each line, as far as there are some; a probe or a suspect comes alone."""
        batch = self._pool.take(self._size, wait_seconds=0 if self.has_results else wait_seconds)
        batches: list[Batch] = []
        while batch.claimed:
            batches.append(batch)
            if not batch.is_plain or len(batches) == len(self.lines):
                break
            batch = self._pool.take(self._size, wait_seconds=0, only_plain=True)
        return batches

    def _turn(self, batches: Sequence[Batch]) -> None:
        way_out = self._pool.way_out
        outcomes = [outcome for line in self.lines for outcome in line.outcomes]
        try:
            turn = self._ledger.turn(
                way_out,
                outcomes,
                [one for batch in batches for one in batch.claimed],
                sent_by=next((line.sent_by for line in self.lines if line.outcomes), way_out),
                is_probe=any(line.is_probe for line in self.lines if line.outcomes),
                is_doubted=self._pool.is_doubted,
            )
        except BaseException:
            self._return(batches)
            raise
        for place, line in enumerate(self.lines):
            batch = batches[place] if place < len(batches) else Batch()
            ids = {one.id for one in batch.claimed}
            line.load(batch, [one for one in turn.loaded if one.claimed.id in ids], way_out)
        if turn.waiting:
            self._pool.put_back(turn.waiting, wait_seconds=turn.wait_seconds)
        self._after_recording(outcomes)

    def _send_together(self, part_with: Callable[[Line], bool]) -> None:
        ready = list(self.lines)
        others_wait = False
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while True:
            if sum(line.advance() for line in ready) and not others_wait:
                patient_until = time.monotonic() + PATIENCE_SECONDS
            under_way = [line for line in self.lines if not line.is_through]
            if not under_way:
                return
            if not others_wait and self._others_wait():
                others_wait = True
                patient_until = min(patient_until, time.monotonic() + PATIENCE_SECONDS)
            patience = patient_until - time.monotonic()
            slow = [line for line in under_way if line.must_wait or patience <= 0]
            ready = self._part(slow, part_with) if slow else _readable(under_way, patience)
            if slow:
                patient_until = time.monotonic() + PATIENCE_SECONDS

    def _part(self, slow: Sequence[Line], part_with: Callable[[Line], bool]) -> list[Line]:
        """The lines that are left. One that cannot be parted with is waited on: only then its time can run out.

        The others may have been answered by then, and are looked at before another one is waited on.
        """
        for line in slow:
            if not part_with(line):
                line.send()
                break
            self.lines.remove(line)
        return list(self.lines)

    def _others_wait(self) -> bool:
        """Whether results wait for the end of the round, or a line, also one that was given, could have a slice."""
        idle = [line for line in self.lines if line.is_through]
        if any(line.outcomes for line in idle) or self._pool.crew.has_given:
            return True
        return bool(idle) and self._pool.has_next

    def _let_go(self) -> None:
        """The slices are sent; their places may be taken while the results are written down."""
        for line in self.lines:
            if line.batch is not None:
                self._pool.done(line.batch, went_well=line.went_well)
                line.batch = None

    def _return(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._pool.done(batch, went_well=False)
            self._pool.put(batch.claimed, probe=batch.is_probe)

    def _after_recording(self, outcomes: Sequence[Outcome]) -> None:
        """What the results mean for the rest of the pool, now that they are written down."""
        if any(map(shows_that_it_works, outcomes)):
            self._pool.is_doubted = bool(self._pool.refused)
        if any(map(concerns_others, outcomes)):
            self._pool.is_doubted = True
            self._pool.start_slowly()
            withdrawn = self._pool.withdraw()
            self._ledger.leases.drop(withdrawn)  # where they cannot be released, their leases run out
            with suppress(*PASSING), self._ledger.write() as connection:
                release(connection, withdrawn, owner=self._ledger.owner)
        for line in self.lines:
            self._pool.go_on(line)

    def _learn_pace(self) -> None:
        sent = [line.seconds_per_message for line in self.lines if line.outcomes]
        if sent:
            fitting = int(SLICE_SECONDS / max(*sent, 0.000001))
            self._size = max(1, min(fitting, self._ledger.settings.slice_size))


def _readable(lines: Sequence[Line], seconds: float) -> list[Line]:
    """Those of the lines whose servers have said something, once one has; none after that time."""
    by_number = {line.fileno(): line for line in lines}
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(max(1, int(seconds * 1000)))]
