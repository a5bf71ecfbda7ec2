"""Workers that die, hang or come back late: nothing is lost, and second copies only where nobody can know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from portal.outbox.recovery import UncertainRule
from portal.outbox.states import State
from portal.transports import Abandoned, OutgoingMessage, SendReport
from tests.outbox.conftest import NOW, TEST, Outbox
from tests.outbox.scripted import DEFERRED, FAILED, SENT, UNCERTAIN, answers, report

THREE = ("ada@contoso.test", "bob@contoso.test", "eve@contoso.test")


def test_a_claimed_delivery_of_a_dead_worker_is_free_again_without_blame(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.lose(id, State.QUEUED)

    outbox.send()

    assert outbox.state(id) == "sent"
    assert outbox.delivery(id).lost_leases == 0


def test_a_delivery_in_a_dead_workers_hands_is_sent_again_with_the_same_message_id(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.lose(id)

    outbox.send()

    assert outbox.state(id) == "sent"
    assert outbox.world.main.message_ids == [f"<{id}@contoso.test>"]
    assert [(row.verdict, row.code) for row in outbox.attempts(id)] == [
        ("uncertain", "outbox.worker_lost"),
        ("sent", ""),
    ]


def test_a_lease_that_has_not_run_out_is_respected(outbox: Outbox) -> None:
    id = outbox.add()
    until = outbox.lease_clock() + timedelta(seconds=30)
    outbox.set(id, state="sending", lease_owner="alive:1:x", lease_until=until)

    outbox.send()

    assert outbox.state(id) == "sending"
    assert outbox.world.main.tried == []


def test_a_lease_far_in_the_future_was_written_before_the_clock_was_set_back(outbox: Outbox) -> None:
    id = outbox.add()
    far = outbox.lease_clock() + timedelta(days=1)
    outbox.set(id, state="queued", lease_owner="dead:1:x", lease_until=far)

    outbox.send()

    assert outbox.state(id) == "sent"


def test_three_lost_leases_hold_the_message_as_one_that_crashes_the_worker(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.set(id, lost_leases=2)
    outbox.lose(id)

    outbox.send()

    row = outbox.delivery(id)
    assert (row.state, row.held_reason, row.lost_leases) == ("held", "crashes_worker", 3)
    assert outbox.world.main.tried == []


def test_what_was_in_hand_when_a_worker_died_is_sent_alone(outbox: Outbox) -> None:
    suspects = [outbox.add() for _ in range(3)]
    for id in suspects:
        outbox.lose(id)
    others = [outbox.add() for _ in range(3)]
    in_hand: list[int] = []

    def look(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        assert may_proceed()
        in_hand.append(sum(row.state == "sending" and row.lost_leases > 0 for row in outbox.deliveries()))
        return report(message)

    outbox.world.main.always = look
    outbox.send()

    assert sorted(outbox.states()) == ["sent"] * 6
    assert max(in_hand) == 1
    assert len(others) == 3


def test_an_answer_that_is_lost_three_times_holds_the_message(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.always = answers(UNCERTAIN)

    for minutes in range(5):
        outbox.send(NOW + timedelta(minutes=minutes))
        if outbox.state(id) == "uncertain":
            outbox.set(id, lease_until=NOW)

    assert (outbox.state(id), outbox.delivery(id).held_reason) == ("held", "no_answer")
    assert len(outbox.world.main.taken) == 3


def test_an_uncertain_one_waits_for_its_lease_before_it_goes_again(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(answers(UNCERTAIN))
    outbox.send()

    outbox.send(NOW + timedelta(seconds=30))

    assert outbox.state(id) == "uncertain"


@pytest.mark.parametrize("lost", [True, False])
def test_a_kind_that_is_held_for_a_person_is_not_sent_again(outbox: Outbox, lost: bool) -> None:
    outbox.settings = replace(outbox.settings, uncertain_rule=lambda kind: UncertainRule.HOLD)
    id = outbox.add()
    if lost:
        outbox.lose(id)
    else:
        outbox.set(id, state="uncertain", lease_until=NOW - timedelta(days=1))

    outbox.send()
    outbox.send(NOW + timedelta(hours=1))

    assert outbox.state(id) == "uncertain"
    assert outbox.world.main.tried == []


def test_a_test_message_is_never_sent_again(outbox: Outbox) -> None:
    id = outbox.add(**TEST)
    outbox.lose(id)

    outbox.send()

    assert outbox.state(id) == "uncertain"
    assert outbox.world.main.tried == []


def overtaken(outbox: Outbox, id: UUID, state: str, *, verdict: object) -> None:
    """A worker sends so slowly that its lease is lost, others make `state` of the delivery, then it answers."""

    def slow(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        assert may_proceed()
        owner = None if state in {"sent", "failed", "cancelled", "held", "queued", "uncertain"} else "other:1:x"
        until = None if owner is None else outbox.lease_clock() + timedelta(seconds=60)
        ended = NOW if state in {"sent", "failed", "cancelled", "expired"} else None
        outbox.set(
            id, state=state, lease_owner=owner, lease_until=until, ended_at=ended, due_at=NOW + timedelta(days=1)
        )
        return report(message, *verdict) if isinstance(verdict, tuple) else report(message)

    outbox.world.main.then(slow)
    outbox.send()


@pytest.mark.parametrize(
    "state", ["queued", "deferred", "sending", "uncertain", "failed", "expired", "cancelled", "held"]
)
def test_a_late_sent_always_counts(outbox: Outbox, state: str) -> None:
    id = outbox.add()

    overtaken(outbox, id, state, verdict=(SENT,))

    row = outbox.delivery(id)
    assert (row.state, row.lease_owner, row.lease_until) == ("sent", None, None)


@pytest.mark.parametrize("verdict", [DEFERRED, FAILED, UNCERTAIN])
@pytest.mark.parametrize("state", ["sending", "queued", "uncertain", "sent"])
def test_another_late_result_does_not_count(outbox: Outbox, state: str, verdict: object) -> None:
    id = outbox.add()

    overtaken(outbox, id, state, verdict=(verdict,))

    assert outbox.state(id) == state


def test_a_late_mixed_result_takes_the_accepted_recipient_out(outbox: Outbox) -> None:
    id = outbox.add(rcpt_to=THREE)

    overtaken(outbox, id, "queued", verdict=(SENT, DEFERRED, FAILED))

    assert {row.state: row.rcpt_to for row in outbox.deliveries(id)} == {
        "queued": ["bob@contoso.test", "eve@contoso.test"],
        "sent": ["ada@contoso.test"],
    }


def test_a_second_copy_is_told_in_the_history(outbox: Outbox) -> None:
    id = outbox.add()

    overtaken(outbox, id, "sent", verdict=(SENT,))

    assert [row.verdict for row in outbox.attempts(id)] == ["sent"]


def test_without_its_lease_a_worker_does_not_pass_the_point_of_no_return(outbox: Outbox) -> None:
    outbox.settings = replace(outbox.settings, lease=timedelta(seconds=0))
    id = outbox.add()
    permits: list[bool] = []

    def ask(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        permits.append(may_proceed())
        outbox.set(id, due_at=NOW + timedelta(days=1))
        raise Abandoned

    outbox.world.main.then(ask)
    outbox.send()

    assert permits == [False]
    assert outbox.world.main.taken == []
    assert outbox.state(id) == "queued"


def test_a_flaw_of_ours_before_the_point_of_no_return_defers(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(RuntimeError("a flaw"))  # type: ignore[arg-type]

    outbox.send()

    assert (outbox.state(id), outbox.attempts(id)[0].code) == ("deferred", "outbox.unexpected")


def test_a_flaw_of_ours_after_the_point_of_no_return_leaves_it_uncertain(outbox: Outbox) -> None:
    def flawed(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        assert may_proceed()
        raise RuntimeError("a flaw")

    id = outbox.add()
    outbox.world.main.then(flawed)

    outbox.send()

    assert outbox.state(id) == "uncertain"
