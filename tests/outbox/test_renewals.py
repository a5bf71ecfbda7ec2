"""A worker's leases are renewed in time, whatever else is written or fails at that moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from portal.outbox import claim, dispatcher, leases, ledger, recovery, worker
from portal.outbox.models import Delivery
from tests.outbox.conftest import NOW, ON_POSTGRESQL, Outbox, fails_once

LEASE = timedelta(seconds=60)


class Claimer:
    """A worker that stands still, with the leases of what waits; `sweep` is what it does every few seconds."""

    def __init__(self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now, self._ticks = NOW, 1000.0
        for module in (leases, ledger, dispatcher, worker):
            monkeypatch.setattr(module, "ticks", lambda: self._ticks)
        settings = outbox.with_settings(clock=lambda: self._now, lease=LEASE)
        self._worker = worker.Worker(outbox.engine, outbox.surroundings(), settings, jobs=(), stop=threading.Event())
        self._worker._dispatcher.dispatch()

    def sweep(self) -> None:
        self._worker._sweep()

    def after(self, passed: timedelta) -> None:
        self._now += passed
        self._ticks += passed.total_seconds()

    def seconds_left(self) -> dict[int, float]:
        return {id: end - self._ticks for id, end in sorted(self._worker._ledger.leases._ends.items())}


@pytest.fixture
def ids(outbox: Outbox) -> list[int]:
    return [outbox.delivery(outbox.add()).id for _ in range(3)]


@pytest.fixture
def claimer(outbox: Outbox, ids: list[int], monkeypatch: pytest.MonkeyPatch) -> Claimer:
    return Claimer(outbox, monkeypatch)


def test_a_lease_is_renewed_once_a_third_of_it_has_passed(outbox: Outbox, ids: list[int], claimer: Claimer) -> None:
    written = outbox.deliveries()[0].lease_until
    claimer.after(LEASE / 4)
    claimer.sweep()
    soon, soon_written = claimer.seconds_left(), outbox.deliveries()[0].lease_until
    claimer.after(LEASE / 4)
    claimer.sweep()

    assert soon == dict.fromkeys(ids, 45)
    assert soon_written == written
    assert claimer.seconds_left() == dict.fromkeys(ids, 60)
    assert outbox.deliveries()[0].lease_until > written


def test_a_renewal_that_was_not_committed_is_not_counted_on(
    ids: list[int], claimer: Claimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimer.after(LEASE / 2)

    failed = fails_once(monkeypatch, recovery, "recover")
    with pytest.raises(OperationalError):
        claimer.sweep()
    uncommitted = claimer.seconds_left()
    claimer.sweep()

    assert failed
    assert uncommitted == dict.fromkeys(ids, 30)
    assert claimer.seconds_left() == dict.fromkeys(ids, 60)


@ON_POSTGRESQL
def test_what_is_being_written_holds_up_no_renewal_and_is_renewed_at_the_next_sweep(
    outbox: Outbox, ids: list[int], claimer: Claimer
) -> None:
    """A sender that begins its slice row by row would wait for what is renewed here, and this for the sender."""
    claimer.after(LEASE / 2)

    with ThreadPoolExecutor(1) as threads, outbox.writing() as connection:
        connection.execute(update(Delivery).where(Delivery.id == ids[1]).values(size=Delivery.size))
        threads.submit(claimer.sweep).result(5)
        first = claimer.seconds_left()
    claimer.sweep()

    assert first == {ids[0]: 60, ids[1]: 30, ids[2]: 60}
    assert claimer.seconds_left() == dict.fromkeys(ids, 60)


def test_what_others_have_taken_over_is_not_held_any_more(outbox: Outbox, ids: list[int], claimer: Claimer) -> None:
    taken: UUID = outbox.deliveries()[1].message_id
    outbox.set(taken, lease_owner="them:1:x", lease_until=outbox.lease_clock() + LEASE)
    claimer.after(LEASE / 2)

    claimer.sweep()

    assert claimer.seconds_left() == {ids[0]: 60, ids[2]: 60}
    assert outbox.delivery(taken).lease_owner == "them:1:x"


def test_what_others_have_is_told_from_what_is_renewed(outbox: Outbox, ids: list[int]) -> None:
    with outbox.writing() as connection:
        connection.execute(update(Delivery).where(Delivery.id != ids[1]).values(lease_owner="us"))
        connection.execute(update(Delivery).where(Delivery.id == ids[1]).values(lease_owner="them"))

        renewed, lost = claim.renew(connection, [*ids, ids[2] + 1], owner="us", now=NOW, lease=LEASE)

    assert renewed == {ids[0], ids[2]}
    assert lost == {ids[1], ids[2] + 1}
    assert outbox.deliveries()[1].lease_until is None
