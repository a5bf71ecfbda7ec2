"""While something stands in its way the worker finishes what it has in hand, claims nothing, and then goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from portal import outbox as room
from portal.outbox.jobs import Job
from portal.transports import OutgoingMessage, SendReport
from tests.outbox.conftest import Outbox, StartWorker, until
from tests.outbox.scripted import MAIN, report, way_out


class Obstacle:
    """Stands in the way from `arise` until `go`."""

    def __init__(self) -> None:
        self._sentence = ""

    def __call__(self) -> str:
        return self._sentence

    def arise(self) -> None:
        self._sentence = "the database is at schema 9999"

    def go(self) -> None:
        self._sentence = ""


@pytest.fixture
def obstacle() -> Obstacle:
    return Obstacle()


def test_nothing_is_claimed_while_something_stands_in_the_way(
    outbox: Outbox, start_worker: StartWorker, obstacle: Obstacle
) -> None:
    obstacle.arise()
    start_worker(obstacle=obstacle)
    id = outbox.add()
    time.sleep(0.6)
    meanwhile = outbox.delivery(id)

    obstacle.go()
    until(lambda: outbox.state(id) == "sent")

    assert (meanwhile.state, meanwhile.lease_owner) == ("queued", None)
    assert len(outbox.world.main.taken) == 1


def test_what_is_in_hand_is_finished_and_written_down_and_the_rest_given_back(
    outbox: Outbox, start_worker: StartWorker, obstacle: Obstacle
) -> None:
    outbox.world.lead("default", [way_out(max_connections=1, messages_per_minute=600)])
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(40)])
    handed_over, release = threading.Event(), threading.Event()

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        handed_over.set()
        assert release.wait(30)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = slowly
    start_worker(obstacle=obstacle, lease=timedelta(seconds=2))
    assert handed_over.wait(30)

    obstacle.arise()
    until(lambda: all(row.lease_until is None for row in outbox.deliveries() if row.state == "queued"))
    time.sleep(2.5)  # more than a lease, which what is in hand keeps
    in_hand = outbox.states().count("sending")
    release.set()
    until(lambda: "sending" not in outbox.states())
    until(lambda: outbox.budget(MAIN)["connections"] == {})
    states = sorted(outbox.states())

    assert in_hand >= 1
    assert states == ["queued"] * (40 - in_hand) + ["sent"] * in_hand
    assert len(outbox.world.main.taken) == in_hand
    outbox.world.main.always = None
    obstacle.go()
    until(lambda: outbox.states() == ["sent"] * 40)
    assert sorted(outbox.world.main.message_ids) == sorted(set(outbox.world.main.message_ids))


def test_no_job_begins_while_something_stands_in_the_way(
    outbox: Outbox, start_worker: StartWorker, obstacle: Obstacle
) -> None:
    runs: list[datetime] = []
    obstacle.arise()
    start_worker(obstacle=obstacle, jobs=[Job(name="tidy", every=timedelta(seconds=1), run=runs.append)])
    time.sleep(1.3)
    meanwhile = len(runs)

    obstacle.go()
    until(lambda: runs)

    assert meanwhile == 0


def test_a_worker_that_stands_still_gives_no_sign_of_life(
    outbox: Outbox, start_worker: StartWorker, obstacle: Obstacle
) -> None:
    start_worker(obstacle=obstacle)
    until(lambda: outbox.in_session(room.worker_seen_at) is not None)
    obstacle.arise()
    time.sleep(0.4)
    before = outbox.in_session(room.worker_seen_at)
    time.sleep(0.4)
    meanwhile = outbox.in_session(room.worker_seen_at)

    obstacle.go()
    until(lambda: outbox.in_session(room.worker_seen_at) > before)

    assert meanwhile == before


def test_standing_still_and_going_on_are_each_told_in_one_line(
    outbox: Outbox, start_worker: StartWorker, obstacle: Obstacle, capsys: pytest.CaptureFixture[str]
) -> None:
    running = start_worker(obstacle=obstacle)
    obstacle.arise()
    time.sleep(0.5)
    obstacle.go()
    time.sleep(0.3)
    running.end()

    said = "".join(capsys.readouterr())

    assert said.count("the worker finishes what it has in hand and claims nothing more") == 1
    assert said.count("the database is at schema 9999") == 1
    assert said.count("the worker goes on") == 1


def test_a_worker_that_stands_still_can_be_stopped(
    outbox: Outbox, start_worker: StartWorker, obstacle: Obstacle
) -> None:
    obstacle.arise()
    running = start_worker(obstacle=obstacle)
    time.sleep(0.2)

    seconds = running.end()

    assert seconds < 3
