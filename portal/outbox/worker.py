"""The worker: claims what is due, sends it by threads over kept conversations, writes down what came of it.

`run` works until told to stop; `once` sends what is due at one moment and returns. Neither needs an application
context or a scoped session: short Core transactions of their own, plain values between threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.engine import Connection, Engine

from portal.outbox import claim, heartbeat, recovery, wakeup
from portal.outbox.dispatcher import Dispatcher
from portal.outbox.jobs import Job, JobRunner
from portal.outbox.leases import ticks
from portal.outbox.ledger import PASSING, Ledger
from portal.outbox.pauses import Pause
from portal.outbox.pool import Pool
from portal.outbox.prepared import WayOut, WaysOut
from portal.outbox.senders import Sender, SenderThread
from portal.outbox.settings import Surroundings, WorkerSettings
from portal.outbox.states import State
from portal.outbox.upkeep import own_jobs
from portal.secret_box import SecretBox
from portal.transports import Transport

_SLICE_MAY_TAKE = timedelta(seconds=10)  # of a stop, before what is not begun is given back
_RETRY_AFTER_SECONDS = 1.0
_STOP_IS_SEEN_WITHIN_SECONDS = 0.25
_log = structlog.get_logger("portal.outbox")


def run(
    engine: Engine,
    *,
    box: SecretBox,
    ways_out: Callable[[str], WaysOut],
    open_transport: Callable[[WayOut], Transport],
    stop: threading.Event,
    on_paused: Callable[[UUID, Pause, datetime], None] | None = None,
    on_end_state: Callable[[UUID, State, datetime], None] | None = None,
    jobs: Sequence[Job] = (),
    settings: WorkerSettings | None = None,
) -> None:
    """Send until `stop` is set; then finish what is in hand, give back the rest, and return within 30 s."""
    surroundings = Surroundings(
        box=box, ways_out=ways_out, open_transport=open_transport, on_paused=on_paused, on_end_state=on_end_state
    )
    Worker(engine, surroundings, settings or WorkerSettings(), jobs=jobs, stop=stop).run()


def once(
    engine: Engine,
    *,
    box: SecretBox,
    ways_out: Callable[[str], WaysOut],
    open_transport: Callable[[WayOut], Transport],
    now: datetime,
    on_paused: Callable[[UUID, Pause, datetime], None] | None = None,
    on_end_state: Callable[[UUID, State, datetime], None] | None = None,
    settings: WorkerSettings | None = None,
) -> None:
    """Send what is due at `now` in this thread, and return; jobs are not run."""
    surroundings = Surroundings(
        box=box, ways_out=ways_out, open_transport=open_transport, on_paused=on_paused, on_end_state=on_end_state
    )
    settings = replace(settings or WorkerSettings(), clock=lambda: now, senders=1)
    Worker(engine, surroundings, settings, jobs=(), stop=threading.Event()).drain()


class Worker:
    """One process's worker; a process may have several."""

    def __init__(
        self,
        engine: Engine,
        surroundings: Surroundings,
        settings: WorkerSettings,
        *,
        jobs: Sequence[Job],
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._wake = threading.Event()
        self._ledger = Ledger(engine, surroundings, settings)
        self._dispatcher = Dispatcher(self._ledger, on_low=self._wake.set)
        self._watcher = wakeup.watcher_for(engine)
        self._jobs = JobRunner((*own_jobs(engine), *jobs), self._ledger)
        self._next_sweep = self._next_renewal = 0.0
        self._give_back_at = float("inf")
        self._asks_anew = True

    def run(self) -> None:
        """As `run` of this module."""
        self._watcher.start(self._on_commit)
        self._jobs.start()
        _log.info("worker started", owner=self._ledger.owner)
        try:
            while not self._stop.is_set():
                self._look()
                self._wait()
        finally:
            self._shut_down()

    def drain(self) -> None:
        """As `once` of this module."""
        self._sweep()
        senders: dict[int, Sender] = {}
        try:
            while self._drain_pools(senders):
                pass
        finally:
            for sender in senders.values():
                sender.close()
            self._give_back()

    def _drain_pools(self, senders: dict[int, Sender]) -> bool:
        self._dispatcher.dispatch()
        was_busy = False
        for pool in self._dispatcher.pools.values():
            sender = senders.setdefault(id(pool), Sender(pool, self._ledger))
            while sender.step(wait_seconds=0):
                was_busy = True
        return was_busy

    def _on_commit(self) -> None:
        self._asks_anew = True
        self._wake.set()
        self._jobs.wake()

    def _look(self) -> None:
        try:
            if time.monotonic() >= self._next_sweep:
                self._sweep()
                self._next_sweep = time.monotonic() + self._settings.sweep_every.total_seconds()
            asks_anew, self._asks_anew = self._asks_anew, False
            self._dispatcher.dispatch(asks_anew=asks_anew)
            for pool in self._dispatcher.pools.values():
                self._start_senders(pool)
        except PASSING as error:
            _log.error("the outbox cannot be read or written; trying again", error=type(error).__name__)
            self._asks_anew = True
            self._stop.wait(_RETRY_AFTER_SECONDS)
        except Exception:  # noqa: BLE001 - a flaw in one look must not end all sending
            _log.exception("unexpected error in the worker")
            self._asks_anew = True
            self._stop.wait(_RETRY_AFTER_SECONDS)

    def _sweep(self) -> None:
        """Renew, give a sign of life, and see to what others left behind."""
        now = self._settings.clock()
        with self._ledger.write() as connection:
            heartbeat.beat(connection, self._ledger.owner, now)
            self._renew(connection, now)
            recovered = recovery.recover(
                connection,
                mine=frozenset(self._ledger.leases.to_renew()),
                now=now,
                lease=self._settings.lease,
                rule=self._settings.uncertain_rule,
            )
        if recovered != recovery.Recovered():
            _log.warning("leases ran out", **vars(recovered))
        self._ledger.expire()
        self._dispatcher.share_connections()

    def _renew(self, connection: Connection, now: datetime) -> None:
        since = ticks()
        if since < self._next_renewal:
            return
        self._next_renewal = since + self._settings.lease.total_seconds() / 3
        held = self._ledger.leases.to_renew()
        kept = claim.renew(connection, held, owner=self._ledger.owner, now=now, lease=self._settings.lease)
        lost = set(held) - kept
        self._ledger.leases.renewed(kept, lost, since=since)

    def _start_senders(self, pool: Pool) -> None:
        wanted = min(pool.slots, pool.count())
        for _ in range(wanted - len(pool.senders)):
            sender = SenderThread(pool, self._ledger, must_stop=self._must_give_back)
            pool.join(sender)
            sender.start()

    def _wait(self) -> None:
        """Until something was committed, a pool runs low, or it is time to look again; a stop is seen soon."""
        end = time.monotonic() + self._settings.look_every.total_seconds()
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            if self._wake.wait(min(left, _STOP_IS_SEEN_WITHIN_SECONDS)):
                break
        else:
            self._asks_anew = True
        self._wake.clear()

    def _must_give_back(self) -> bool:
        return time.monotonic() > self._give_back_at

    def _shut_down(self) -> None:
        begun = time.monotonic()
        self._give_back_at = begun + _SLICE_MAY_TAKE.total_seconds()
        self._jobs.close()
        self._watcher.close()
        for pool in self._dispatcher.pools.values():
            pool.close()
        threads = [self._jobs, *(sender for pool in self._dispatcher.pools.values() for sender in pool.senders)]
        for thread in threads:
            left = begun + self._settings.finish_within.total_seconds() - time.monotonic()
            thread.join(timeout=max(0.0, left))
        try:
            self._give_back()
        except PASSING as error:
            _log.error("leases could not be given back; they run out", error=type(error).__name__)
        _log.info("worker stopped", owner=self._ledger.owner)

    def _give_back(self) -> None:
        for pool in self._dispatcher.pools.values():
            self._dispatcher.withdraw(pool)
        self._dispatcher.give_back_connections()
        with self._ledger.write() as connection:
            claim.release(connection, sorted(self._ledger.leases.all()), owner=self._ledger.owner)
            heartbeat.stop(connection, self._ledger.owner)
