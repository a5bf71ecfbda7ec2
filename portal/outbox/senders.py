"""Senders: each takes slices of its way out's pool, sends them over one conversation, and has them written down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest

import structlog

from portal.outbox.attempts import Attempts, given_back
from portal.outbox.claim import release
from portal.outbox.contents import Loaded, envelope_sender
from portal.outbox.ledger import PASSING, Ledger, shows_that_it_works
from portal.outbox.outcomes import Outcome
from portal.outbox.pausing import CONNECTING
from portal.outbox.pool import Batch, Pool
from portal.outbox.prepared import WayOut
from portal.transports import ConnectionFault, QuotaReached, SenderRefused, TransientError

SLICE_SECONDS = 0.5  # a slice is sized to take about so long: its results are soon seen, and little is lost
LONGEST_SLICE_SECONDS = 5.0  # what is not begun by then is given back
_RETRY_AFTER_SECONDS = 1.0

_log = structlog.get_logger("portal.outbox")


class Sender:
    """One conversation's worth of sending; used by one thread."""

    def __init__(self, pool: Pool, ledger: Ledger, *, must_stop: Callable[[], bool] = lambda: False) -> None:
        self._pool = pool
        self._ledger = ledger
        self._must_stop = must_stop
        self._attempts = Attempts(
            ledger.surroundings.open_transport,
            clock=ledger.settings.clock,
            chance=ledger.settings.chance,
            has_lease=ledger.leases.is_safe,
        )
        self._size = max(1, ledger.settings.slice_size // 4)  # until the server's pace is known
        self._in_hand: Batch | None = None
        self._is_probe = False
        self._outcomes: list[Outcome] = []
        self._sent_by = pool.way_out  # with the settings that the outcomes were met with

    def step(self, *, wait_seconds: float) -> bool:
        """Write down the slice before and send the next; False when there was nothing to do in that time.

        Raises one of PASSING when the database cannot be written now; nothing is lost, call again.
        """
        self._let_go()
        batch = self._pool.take(self._size, wait_seconds=0 if self._outcomes else wait_seconds)
        if not batch.claimed and not self._outcomes:
            return False
        way_out = self._pool.way_out
        try:
            turn = self._ledger.turn(
                way_out,
                self._outcomes,
                batch.claimed,
                sent_by=self._sent_by,
                is_probe=self._is_probe,
                is_doubted=self._pool.is_doubted,
            )
        except BaseException:
            self._return(batch)
            raise
        self._after_recording()
        self._in_hand, self._is_probe = batch if batch.claimed else None, batch.is_probe
        if turn.waiting:
            self._pool.put_back(turn.waiting, wait_seconds=turn.wait_seconds)
        self._outcomes, self._sent_by = self._send(turn.loaded, way_out), way_out
        return True

    def close(self) -> None:
        """End the conversation."""
        self._attempts.close()

    def abandon(self) -> None:
        """Nothing more can be written: leave what is in hand to the leases' end."""
        self._ledger.leases.drop(outcome.loaded.claimed.id for outcome in self._outcomes)
        if self._in_hand is not None:
            self._ledger.leases.drop(one.id for one in self._in_hand.claimed)
        self._outcomes = []
        self._let_go()
        self._pool.go_on(self)
        self.close()

    @property
    def has_results(self) -> bool:
        """Whether something is not yet written down."""
        return bool(self._outcomes)

    def _let_go(self) -> None:
        """The slice is sent; its place may be taken while its results are written down."""
        if self._in_hand is not None:
            went_well = bool(self._outcomes) and all(shows_that_it_works(one) for one in self._outcomes)
            self._pool.done(self._in_hand, went_well=went_well)
            self._in_hand = None

    def _return(self, batch: Batch) -> None:
        if batch.claimed:
            self._pool.done(batch, went_well=False)
            self._pool.put(batch.claimed, probe=batch.is_probe)

    def _after_recording(self) -> None:
        """What the results mean for the rest of the pool, now that they are written down."""
        if any(shows_that_it_works(one) for one in self._outcomes):
            self._pool.is_doubted = bool(self._pool.refused)
        if any(one.error is not None and _concerns_others(one) for one in self._outcomes):
            self._pool.is_doubted = True
            self._pool.start_slowly()
            withdrawn = self._pool.withdraw()
            with self._ledger.write() as connection:
                release(connection, withdrawn, owner=self._ledger.owner)
            self._ledger.leases.drop(withdrawn)
        self._outcomes = []
        self._pool.go_on(self)

    def _send(self, loaded: Sequence[Loaded], way_out: WayOut) -> list[Outcome]:
        outcomes: list[Outcome] = []
        refused: set[str] = set()
        begun = time.monotonic()
        is_over = False
        for one, following in zip_longest(loaded, loaded[1:]):
            sender = envelope_sender(one.claimed, way_out)
            if is_over or sender in refused or self._is_time_to_stop(begun, way_out):
                outcomes.append(given_back(one, way_out, self._ledger.settings.clock()))
                continue
            self._ledger.leases.begin(one.claimed.id)
            outcome = self._attempts.attempt(one, way_out, following=following)
            outcomes.append(outcome)
            if _concerns_others(outcome):
                if isinstance(outcome.error, SenderRefused):
                    refused.add(sender)
                else:
                    is_over = True
                    self._pool.suspend(self)
        self._learn_pace(time.monotonic() - begun, len(outcomes))
        return outcomes

    def _is_time_to_stop(self, begun: float, way_out: WayOut) -> bool:
        return (
            self._must_stop()
            or time.monotonic() - begun > LONGEST_SLICE_SECONDS
            or self._pool.way_out is not way_out  # its settings changed: they act on the next message
        )

    def _learn_pace(self, seconds: float, messages: int) -> None:
        if messages:
            fitting = int(SLICE_SECONDS * messages / max(seconds, 0.001))
            self._size = max(1, min(fitting, self._ledger.settings.slice_size))


class SenderThread(threading.Thread):
    """Runs a sender until its pool is closed, has no place for it, or has long had no work."""

    def __init__(self, pool: Pool, ledger: Ledger, *, must_stop: Callable[[], bool]) -> None:
        super().__init__(name=f"outbox-{pool.way_out.name[:30]}", daemon=True)
        self._pool = pool
        self._ledger = ledger
        self._must_stop = must_stop
        self._sender = Sender(pool, ledger, must_stop=must_stop)

    def run(self) -> None:
        idle_since = time.monotonic()
        try:
            while True:
                try:
                    if self._sender.step(wait_seconds=1.0):
                        idle_since = time.monotonic()
                        continue
                except PASSING as error:
                    self._wait_for_database(error)
                    if not (self._pool.is_closed and self._must_stop()):
                        continue
                if self._is_to_leave(idle_since):
                    return
        except Exception:  # noqa: BLE001 - one sender must not end the worker
            _log.exception("a sender stopped", connection=self._pool.way_out.name)
        finally:
            self._sender.abandon()
            self._pool.leave(self)

    def _wait_for_database(self, error: Exception) -> None:
        _log.error("the outbox cannot be written; trying again", error=type(error).__name__)
        time.sleep(_RETRY_AFTER_SECONDS)

    def _is_to_leave(self, idle_since: float) -> bool:
        idle = time.monotonic() - idle_since
        is_idle = idle > self._ledger.settings.idle_after.total_seconds()
        return self._pool.is_closed or is_idle or self._pool.has_too_many_senders


def _concerns_others(outcome: Outcome) -> bool:
    """Whether the next message by this way out would meet the same."""
    if outcome.error is None or outcome.loaded.is_tried_once:
        return False
    if isinstance(outcome.error, TransientError):
        return outcome.error.step in CONNECTING
    return isinstance(outcome.error, (ConnectionFault, SenderRefused, QuotaReached))
