from __future__ import annotations

import os
import signal
import time

from tests.supervisor.groups import Group, is_alive, until


def test_a_stop_signal_ends_the_parts_in_their_order_with_status_0(group: Group) -> None:
    group.start(("web", "obedient", 10), ("worker", "obedient", 10))
    group.wait_for("started", 2)

    group.send(signal.SIGTERM)

    assert group.end() == (0, [])
    assert [name for name, _pid in group.notes("stopped")] == ["web", "worker"]


def test_ctrl_c_reaches_the_parent_alone(group: Group) -> None:
    group.start(("web", "obedient", 10), ("worker", "obedient", 10))
    pids = [pid for _name, pid in group.wait_for("started", 2)]

    sessions = [os.getsid(pid) for pid in pids]
    group.send(signal.SIGINT)

    assert sessions == pids
    assert group.end()[0] == 0


def test_a_part_that_does_not_end_in_time_is_killed_and_the_next_still_ends_cleanly(group: Group) -> None:
    group.start(("web", "stubborn", 0.2), ("worker", "obedient", 10))
    group.wait_for("started", 2)

    group.send(signal.SIGTERM)

    assert group.end() == (0, ["web did not end within 0.2 s and is killed"])
    assert [name for name, _pid in group.notes("stopped")] == ["worker"]


def test_a_second_ctrl_c_kills_at_once(group: Group) -> None:
    group.start(("web", "stubborn", 30), ("worker", "stubborn", 30))
    pids = [pid for _name, pid in group.wait_for("started", 2)]
    began = time.monotonic()

    group.send(signal.SIGINT)
    time.sleep(0.1)
    group.send(signal.SIGINT)
    status, _said = group.end()

    assert status == 1
    assert time.monotonic() - began < 5
    assert [pid for pid in pids if is_alive(pid)] == []


def test_a_dead_part_is_started_again_after_waits_that_double_up_to_the_longest(group: Group) -> None:
    group.start(("web", "mortal", 10), first_wait=0.02, longest_wait=0.08, too_many=6)

    status, said = group.end()

    assert status == 1
    assert said == [
        "web ended with status 3; it is started again in 0.02 s",
        "web ended with status 3; it is started again in 0.04 s",
        "web ended with status 3; it is started again in 0.08 s",
        "web ended with status 3; it is started again in 0.08 s",
        "web ended with status 3; it is started again in 0.08 s",
        "web ended with status 3; 6 ends in 60 s are too many",
    ]


def test_five_ends_in_a_minute_end_the_whole_group_cleanly_with_status_1(group: Group) -> None:
    group.start(("web", "mortal", 10), ("worker", "obedient", 10), first_wait=0.05, longest_wait=0.2)

    status, said = group.end()

    assert status == 1
    assert said[-1] == "web ended with status 3; 5 ends in 60 s are too many"
    assert [name for name, _pid in group.notes("started")].count("web") == 5
    assert [name for name, _pid in group.notes("stopped")] == ["worker"]


def test_ends_that_lie_further_apart_are_not_too_many(group: Group) -> None:
    group.start(("web", "mortal", 10), first_wait=0.02, longest_wait=0.02, within=0.03, too_many=3)

    group.wait_for("started", 5)
    group.send(signal.SIGTERM)

    assert group.end()[0] == 0


def test_a_part_that_lived_long_enough_starts_with_the_first_wait_again(group: Group) -> None:
    group.start(("web", "mortal", 10), first_wait=0.02, settled_after=0.0, too_many=4)

    _status, said = group.end()

    assert said[:3] == ["web ended with status 3; it is started again in 0.02 s"] * 3


def test_a_part_killed_by_a_signal_is_started_again_and_the_signal_is_named(group: Group) -> None:
    group.start(("web", "obedient", 10), ("worker", "obedient", 10), first_wait=0.05)
    worker = dict(group.wait_for("started", 2))["worker"]

    os.kill(worker, signal.SIGKILL)
    started = group.wait_for("started", 3)
    group.send(signal.SIGTERM)
    status, said = group.end()

    assert started[2][0] == "worker"
    assert started[2][1] != worker
    assert (status, said) == (0, ["worker was ended by SIGKILL; it is started again in 0.05 s"])


def test_a_stop_during_a_wait_before_a_start_does_not_wait_for_it(group: Group) -> None:
    group.start(("web", "mortal", 10), first_wait=30)
    group.wait_for("started")
    time.sleep(0.1)

    group.send(signal.SIGTERM)

    assert group.end()[0] == 0


def test_readiness_is_announced_once_and_not_before(group: Group) -> None:
    group.start(("web", "obedient", 10))
    group.wait_for("started")

    group.ready_file.touch()
    time.sleep(0.3)
    group.send(signal.SIGTERM)

    assert group.end() == (0, ["ready"])


def test_a_closed_terminal_ends_it_cleanly_unless_it_was_told_not_to_care(group: Group) -> None:
    group.start(("web", "obedient", 10), prefix=("nohup",))
    group.wait_for("started")

    group.send(signal.SIGHUP)
    time.sleep(0.1)
    still_runs = group.process is not None and group.process.poll() is None
    group.send(signal.SIGTERM)

    assert still_runs
    assert group.end()[0] == 0


def test_every_process_ends_when_the_parent_is_killed(group: Group) -> None:
    group.start(("web", "family", 10), ("worker", "family", 10))
    pids = [pid for _name, pid in group.wait_for("started", 2) + group.wait_for("grandchild", 2)]

    group.send(signal.SIGKILL)

    until(lambda: not any(is_alive(pid) for pid in pids))
