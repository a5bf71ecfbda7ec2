"""Erasing what is over, keeping SQLite's log short, and noticing commits over a lost connection."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import text

from portal.outbox import upkeep, wakeup
from portal.outbox.states import State
from tests.outbox.conftest import NOW, SECRET, Outbox
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


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_only_sqlite_has_a_log_to_checkpoint(outbox: Outbox) -> None:
    assert [job.name for job in upkeep.own_jobs(outbox.engine)] == ["outbox.erase_bodies"]


def test_commits_are_noticed(outbox: Outbox) -> None:
    noticed = Event()
    watcher = wakeup.watcher_for(outbox.engine)
    watcher.start(noticed.set)
    try:
        assert noticed.wait(5)
        noticed.clear()

        outbox.add()

        assert noticed.wait(1)
    finally:
        watcher.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_lost_connection_for_noticing_is_made_again(outbox: Outbox) -> None:
    noticed = Event()
    watcher = wakeup.watcher_for(outbox.engine)
    watcher.start(noticed.set)
    try:
        assert noticed.wait(5)
        noticed.clear()
        with outbox.engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                )
            )

        assert noticed.wait(5)
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
