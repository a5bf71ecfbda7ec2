"""When a message is tried again, and after which moment it is not handed over any more."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from portal.outbox.prepared import Schedule
from portal.outbox.retry import next_try_at
from portal.transports import OutgoingMessage, Reply, SendReport, Step, TransientError
from tests.outbox.conftest import NOW, SECRET, TEST, Outbox
from tests.outbox.scripted import answers

BUSY = TransientError(Step.RECIPIENT, code="smtp.greylisted", reply=Reply(451, "later", "4.7.1"))


class Middle(random.Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        (Schedule.SECRET, [10, 20, 30, 60, 180, 300, 600, 600]),
        (Schedule.ALERT, [15, 45, 120, 300, 420, 900, 900]),
        (Schedule.NORMAL, [60, 120, 300, 600, 1200, 2400, 3600, 3600]),
        (Schedule.BULK, [300, 600, 1200, 2400, 7200, 7200]),
    ],
)
def test_each_schedule_backs_off(schedule: Schedule, seconds: list[int]) -> None:
    pauses = [
        (next_try_at(schedule, number, now=NOW, chance=Middle()) - NOW).total_seconds()
        for number in range(1, len(seconds) + 1)
    ]

    assert pauses == seconds


def test_the_jitter_is_a_fifth_either_way() -> None:
    chance = random.Random(7)

    pauses = [(next_try_at(Schedule.NORMAL, 1, now=NOW, chance=chance) - NOW).total_seconds() for _ in range(500)]

    assert 48 <= min(pauses) < 50
    assert 70 < max(pauses) <= 72


def test_attempts_count_and_the_pauses_grow(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.always = BUSY
    tries = []

    at = NOW
    for _ in range(4):
        outbox.send(at)
        tries.append(outbox.delivery(id).attempt_number)
        at = outbox.delivery(id).due_at

    assert tries == [1, 2, 3, 4]
    assert len(outbox.world.main.tried) == 4
    assert timedelta(minutes=6) < at - NOW < timedelta(minutes=22)


def test_a_deferred_message_is_not_tried_before_its_time(outbox: Outbox) -> None:
    outbox.add()
    outbox.world.main.then(BUSY)
    outbox.send()

    outbox.send(NOW + timedelta(seconds=40))

    assert len(outbox.world.main.tried) == 1


def test_a_reset_mail_is_not_handed_over_with_less_than_five_minutes_left(outbox: Outbox) -> None:
    in_time, too_late = outbox.add(**SECRET), outbox.add(**{**SECRET, "expires_at": NOW + timedelta(minutes=59)})

    outbox.send(NOW + timedelta(minutes=54, seconds=30))

    assert (outbox.state(in_time), outbox.state(too_late)) == ("sent", "expired")


def test_a_claimed_message_whose_time_runs_out_meanwhile_is_not_begun(outbox: Outbox) -> None:
    outbox.settings = outbox.with_settings(slice_size=1)
    slow, late = outbox.add(), outbox.add(expires_at=NOW + timedelta(minutes=1))

    def take_long(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        outbox.clock = NOW + timedelta(minutes=2)
        return answers()(message, may_proceed)

    outbox.world.main.then(take_long)
    outbox.send()

    assert (outbox.state(slow), outbox.state(late)) == ("sent", "expired")
    assert len(outbox.world.main.tried) == 1
    assert outbox.ended == [(slow, "sent"), (late, "expired")]


def test_what_expires_tells_its_end(outbox: Outbox) -> None:
    id = outbox.add(expires_at=NOW + timedelta(minutes=1))

    outbox.send(NOW + timedelta(minutes=1))

    assert outbox.ended == [(id, "expired")]


def test_messages_expire_without_any_way_out(outbox: Outbox) -> None:
    outbox.world.lead("default", [])
    id = outbox.add()
    outbox.send()
    assert outbox.state(id) == "queued"

    outbox.send(NOW + timedelta(days=4))

    assert outbox.state(id) == "expired"


def test_a_test_message_fails_at_its_first_refusal(outbox: Outbox) -> None:
    id = outbox.add(**TEST)
    outbox.world.main.always = BUSY

    outbox.send()

    assert outbox.state(id) == "failed"
    assert outbox.attempts(id)[0].reply_text == "later"
