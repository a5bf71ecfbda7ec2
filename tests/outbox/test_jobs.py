"""Periodic work: when due, once across all workers, at once when woken, and failing without harm."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, select

from portal import outbox as room
from portal.outbox.jobs import JOB_LEASE, Job, JobRunner
from portal.outbox.models import JobState
from tests.outbox.conftest import NOW, Outbox, StartWorker, until


def row_of(outbox: Outbox, name: str) -> Row[Any] | None:
    with outbox.engine.connect() as connection:
        return connection.execute(select(JobState.__table__).where(JobState.name == name)).one_or_none()


def test_a_job_runs_when_the_worker_starts_and_again_when_it_is_due(outbox: Outbox, start_worker: StartWorker) -> None:
    runs: list[datetime] = []

    start_worker(jobs=[Job(name="tidy", every=timedelta(seconds=1), run=runs.append)])
    until(lambda: len(runs) == 3)

    assert runs[0] < NOW + timedelta(seconds=2)
    assert timedelta(seconds=0.9) < runs[1] - runs[0] < timedelta(seconds=3)


def test_a_job_runs_once_for_all_workers(outbox: Outbox, start_worker: StartWorker) -> None:
    runs: list[datetime] = []
    job = Job(name="tidy", every=timedelta(hours=1), run=runs.append)

    for _ in range(3):
        start_worker(jobs=[job])
    until(lambda: (row := row_of(outbox, "tidy")) is not None and row.last_success_at is not None)
    time.sleep(0.3)

    assert len(runs) == 1


def test_a_failing_job_is_written_down_and_stops_neither_others_nor_the_worker(
    outbox: Outbox, start_worker: StartWorker
) -> None:
    runs: list[datetime] = []

    def fail(_now: datetime) -> None:
        raise RuntimeError("the disk is full")

    start_worker(
        jobs=[
            Job(name="bad", every=timedelta(hours=1), run=fail),
            Job(name="good", every=timedelta(hours=1), run=runs.append),
        ]
    )
    id = outbox.add()
    until(lambda: runs and outbox.state(id) == "sent")

    row = row_of(outbox, "bad")
    assert row is not None
    assert (row.last_error, row.lease_until, row.last_success_at) == ("RuntimeError: the disk is full", None, None)


def test_work_that_was_just_committed_does_not_wait_for_the_sweep(outbox: Outbox, start_worker: StartWorker) -> None:
    asked, done = threading.Event(), threading.Event()
    job = Job(
        name="answer",
        every=timedelta(hours=1),
        run=lambda _now: done.set() if asked.is_set() else None,
        is_waiting=asked.is_set,
    )
    start_worker(jobs=[job])
    until(lambda: (row := row_of(outbox, "answer")) is not None and row.last_success_at is not None)

    asked.set()
    outbox.add()
    outbox.in_session(room.wake)

    assert done.wait(4)  # the sweep comes after 5
    asked.clear()


def test_a_lease_of_a_dead_worker_on_a_job_runs_out(outbox: Outbox, start_worker: StartWorker) -> None:
    runs: list[datetime] = []
    with outbox.writing() as connection:
        connection.execute(
            JobState.__table__.insert().values(  # type: ignore[attr-defined]
                name="tidy",
                due_at=NOW,
                lease_owner="dead:1:x",
                lease_until=outbox.lease_clock() + timedelta(seconds=1),
                last_error="",
            )
        )

    start_worker(jobs=[Job(name="tidy", every=timedelta(hours=1), run=runs.append)])
    until(lambda: runs, within=5)

    assert runs[0] > NOW + timedelta(seconds=0.8)


def runner(outbox: Outbox, *jobs: Job, lease: timedelta = JOB_LEASE) -> JobRunner:
    """The part of a worker that runs jobs, for tests that call it themselves."""
    return JobRunner(jobs, outbox.ledger(clock=lambda: datetime.now(UTC)), lease=lease)


def _note(runs: list[str], name: str, _now: datetime) -> None:
    runs.append(name)


def test_a_worker_that_starts_does_one_job_after_the_other_and_at_once_what_is_waited_for(outbox: Outbox) -> None:
    runs: list[str] = []
    jobs = [Job(name=name, every=timedelta(hours=1), run=partial(_note, runs, name)) for name in "abc"]
    answer = Job(name="d", every=timedelta(hours=1), run=lambda _now: runs.append("d"), is_waiting=lambda: True)
    starting = runner(outbox, *jobs, answer)

    starting.run_due(was_woken=True)
    starting.run_due(was_woken=False)
    at_once = list(runs)
    until(lambda: bool(starting.run_due(was_woken=False)) or len(runs) == 4, within=5)

    assert at_once == ["a", "d"]
    assert runs == ["a", "d", "b", "c"]


def test_a_job_that_takes_longer_than_its_lease_keeps_it(outbox: Outbox) -> None:
    begun, finish = threading.Event(), threading.Event()
    runs: list[str] = []

    def long(_now: datetime) -> None:
        runs.append("long")
        begun.set()
        assert finish.wait(30)

    lease = timedelta(seconds=0.6)
    first = runner(outbox, Job(name="tidy", every=timedelta(0), run=long), lease=lease)
    second = runner(outbox, Job(name="tidy", every=timedelta(0), run=lambda _now: runs.append("second")), lease=lease)
    thread = threading.Thread(target=first.run_due, kwargs={"was_woken": False})
    thread.start()
    assert begun.wait(30)

    for _ in range(12):  # it looks once a second
        time.sleep(0.25)
        second.run_due(was_woken=False)
    while_it_runs = list(runs)
    finish.set()
    thread.join(30)

    row = row_of(outbox, "tidy")
    assert while_it_runs == ["long"]
    assert row is not None
    assert (row.lease_until, row.last_error) == (None, "")


def test_the_lease_of_a_run_that_is_over_is_renewed_no_more(outbox: Outbox) -> None:
    job = Job(name="tidy", every=timedelta(hours=1), run=lambda _now: time.sleep(0.3))

    runner(outbox, job, lease=timedelta(seconds=0.3)).run_due(was_woken=False)
    time.sleep(0.3)

    row = row_of(outbox, "tidy")
    assert row is not None
    assert (row.lease_until, row.lease_owner) == (None, None)
    assert [one.name for one in threading.enumerate() if one.name == "outbox-job-lease"] == []


def test_the_job_of_a_worker_that_is_killed_is_free_for_others_within_twenty_seconds(outbox: Outbox) -> None:
    leases: list[timedelta] = []

    def look(_now: datetime) -> None:
        row = row_of(outbox, "tidy")
        assert row is not None
        leases.append(row.lease_until - datetime.now(UTC))

    runner(outbox, Job(name="tidy", every=timedelta(hours=1), run=look)).run_due(was_woken=False)

    (lease,) = leases
    assert timedelta(seconds=10) < lease <= timedelta(seconds=20)
