"""The worker: claims what is due, sends it by threads over kept conversations, writes down what came of it.

`run` works until told to stop; `once` sends what is due at one moment and returns. Neither needs an application
context or a scoped session: short Core transactions of their own, plain values between threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from portal.outbox import claim, heartbeat, recovery
from portal.outbox.dispatcher import Dispatcher
from portal.outbox.jobs import Job, JobRunner
from portal.outbox.leases import ticks
from portal.outbox.ledger import Ledger
from portal.outbox.lines import Line
from portal.outbox.pauses import Pause
from portal.outbox.pool import Pool
from portal.outbox.prepared import WayOut, WaysOut
from portal.outbox.sender_threads import SenderThread
from portal.outbox.senders import Sender
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
    obstacle: Callable[[], str] = lambda: "",
    hold: Callable[[], str] = lambda: "",
) -> None:
    """Send until `stop` is set; then finish what is in hand, give back the rest, and return within 30 s.

    `obstacle` is asked at every look, by several threads: while it answers with a sentence, nothing is claimed and
    no job begins. `hold` is asked after the first sign of life and at every look: while it answers with a sentence,
    nothing is claimed and no other server is asked, but all else goes on. A database that cannot be read or written
    is tried again; any other error is raised, after what is in hand was finished and the rest given back.
    """
    surroundings = Surroundings(
        box=box, ways_out=ways_out, open_transport=open_transport, on_paused=on_paused, on_end_state=on_end_state
    )
    Worker(engine, surroundings, settings or WorkerSettings(), jobs=jobs, stop=stop, obstacle=obstacle, hold=hold).run()


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
        obstacle: Callable[[], str] = lambda: "",
        hold: Callable[[], str] = lambda: "",
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._wake = threading.Event()
        self._ledger = Ledger(engine, surroundings, settings)
        self._dispatcher = Dispatcher(self._ledger, on_low=self._wake.set)
        self._watcher = self._ledger.watcher()
        self._obstacle = obstacle
        self._stands_still_for = ""
        self._hold = hold
        self._held_for: str | None = None  # None: not asked yet
        self._job_runners = self._runners_of((*jobs, *own_jobs(engine)))
        self._next_sweep = 0.0
        self._give_back_at = float("inf")
        self._asks_anew = True

    def run(self) -> None:
        """As `run` of this module."""
        self._watcher.start(self._on_commit)
        for runner in self._job_runners:
            runner.start()
        _log.info("worker started", owner=self._ledger.owner)
        try:
            while not self._stop.is_set():
                self._look()
                self._wait()
        except Exception:
            _log.exception("the worker ends: it met an error that trying again does not mend")
            raise
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
            if id(pool) not in senders:
                line = Line(pool, self._ledger, must_stop=lambda: False)
                senders[id(pool)] = Sender(pool, self._ledger, line)
            sender = senders[id(pool)]
            while sender.step(wait_seconds=0):
                was_busy = True
        return was_busy

    def _runners_of(self, jobs: Sequence[Job]) -> tuple[JobRunner, ...]:
        quick = [job for job in jobs if not job.asks_others]
        slow = [job for job in jobs if job.asks_others]
        runners = []
        if quick:
            runners.append(JobRunner(quick, self._ledger, may_run=lambda: not self._obstacle()))
        if slow:
            may_ask = lambda: not self._obstacle() and self._held_for == ""  # noqa: E731
            runners.append(JobRunner(slow, self._ledger, may_run=may_ask))
        return tuple(runners)

    def _on_commit(self) -> None:
        self._asks_anew = True
        self._wake.set()
        for runner in self._job_runners:
            runner.wake()

    def _look(self) -> None:
        try:
            if self._may_claim():
                self._serve()
            else:
                self._finish_in_hand()
        except SQLAlchemyError as error:
            _log.error("the outbox cannot be read or written; trying again", **_said_by(error))
            self._asks_anew = True
            self._stop.wait(_RETRY_AFTER_SECONDS)

    def _may_claim(self) -> bool:
        obstacle, before = self._obstacle(), self._stands_still_for
        if obstacle != before:
            self._next_sweep = 0.0
            self._stands_still_for = obstacle
        if obstacle and not before:
            _log.error("the worker finishes what it has in hand and claims nothing more", reason=obstacle)
        if before and not obstacle:
            _log.info("the worker goes on")
            self._asks_anew = True
            self._dispatcher.go_on()
        return not obstacle

    def _serve(self) -> None:
        is_time_to_sweep = time.monotonic() >= self._next_sweep
        if is_time_to_sweep:
            self._sweep()
            self._plan_next_sweep()
        before, self._held_for = self._held_for, self._hold()
        if self._held_for:
            self._keep_held(is_news=not before, is_time=is_time_to_sweep)
            return
        if before:
            _log.info("sending is released")
            self._asks_anew = True
            self._dispatcher.go_on()
        asks_anew, self._asks_anew = self._asks_anew, False
        self._dispatcher.dispatch(asks_anew=asks_anew)
        for pool in self._dispatcher.pools.values():
            self._start_senders(pool)

    def _keep_held(self, *, is_news: bool, is_time: bool) -> None:
        if is_news:
            _log.warning("all sending is held; the worker claims nothing", reason=self._held_for)
        if is_news or is_time:
            self._dispatcher.wind_down()

    def _finish_in_hand(self) -> None:
        """Claim nothing and give no sign of life; only what is being sent keeps its leases until it is written down."""
        if time.monotonic() < self._next_sweep:
            return
        self._dispatcher.wind_down()
        if self._ledger.leases.all():
            now, since = self._settings.clock(), ticks()
            with self._ledger.write() as connection:
                renewed = self._renew(connection, now, since)
            self._note_renewed(renewed)
        self._plan_next_sweep()

    def _plan_next_sweep(self) -> None:
        self._next_sweep = time.monotonic() + self._settings.sweep_every.total_seconds()

    def _sweep(self) -> None:
        """Renew, give a sign of life, and see to what others left behind."""
        now, since = self._settings.clock(), ticks()
        with self._ledger.write() as connection:
            heartbeat.beat(connection, self._ledger.owner, now)
            renewed = self._renew(connection, now, since)
            recovered = recovery.recover(
                connection,
                mine=self._ledger.leases.at_work() - renewed.lost,
                now=now,
                lease=self._settings.lease,
                rule=self._settings.uncertain_rule,
            )
        self._note_renewed(renewed)
        if recovered != recovery.Recovered():
            _log.warning("leases ran out", **vars(recovered))
        self._ledger.expire()
        self._dispatcher.share_connections()

    def _renew(self, connection: Connection, now: datetime, since: float) -> _Renewed:
        """To be noted once this is committed. `since` is `now` in `ticks`."""
        held = self._ledger.leases.to_renew()
        kept, lost = claim.renew(connection, held, owner=self._ledger.owner, now=now, lease=self._settings.lease)
        return _Renewed(kept, lost, since)

    def _note_renewed(self, renewed: _Renewed) -> None:
        self._ledger.leases.renewed(renewed.kept, renewed.lost, since=renewed.since)

    def _start_senders(self, pool: Pool) -> None:
        wanted = min(pool.slots, pool.count())
        for _ in range(wanted - pool.crew.lines):
            sender = SenderThread(pool, self._ledger, must_stop=self._must_give_back)
            pool.crew.join(sender)
            try:
                sender.start()
            except RuntimeError as error:
                pool.crew.leave(sender)
                _log.error("there is no thread to be had for a sender; trying again", error=str(error))
                return

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
        for runner in self._job_runners:
            runner.close()
        self._watcher.close()
        for pool in self._dispatcher.pools.values():
            pool.close()
        finish_by = begun + self._settings.finish_within.total_seconds()
        for runner in self._job_runners:
            runner.join(timeout=max(0.0, finish_by - time.monotonic()))
        for pool in self._dispatcher.pools.values():
            while (senders := pool.crew.senders) and time.monotonic() < finish_by:  # one may still start another
                senders[0].join(timeout=max(0.0, finish_by - time.monotonic()))
        try:
            self._give_back()
        except SQLAlchemyError as error:
            _log.error("leases could not be given back; they run out", **_said_by(error))
        _log.info("worker stopped", owner=self._ledger.owner)

    def _give_back(self) -> None:
        for pool in self._dispatcher.pools.values():
            self._dispatcher.withdraw(pool)
        self._dispatcher.give_back_connections()
        with self._ledger.write() as connection:
            claim.release(connection, sorted(self._ledger.leases.all()), owner=self._ledger.owner)
            heartbeat.stop(connection, self._ledger.owner)
        self._ledger.close()


class _Renewed(NamedTuple):
    """Leases that were written at `since` ticks or later, and those that others have."""

    kept: Set[int]
    lost: Set[int]
    since: float


def _said_by(error: SQLAlchemyError) -> dict[str, str]:
    """For the log: the kind of error, and the first line of what the driver said; the values are on no such line."""
    cause = getattr(error, "orig", None) or error
    return {"error": type(error).__name__, "said": next(iter(str(cause).splitlines()), "")}
