"""Periodic work, done once across all machines: a lease in the table `job` decides which worker runs it.

The lease is short, so that the jobs of a worker that was killed soon go on elsewhere, and is renewed while the job
runs, however long that is.

A failed run is written down and tried again when it is next due; it stops neither the worker nor other jobs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from portal.outbox.leases import moment
from portal.outbox.ledger import PASSING, Ledger
from portal.outbox.models import JobState

JOB_LEASE = timedelta(seconds=15)
_RENEWALS = 3  # in the time of one lease
_LOOK_EVERY_SECONDS = 1.0
_APART_SECONDS = 0.2  # between two jobs whose time has come: a worker that starts is there to send first of all
_RETRY_AFTER_SECONDS = 5.0
_ERROR_LIMIT = 500  # characters
_log = structlog.get_logger("portal.outbox")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work to be done every so often.

    `is_waiting` makes it run as soon as something was committed that it answers yes to: it only reads, in a short
    transaction of its own, and is asked at every commit. `asks_others`: it calls servers elsewhere, which may be
    slow; such jobs have a runner of their own, so that the rest need not wait. Two runs overlap, on whatever machines,
    only where a worker could not reach the database for longer than a lease while it ran the job.
    """

    name: str
    every: timedelta
    run: Callable[[datetime], object]
    is_waiting: Callable[[], bool] | None = None
    asks_others: bool = False


class JobRunner(threading.Thread):
    """Runs the jobs of one worker, one after the other."""

    def __init__(
        self,
        jobs: Sequence[Job],
        ledger: Ledger,
        *,
        may_run: Callable[[], bool] = lambda: True,
        lease: timedelta = JOB_LEASE,
    ) -> None:
        super().__init__(name="outbox-jobs", daemon=True)
        self._jobs = jobs
        self._ledger = ledger
        self._may_run = may_run
        self._lease = lease
        self._due: dict[str, float] = {job.name: 0.0 for job in jobs}  # monotonic
        self._next_turn = 0.0  # for what is due by its time; what was waited for runs at once
        self._woken = threading.Event()
        self._is_closed = False

    def wake(self) -> None:
        """Something was committed."""
        self._woken.set()

    def close(self) -> None:
        """No further run begins."""
        self._is_closed = True
        self._woken.set()

    def run(self) -> None:
        while not self._is_closed:
            self._woken.wait(self._seconds_to_next_look())
            was_woken = self._woken.is_set()
            self._woken.clear()
            self.run_due(was_woken=was_woken)

    def run_due(self, *, was_woken: bool) -> None:
        """Run what was waited for, and the one job that has been due longest; never raises."""
        for job in sorted(self._jobs, key=lambda job: self._due[job.name]):
            if self._is_closed or not self._may_run():
                return
            try:
                self._run_if_due(job, was_woken=was_woken)
            except PASSING as error:
                _log.error("a job could not be run; trying again", job=job.name, error=type(error).__name__)
                self._due[job.name] = time.monotonic() + _RETRY_AFTER_SECONDS
            except Exception:  # noqa: BLE001 - one job must not stop the others
                _log.exception("a job could not be run", job=job.name)
                self._due[job.name] = time.monotonic() + _LOOK_EVERY_SECONDS

    def _seconds_to_next_look(self) -> float:
        next_due = max(min(self._due.values()), self._next_turn)
        return min(max(next_due - time.monotonic(), _APART_SECONDS), _LOOK_EVERY_SECONDS)

    def _run_if_due(self, job: Job, *, was_woken: bool) -> None:
        is_wanted = was_woken and job.is_waiting is not None and job.is_waiting()
        if not is_wanted and time.monotonic() < max(self._due[job.name], self._next_turn):
            return
        now = self._ledger.settings.clock()
        with self._ledger.write() as connection:
            _ensure(connection, job, now)
            is_ours = _take(connection, job, owner=self._ledger.owner, now=now, lease=self._lease, is_wanted=is_wanted)
            due_at = connection.scalar(select(JobState.due_at).where(JobState.name == job.name))
        if is_ours:
            error = self._attempt(job, now)
            self._next_turn = time.monotonic() + _APART_SECONDS
            due_at = self._ledger.settings.clock() + job.every
            with self._ledger.write() as connection:
                _finish(connection, job, owner=self._ledger.owner, now=now, due_at=due_at, error=error)
        wait = ((due_at or now) - self._ledger.settings.clock()).total_seconds()
        self._due[job.name] = time.monotonic() + max(wait, _LOOK_EVERY_SECONDS)

    def _attempt(self, job: Job, now: datetime) -> str:
        try:
            with self._kept(job):
                job.run(now)
        except Exception as error:  # noqa: BLE001 - whatever a job raises is written down
            _log.exception("a job failed", job=job.name)
            return f"{type(error).__name__}: {error}"[:_ERROR_LIMIT]
        return ""

    @contextmanager
    def _kept(self, job: Job) -> Iterator[None]:
        """Keep the job's lease from a thread of its own, since the run keeps this one."""
        is_over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(job, is_over), name="outbox-job-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            is_over.set()
            keeper.join()

    def _keep(self, job: Job, is_over: threading.Event) -> None:
        while not is_over.wait(self._lease.total_seconds() / _RENEWALS):
            now = self._ledger.settings.clock()
            try:
                with self._ledger.write() as connection:
                    _renew(connection, job, owner=self._ledger.owner, now=now, lease=self._lease)
            except SQLAlchemyError as error:
                _log.error("a job's lease could not be renewed; trying again", job=job.name, error=type(error).__name__)


def _ensure(connection: Connection, job: Job, now: datetime) -> None:
    values = {"name": job.name, "due_at": now, "last_error": ""}
    if connection.dialect.name == "postgresql":
        connection.execute(postgresql_insert(JobState).values(values).on_conflict_do_nothing())
    else:
        connection.execute(sqlite_insert(JobState).values(values).on_conflict_do_nothing())


def _take(connection: Connection, job: Job, *, owner: str, now: datetime, lease: timedelta, is_wanted: bool) -> bool:
    at = moment(connection, now)
    is_due = true() if is_wanted else JobState.due_at <= now
    is_far = JobState.due_at > now + 2 * job.every  # the clock was set back since
    taken = connection.execute(
        update(JobState)
        .where(JobState.name == job.name, or_(is_due, is_far))
        .where(
            or_(
                JobState.lease_until.is_(None),
                JobState.lease_until <= at,
                JobState.lease_until > moment(connection, now, 2 * lease),
            )
        )
        .values(lease_owner=owner, lease_until=moment(connection, now, lease))
    )
    return taken.rowcount == 1


def _renew(connection: Connection, job: Job, *, owner: str, now: datetime, lease: timedelta) -> None:
    connection.execute(
        update(JobState)
        .where(JobState.name == job.name, JobState.lease_owner == owner)
        .values(lease_until=moment(connection, now, lease))
    )


def _finish(connection: Connection, job: Job, *, owner: str, now: datetime, due_at: datetime, error: str) -> None:
    values: dict[str, Any] = {"lease_owner": None, "lease_until": None, "due_at": due_at}
    if error:
        values |= {"last_error_at": now, "last_error": error}
    else:
        values |= {"last_success_at": now, "last_error": ""}
    connection.execute(
        update(JobState).where(JobState.name == job.name, JobState.lease_owner == owner).values(**values)
    )
