"""Messages a minute and connections at the same time, shared by all workers."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from portal.outbox import commands, pacing
from portal.outbox.pacing import Budget
from portal.transports import OutgoingMessage, SendReport
from tests.outbox.conftest import NOW, SECRET, Outbox
from tests.outbox.scripted import MAIN, answers, way_out

START = 1_790_000_000.0


@dataclass(order=True)
class Asking:
    """A worker that asks at `at`, hands over what it is granted within `takes` seconds, and asks again."""

    at: float
    owner: str = field(compare=False)
    in_hand: int = field(default=0, compare=False)


def most_in_a_minute(moments: list[float]) -> int:
    moments = sorted(moments)
    return max(bisect_right(moments, moment + 59.999) - index for index, moment in enumerate(moments))


@pytest.mark.parametrize(("limit", "takes"), [(30, 0.2), (30, 4.0), (600, 0.05), (7, 0.5)])
def test_no_window_of_a_minute_holds_more_than_the_limit_whoever_asks(limit: int, takes: float) -> None:
    chance = random.Random(limit)
    budget: Budget = {}
    workers = [Asking(START + chance.random(), f"worker {number}") for number in range(4)]
    handed_over: list[float] = []

    minutes = 10
    while (asking := min(workers)).at < START + minutes * 60:
        grant = pacing.settle(budget, owner=asking.owner, limit=limit, wanted=20, finished=asking.in_hand, at=asking.at)
        duration = takes * max(1, grant.messages)
        handed_over += [asking.at + chance.uniform(0, duration) for _ in range(grant.messages)]
        asking.in_hand = grant.messages
        asking.at += duration if grant.messages else grant.wait_seconds

    assert most_in_a_minute(handed_over) <= limit
    if takes < 1:
        assert len(handed_over) >= 0.98 * limit * (minutes - 0.1)


def test_grants_are_spread_over_the_minute() -> None:
    budget: Budget = {}
    granted = []

    for second in range(10):
        grant = pacing.settle(budget, owner="one", limit=60, wanted=20, finished=sum(granted[-1:]), at=START + second)
        granted.append(grant.messages)

    assert granted == [1] * 10


def test_whoever_falls_silent_is_taken_to_have_handed_its_messages_over() -> None:
    budget: Budget = {}
    pacing.settle(budget, owner="dead", limit=1, wanted=1, at=START)

    refused = [pacing.settle(budget, owner="one", limit=1, wanted=1, at=START + s).messages for s in (59, 61, 119)]
    granted = pacing.settle(budget, owner="one", limit=1, wanted=1, at=START + 121).messages

    assert (refused, granted) == ([0, 0, 0], 1)


def test_what_is_returned_unsent_may_be_granted_again_at_once() -> None:
    budget: Budget = {}
    first = pacing.settle(budget, owner="one", limit=600, wanted=5, at=START)
    later = pacing.settle(budget, owner="one", limit=600, wanted=5, returned=first.messages, at=START)

    assert first.messages == later.messages == 1


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    budget: Budget = {}
    pacing.settle(budget, owner="one", limit=1, wanted=1, at=START)
    pacing.settle(budget, owner="one", limit=1, wanted=0, finished=1, at=START)

    grant = pacing.settle(budget, owner="one", limit=1, wanted=1, at=START - 86_400)
    after = pacing.settle(budget, owner="one", limit=1, wanted=1, finished=grant.messages, at=START - 86_400 + 61)

    assert grant.messages + after.messages == 1


def test_connections_are_shared_and_those_of_a_silent_worker_come_free() -> None:
    budget: Budget = {}

    first = pacing.share(budget, owner="one", wanted=2, ceiling=3, at=START)
    second = pacing.share(budget, owner="two", wanted=4, ceiling=3, at=START)
    third = pacing.share(budget, owner="three", wanted=4, ceiling=3, at=START + 1)
    renewed = pacing.share(budget, owner="two", wanted=4, ceiling=3, at=START + 10)
    later = pacing.share(budget, owner="three", wanted=4, ceiling=3, at=START + 16)

    assert (first, second, third, renewed, later) == (2, 1, 0, 1, 2)


def test_connections_that_are_given_back_are_free() -> None:
    budget: Budget = {}
    pacing.share(budget, owner="one", wanted=3, ceiling=3, at=START)

    pacing.share(budget, owner="one", wanted=0, ceiling=3, at=START)

    assert pacing.share(budget, owner="two", wanted=3, ceiling=3, at=START) == 3


def test_a_paced_way_out_sends_what_its_pace_allows_and_keeps_the_rest(outbox: Outbox) -> None:
    outbox.world.lead("default", [way_out(messages_per_minute=30)])
    for _ in range(10):
        outbox.add()

    outbox.send()

    assert len(outbox.world.main.taken) == 1
    assert sorted(outbox.states()) == ["queued"] * 9 + ["sent"]
    assert all(row.lease_until is None for row in outbox.deliveries())


def test_an_urgent_message_goes_before_those_that_wait_for_the_pace(outbox: Outbox) -> None:
    outbox.settings = replace(outbox.settings)
    outbox.world.lead("default", [way_out(messages_per_minute=30)])
    for _ in range(10):
        outbox.add()
    urgent = outbox.add(**SECRET)

    outbox.send()

    assert (outbox.state(urgent), len(outbox.world.main.taken)) == ("sent", 1)


def test_a_paced_way_out_slows_no_other(outbox: Outbox) -> None:
    outbox.world.lead("default", [way_out(messages_per_minute=30)])
    for _ in range(10):
        outbox.add()
        outbox.add(route="server:other")

    outbox.send(NOW + timedelta(seconds=1))

    assert len(outbox.world.other.taken) == 10


def test_what_is_cancelled_after_it_was_claimed_uses_up_no_pace(outbox: Outbox) -> None:
    outbox.world.lead("default", [way_out(messages_per_minute=30)])
    first, second = outbox.add(), outbox.add()

    def cancel_second(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        outbox.in_session(lambda session: commands.cancel(session, second, now=NOW))
        outbox.clock = NOW + timedelta(seconds=10)
        return answers()(message, may_proceed)

    outbox.world.main.then(cancel_second)
    outbox.settings = replace(outbox.settings, slice_size=1)
    outbox.send()

    assert [outbox.state(id) for id in (first, second)] == ["sent", "cancelled"]
    assert outbox.budget(MAIN)["in_hand"] == {}
