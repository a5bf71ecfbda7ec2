"""A line: one conversation with a way out, and the slice that is being sent over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from portal.outbox.attempts import Attempts, given_back
from portal.outbox.contents import Loaded, envelope_sender
from portal.outbox.findings import shows_that_it_works
from portal.outbox.ledger import Ledger
from portal.outbox.outcomes import Outcome
from portal.outbox.pausing import CONNECTING
from portal.outbox.pool import Batch, Pool
from portal.outbox.prepared import WayOut
from portal.transports import ConnectionFault, QuotaReached, SenderRefused, TransientError

QUICK_SECONDS = 0.008  # a message: where it takes less, the lines of several senders are better driven by one
LONGEST_SLICE_SECONDS = 5.0  # what is not begun by then is given back


class Line:
    """Used by one sender at a time; it may be handed to another one, slice and all."""

    def __init__(self, pool: Pool, ledger: Ledger, *, must_stop: Callable[[], bool]) -> None:
        self.outcomes: list[Outcome] = []  # not yet written down
        self.batch: Batch | None = None  # what the pool counts as in hand
        self.sent_by: WayOut = pool.way_out  # with the settings that the outcomes were met with
        self.is_probe = False  # the slice is a probe's one message
        self.must_wait = False  # only `send` goes on
        self.used_at = self._begun_at = time.monotonic()
        self._pool = pool
        self._ledger = ledger
        self._must_stop = must_stop
        self._attempts = Attempts(
            ledger.surroundings.open_transport,
            clock=ledger.settings.clock,
            chance=ledger.settings.chance,
            has_lease=ledger.leases.is_safe,
        )
        self._slice: Sequence[Loaded] = ()
        self._place = 0  # in the slice, of the message whose turn it is
        self._is_under_way = False  # that message is started
        self._is_over = False  # the rest would meet the same fault
        self._refused: set[str] = set()  # senders
        self._waited_for = 0  # messages that could not be started

    def load(self, batch: Batch, loaded: Sequence[Loaded], way_out: WayOut) -> None:
        """The next slice; what came of the one before is written down."""
        self.outcomes = []
        self.batch, self.is_probe = batch if batch.claimed else None, batch.is_probe
        self._slice, self.sent_by = loaded, way_out
        self._place, self._is_over, self._refused, self._waited_for = 0, False, set(), 0
        self._begun_at = time.monotonic()

    def send(self) -> None:
        """Send the rest of the slice, one message after the other."""
        if self._is_under_way:
            self._settle(self._attempts.finish())
        while (one := self._next()) is not None:
            self._waited_for += not self._attempts.can_start(one, self.sent_by)
            self._ledger.leases.begin(one.claimed.id)
            self._settle(self._attempts.attempt(one, self.sent_by, following=self._following()))

    def advance(self) -> bool:
        """Send as much of the slice as takes no waiting; whether anything came of a message by that."""
        before = self._place
        while self._is_under_way or self._start():
            outcome = self._attempts.advance()
            if outcome is None:
                self.must_wait = self.fileno() < 0
                break
            self._settle(outcome)
        else:
            self.must_wait = not self.is_through
        return self._place > before

    @property
    def is_through(self) -> bool:
        """Whether nothing of the slice is left to send."""
        return self._place >= len(self._slice)

    @property
    def ids(self) -> list[int]:
        """Of the deliveries of its slice, sent or not."""
        return [one.claimed.id for one in self._slice]

    @property
    def is_free(self) -> bool:
        """Whether it has nothing in hand, and nothing to be written down."""
        return self.batch is None and not self.outcomes and self.is_through

    def fileno(self) -> int:
        """What becomes readable when it may `advance`."""
        return self._attempts.fileno()

    @property
    def is_quick(self) -> bool:
        """Whether the slice went fast with nothing amiss, and all but one of it need not have been waited for."""
        could_be_started = self._waited_for <= 1 < len(self.outcomes) or not self._waited_for
        return could_be_started and self.went_well and self.seconds_per_message < QUICK_SECONDS

    @property
    def seconds_per_message(self) -> float:
        """Of the slice so far."""
        return (self.used_at - self._begun_at) / max(1, len(self.outcomes))

    @property
    def went_well(self) -> bool:
        """Whether the slice shows nothing but that the way out works."""
        return bool(self.outcomes) and all(map(shows_that_it_works, self.outcomes))

    def close(self) -> None:
        """End the conversation."""
        self._attempts.close()
        self._is_under_way = False

    def _start(self) -> bool:
        one = self._next()
        if one is None or not self._attempts.start(one, self.sent_by, following=self._following()):
            return False
        self._ledger.leases.begin(one.claimed.id)
        self._is_under_way = True
        return True

    def _next(self) -> Loaded | None:
        """The message whose turn it is; those before it that are not to be tried are given back."""
        while not self.is_through:
            one = self._slice[self._place]
            is_refused = bool(self._refused) and envelope_sender(one.claimed, self.sent_by) in self._refused
            if not (self._is_over or is_refused or self._is_time_to_stop()):
                return one
            self.outcomes.append(given_back(one, self.sent_by, self._ledger.settings.clock()))
            self._place += 1
        return None

    def _following(self) -> Loaded | None:
        return self._slice[self._place + 1] if self._place + 1 < len(self._slice) else None

    def _settle(self, outcome: Outcome) -> None:
        self._is_under_way = False
        self._place += 1
        self.outcomes.append(outcome)
        self.used_at = time.monotonic()
        if not concerns_others(outcome):
            return
        if isinstance(outcome.error, SenderRefused):
            self._refused.add(envelope_sender(outcome.loaded.claimed, self.sent_by))
        else:
            self._is_over = True
            self._pool.suspend(self)

    def _is_time_to_stop(self) -> bool:
        return (
            self._must_stop()
            or time.monotonic() - self._begun_at > LONGEST_SLICE_SECONDS
            or self._pool.way_out is not self.sent_by  # its settings changed: they act on the next message
        )


def concerns_others(outcome: Outcome) -> bool:
    """Whether the next message by this way out would meet the same."""
    if outcome.error is None or outcome.loaded.is_tried_once:
        return False
    if isinstance(outcome.error, TransientError):
        return outcome.error.step in CONNECTING
    return isinstance(outcome.error, (ConnectionFault, SenderRefused, QuotaReached))
