"""Erasing what is over, keeping SQLite's log short, and noticing commits over a lost connection."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import OperationalError

from portal.outbox import upkeep
from portal.outbox.models import JobState
from portal.outbox.states import State
from tests.outbox.conftest import NOW, ON_POSTGRESQL, SECRET, Outbox
from tests.outbox.scripted import CAPTURED, answers


def test_captured_bodies_are_erased_after_a_week(outbox: Outbox) -> None:
    id, plain = outbox.add(**SECRET), outbox.add()
    outbox.world.main.always = answers(CAPTURED, kept=True)
    outbox.send()
    job = next(job for job in upkeep.own_jobs(outbox.engine) if job.name == "outbox.erase_bodies")

    job.run(NOW + timedelta(days=6, hours=23))
    kept = [outbox.body(one) is not None for one in (id, plain)]
    job.run(NOW + timedelta(days=7))

    assert kept == [True, True]
    assert [outbox.body(one) for one in (id, plain)] == [None, None]
    assert outbox.state(id) == State.SENT


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_large_log_is_emptied(outbox: Outbox) -> None:
    for _ in range(20):
        outbox.add()

    assert upkeep.checkpoint(outbox.engine, large=0) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_log_that_cannot_be_emptied_is_told(outbox: Outbox, capsys: pytest.CaptureFixture[str]) -> None:
    with outbox.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM message")).all()
        for _ in range(20):
            outbox.add()

        size = upkeep.checkpoint(outbox.engine, large=1000)

    assert size > 1000
    said = capsys.readouterr()
    assert "something holds an old read open" in said.out + said.err


@ON_POSTGRESQL
def test_only_sqlite_has_a_log_to_checkpoint(outbox: Outbox) -> None:
    names = [job.name for job in upkeep.own_jobs(outbox.engine)]

    assert names == ["outbox.erase_bodies", "outbox.drop_chunks", "outbox.forget_keys"]


def test_commits_are_noticed(outbox: Outbox) -> None:
    noticed = Event()
    watcher = outbox.ledger().watcher()
    watcher.start(noticed.set)
    try:
        assert noticed.wait(30)
        noticed.clear()

        outbox.add()

        assert noticed.wait(30)
    finally:
        watcher.close()


def test_its_own_commits_do_not_wake_a_worker(outbox: Outbox) -> None:
    noticed = Event()
    ledger = outbox.ledger()
    watcher = ledger.watcher()
    watcher.start(noticed.set)
    try:
        assert noticed.wait(30)
        noticed.clear()

        with ledger.write() as connection:
            connection.execute(insert(JobState).values(name="of this worker", due_at=NOW, last_error=""))

        assert not noticed.wait(0.5)
    finally:
        watcher.close()
        ledger.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_after_a_failed_write_the_next_one_is_made_on_a_new_connection(outbox: Outbox) -> None:
    ledger = outbox.ledger()
    with pytest.raises(OperationalError), ledger.write() as connection:
        connection.execute(text("INSERT INTO no_such_table VALUES (1)"))

    with ledger.write() as connection:
        connection.execute(insert(JobState).values(name="goes on", due_at=NOW, last_error=""))

    with outbox.engine.connect() as connection:
        assert connection.scalar(select(JobState.name).where(JobState.name == "goes on")) == "goes on"
    ledger.close()


@ON_POSTGRESQL
def test_a_lost_connection_for_noticing_is_made_again(outbox: Outbox) -> None:
    noticed = Event()
    watcher = outbox.ledger().watcher()
    watcher.start(noticed.set)
    try:
        assert noticed.wait(30)
        noticed.clear()
        with outbox.engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                )
            )

        assert noticed.wait(30)
    finally:
        watcher.close()


def test_a_secret_body_goes_when_it_can_never_be_sent(outbox: Outbox) -> None:
    id = outbox.add(**SECRET)
    outbox.set(id, state="uncertain")
    job = next(job for job in upkeep.own_jobs(outbox.engine) if job.name == "outbox.erase_bodies")

    job.run(NOW + timedelta(minutes=59))
    before = outbox.body(id)
    job.run(NOW + timedelta(minutes=60))

    assert before is not None
    assert outbox.body(id) is None
