"""The worker with its threads: at once, once, to the end of a slice, on whatever database."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from portal import outbox as room
from portal.database import configure
from portal.outbox import pausing, worker
from portal.outbox.pauses import READY
from portal.outbox.prepared import WaysOut
from portal.transports import ConnectionFault, OutgoingMessage, Reply, SendReport, Step
from tests.outbox.conftest import NOW, Outbox, StartWorker, until
from tests.outbox.scripted import MAIN, OTHER, Server, report, way_out


def test_a_queued_message_is_handed_over_within_a_second(outbox: Outbox, start_worker: StartWorker) -> None:
    start_worker(look_every=timedelta(seconds=5))
    until(lambda: outbox.in_session(room.worker_seen_at) is not None)
    time.sleep(0.2)

    outbox.add()
    begun = time.monotonic()
    until(lambda: outbox.world.main.taken)

    assert time.monotonic() - begun < 1


def test_what_becomes_due_is_sent_without_any_commit(outbox: Outbox, start_worker: StartWorker) -> None:
    start_worker()

    id = outbox.add(created_at=NOW + timedelta(seconds=0.5))
    until(lambda: outbox.state(id) == "sent")

    assert len(outbox.world.main.taken) == 1


def test_two_workers_with_eight_threads_send_each_message_once(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.world.lead("default", [way_out(max_connections=8)])
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(600)])

    workers = [start_worker(), start_worker()]
    until(lambda: len(outbox.ended) == 600, within=30)
    for one in workers:
        one.end()

    assert set(Counter(outbox.world.main.message_ids).values()) == {1}
    assert len(outbox.world.main.taken) == 600
    assert outbox.states() == ["sent"] * 600
    assert len(outbox.attempts_of_all()) == 600


def test_a_way_outs_connections_are_never_exceeded_by_all_workers_together(
    outbox: Outbox, start_worker: StartWorker
) -> None:
    outbox.world.lead("default", [way_out(max_connections=3)])
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(300)])

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.002)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = slowly
    for _ in range(2):
        start_worker()
    until(lambda: len(outbox.ended) == 300, within=30)

    assert 1 < outbox.world.main.most_open <= 3


def test_a_stop_finishes_the_slice_in_hand_and_gives_back_the_rest(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.world.lead("default", [way_out(max_connections=1)])
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(200)])

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.02)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = slowly
    running = start_worker()
    until(lambda: outbox.world.main.taken)
    running.end(within=5)

    states = Counter(outbox.states())
    assert set(states) == {"sent", "queued"}
    assert states["sent"] == len(outbox.world.main.taken) < 60
    assert all(row.lease_until is None for row in outbox.deliveries())
    assert outbox.world.main.open_now == 0
    assert outbox.in_session(room.worker_seen_at) is None


def test_changed_settings_act_on_the_next_message(outbox: Outbox, start_worker: StartWorker) -> None:
    start_worker()
    outbox.add()
    until(lambda: len(outbox.world.main.taken) == 1)
    old, outbox.world.servers[MAIN] = outbox.world.main, Server()
    outbox.world.lead("default", [way_out(version=2)])

    outbox.add()
    until(lambda: outbox.world.main.taken)

    assert len(old.taken) == 1


def test_changed_settings_act_within_a_slice(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.world.lead("default", [way_out(max_connections=1)])
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(40)])

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.1)
        assert may_proceed()
        return report(message)

    old = outbox.world.main
    old.always = slowly
    start_worker()
    until(lambda: old.tried)
    outbox.world.servers[MAIN] = Server()
    outbox.world.lead("default", [way_out(max_connections=1, version=2)])
    until(lambda: len(outbox.ended) == 40)

    assert len(old.taken) <= 3
    assert len(old.taken) + len(outbox.world.main.taken) == 40


@pytest.mark.parametrize(
    ("change", "state"), [(WaysOut((way_out(OTHER),)), "sent"), (WaysOut(is_switched_off=True), "held")]
)
def test_what_is_claimed_follows_a_change_of_its_route(
    outbox: Outbox, start_worker: StartWorker, change: WaysOut, state: str
) -> None:
    outbox.world.lead("default", [way_out(max_connections=1)])
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(100)])

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.05)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = slowly
    start_worker(slice_size=5)
    until(lambda: outbox.world.main.tried)
    outbox.world.routes["default"] = change
    until(lambda: set(outbox.states()) <= {"sent", state})

    assert len(outbox.world.main.taken) < 50


def test_a_pause_that_another_worker_found_is_heeded(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.world.lead("default", [way_out(max_connections=1)])
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(100)])

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.03)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = slowly
    start_worker(slice_size=4)
    until(lambda: len(outbox.world.main.taken) > 4)
    fault = ConnectionFault(Step.TLS, code="tls.expired_certificate", seen="expired")
    with outbox.writing() as connection:
        pausing.note_error(connection, MAIN, fault, sender="", is_probe=False, now=NOW + timedelta(minutes=1))
    until(lambda: "sending" not in outbox.states())
    waiting = outbox.states().count("queued")
    time.sleep(0.3)

    assert waiting > 50
    assert outbox.states().count("queued") == waiting


def test_a_wrong_password_is_tried_by_one_sender_not_by_four(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(100)])

    def refuse(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.2)
        raise ConnectionFault(Step.AUTHENTICATE, code="smtp.bad_credentials", reply=Reply(535, "no", "5.7.8"))

    outbox.world.main.always = refuse
    start_worker()
    until(lambda: outbox.in_session(room.way_out_states).get(MAIN, READY).status == "paused")
    time.sleep(0.3)

    assert len(outbox.world.main.tried) == 1
    assert "sending" not in outbox.states()


def test_a_resumed_way_out_is_first_tried_by_one_sender(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(60)])
    start_worker()
    until(lambda: len(outbox.ended) == 60)
    fault = ConnectionFault(Step.AUTHENTICATE, code="smtp.bad_credentials", reply=Reply(535, "no", "5.7.8"))

    def refuse(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.2)
        raise fault

    outbox.world.main.then(fault)
    outbox.world.main.always = refuse
    outbox.add()
    until(lambda: outbox.in_session(room.way_out_states).get(MAIN, READY).status == "paused")
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(100)])
    before = len(outbox.world.main.tried)

    outbox.in_session(lambda session: room.resume(session, MAIN))
    until(lambda: len(outbox.world.main.tried) > before)
    until(lambda: outbox.in_session(room.way_out_states).get(MAIN, READY).status == "paused")
    time.sleep(0.3)

    assert len(outbox.world.main.tried) == before + 1


def test_a_conversation_without_work_is_ended(outbox: Outbox, start_worker: StartWorker) -> None:
    start_worker(idle_after=timedelta(seconds=0.1))
    outbox.add()
    until(lambda: outbox.world.main.taken)

    until(lambda: outbox.world.main.open_now == 0, within=5)

    assert outbox.world.main.opened == 1


def test_a_conversation_is_kept_between_messages(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.world.lead("default", [way_out(max_connections=1)])
    start_worker()

    for count in range(1, 6):
        outbox.add()
        until(lambda count=count: len(outbox.world.main.taken) == count)

    assert outbox.world.main.opened == 1


def test_a_hook_that_fails_stops_nothing(outbox: Outbox) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("a hook's flaw")

    ids = [outbox.add(), outbox.add()]

    worker.once(
        outbox.engine,
        box=outbox.box,
        ways_out=outbox.world.ways_out,
        open_transport=outbox.world.open_transport,
        now=NOW,
        on_end_state=failing,
    )

    assert [outbox.state(id) for id in ids] == ["sent", "sent"]


def test_whatever_the_database_answers_while_looking_is_told_in_a_sentence_and_tried_again(
    outbox: Outbox, start_worker: StartWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    there, gone = "way_out_state", "way_out_state_gone"
    with outbox.writing() as connection:
        connection.execute(text(f"ALTER TABLE {there} RENAME TO {gone}"))
    try:
        start_worker()
        id = outbox.add()
        lines: list[str] = []
        until(lambda: lines.extend(capsys.readouterr()) or "cannot be read or written" in "".join(lines))
        while_gone = outbox.state(id)
    finally:
        with outbox.writing() as connection:
            connection.execute(text(f"ALTER TABLE {gone} RENAME TO {there}"))
    until(lambda: outbox.state(id) == "sent")

    (line,) = set(re.findall(r"the outbox cannot be .*", "".join(lines)))
    assert line.startswith("the outbox cannot be read or written; trying again")
    assert "way_out_state" in line
    assert "Traceback" not in "".join(lines)
    assert while_gone == "queued"


def test_a_flaw_met_while_looking_ends_the_worker_which_gives_back_what_it_holds(
    outbox: Outbox, start_worker: StartWorker
) -> None:
    outbox.world.lead("default", [way_out(max_connections=1)])
    ids = [outbox.add() for _ in range(50)]
    ways_out = outbox.world.ways_out

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.05)
        assert may_proceed()
        return report(message)

    def flawed(route: str) -> WaysOut:
        if outbox.world.main.tried:
            raise RuntimeError("a flaw")
        return ways_out(route)

    outbox.world.main.always = slowly
    outbox.world.ways_out = flawed  # type: ignore[method-assign]
    running = start_worker()
    until(lambda: not running.is_running)

    error, running.error = running.error, None
    assert repr(error) == "RuntimeError('a flaw')"
    assert {outbox.state(id) for id in ids} == {"sent", "queued"}
    assert all(row.lease_until is None for row in outbox.deliveries())
    assert outbox.in_session(room.worker_seen_at) is None


def test_long_sending_keeps_its_lease(outbox: Outbox, start_worker: StartWorker) -> None:
    outbox.world.lead("default", [way_out(max_connections=8)])
    id = outbox.add()

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(3.75)  # two leases and a half, each longer than this machine may stand still
        assert may_proceed()
        return report(message)

    outbox.world.main.always = slowly
    start_worker(lease=timedelta(seconds=1.5))
    start_worker(lease=timedelta(seconds=1.5))
    until(lambda: outbox.state(id) == "sent")

    assert len(outbox.world.main.tried) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_database_that_is_busy_for_a_while_loses_no_result(outbox: Outbox, start_worker: StartWorker) -> None:
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with outbox.writing() as connection:
            connection.execute(text("SELECT 1"))
            locked.set()
            release.wait(30)

    def while_locked(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        assert may_proceed()
        threading.Thread(target=hold).start()
        assert locked.wait(30)
        return report(message)

    impatient = create_engine(outbox.engine.url, connect_args={"timeout": 0.05, "isolation_level": None})
    configure(impatient)
    outbox.world.main.then(while_locked)
    id = outbox.add()
    start_worker(engine=impatient)
    assert locked.wait(30)
    time.sleep(0.3)
    release.set()
    until(lambda: outbox.state(id) == "sent")

    assert len(outbox.world.main.taken) == 1


def test_each_worker_gives_signs_of_life(outbox: Outbox, start_worker: StartWorker) -> None:
    running = start_worker()
    until(lambda: outbox.in_session(room.worker_seen_at) is not None)
    first = outbox.in_session(room.worker_seen_at)

    until(lambda: outbox.in_session(room.worker_seen_at) > first)

    running.end()
    assert outbox.in_session(room.worker_seen_at) is None
