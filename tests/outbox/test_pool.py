"""What a way out's senders may take, and how much of it."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from portal.outbox.claim import Claimed
from portal.outbox.pool import Pool, Suspects
from portal.outbox.prepared import Priority
from tests.outbox.conftest import NOW
from tests.outbox.scripted import way_out


def pool_of(*, slots: int, started: bool = True, suspects: Suspects | None = None) -> Pool:
    pool = Pool(way_out(), suspects=suspects or Suspects(), on_low=lambda: None)
    pool.slots = slots
    if started:
        for _ in range(3):
            pool.put([claimed(0)])
            pool.done(pool.take(1, wait_seconds=0), went_well=True)
    return pool


def claimed(
    number: int, *, priority: Priority = Priority.NORMAL, size: int = 1000, lost_leases: int = 0, route: str = "default"
) -> Claimed:
    return Claimed(
        id=number,
        message_id=uuid.uuid4(),
        route=route,
        priority=priority,
        sender=None,
        size=size,
        due_at=NOW,
        deliver_by=NOW + timedelta(days=3),
        lost_leases=lost_leases,
    )


def take(pool: Pool, most: int = 20) -> list[int]:
    return [one.id for one in pool.take(most, wait_seconds=0).claimed]


def test_a_few_messages_are_shared_among_the_senders() -> None:
    pool = pool_of(slots=4)
    pool.put([claimed(number) for number in range(1, 9)])

    assert [take(pool) for _ in range(5)] == [[1, 2], [3, 4], [5], [6], []]


def test_many_messages_are_taken_by_full_slices() -> None:
    pool = pool_of(slots=2)
    pool.put([claimed(number) for number in range(100)])

    assert take(pool) == list(range(20))


def test_large_messages_are_not_taken_together() -> None:
    pool = pool_of(slots=1)
    pool.put([claimed(number, size=5 * 1024 * 1024) for number in range(1, 4)])

    assert take(pool) == [1]


def test_a_new_pool_begins_with_one_sender_and_doubles_with_each_slice_that_went_well() -> None:
    pool = pool_of(slots=4, started=False)
    pool.put([claimed(number) for number in range(200)])
    at_once = []

    for _ in range(4):
        batches = []
        while (batch := pool.take(5, wait_seconds=0)).claimed:
            batches.append(batch)
        at_once.append(len(batches))
        for number, batch in enumerate(batches):
            pool.done(batch, went_well=number == 0)

    assert at_once == [1, 2, 4, 4]


def test_a_slow_start_begins_anew() -> None:
    pool = pool_of(slots=4)
    pool.start_slowly()
    pool.put([claimed(number) for number in range(100)])

    assert [len(take(pool)) for _ in range(2)] == [20, 0]


def test_a_suspect_goes_alone_and_only_one_at_a_time_of_all_pools() -> None:
    suspects = Suspects()
    first, second = pool_of(slots=4, suspects=suspects), pool_of(slots=4, suspects=suspects)
    first.put([claimed(1, lost_leases=1), claimed(2, lost_leases=1), claimed(3)])
    second.put([claimed(4, lost_leases=1)])

    batch = first.take(20, wait_seconds=0)
    meanwhile = (take(first), take(first), take(second))
    first.done(batch, went_well=True)

    assert [one.id for one in batch.claimed] == [1]
    assert meanwhile == ([3], [], [])
    assert take(second) == [4]


def test_what_the_pace_does_not_allow_waits_in_front() -> None:
    pool = pool_of(slots=1)
    pool.put([claimed(1), claimed(2)])
    batch = pool.take(1, wait_seconds=0)
    pool.put_back(batch.claimed, wait_seconds=0.1)
    pool.done(batch, went_well=False)
    begun = time.monotonic()

    too_early = take(pool)
    later = [one.id for one in pool.take(1, wait_seconds=2).claimed]

    assert (too_early, later) == ([], [1])
    assert time.monotonic() - begun >= 0.1


def test_a_second_probe_takes_no_place_of_the_first() -> None:
    """As where the database was away for so long that the next one is due."""
    pool = pool_of(slots=4)
    pool.put([claimed(1)], probe=True)
    pool.put([claimed(2)], probe=True)

    first = pool.take(20, wait_seconds=0)
    second = pool.take(20, wait_seconds=0)

    assert [(batch.is_probe, [one.id for one in batch.claimed]) for batch in (first, second)] == [
        (True, [1]),
        (False, [2]),
    ]


def test_a_suspended_pool_gives_out_nothing() -> None:
    pool = pool_of(slots=2)
    pool.put([claimed(1)])
    pool.suspend("a sender")

    while_suspended = take(pool)
    pool.go_on("a sender")

    assert (while_suspended, take(pool)) == ([], [1])


def test_one_route_can_be_withdrawn_and_tests_be_kept() -> None:
    pool = pool_of(slots=2)
    pool.put([claimed(1), claimed(2, route="server:wiki"), claimed(3, priority=Priority.ONCE)])

    assert pool.withdraw(route="server:wiki") == [2]
    assert pool.withdraw(keep_tests=True) == [1]
    assert take(pool) == [3]


def test_a_closed_pool_gives_out_nothing() -> None:
    pool = pool_of(slots=2)
    pool.put([claimed(1)])

    pool.close()

    assert take(pool) == []
