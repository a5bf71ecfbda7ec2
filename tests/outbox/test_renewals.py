"""A worker's leases are renewed in time, whatever else is written or fails at that moment."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from portal.outbox import claim, recovery
from portal.outbox.models import Delivery
from portal.outbox.settings import Surroundings
from portal.outbox.worker import Worker
from tests.outbox.conftest import NOW, Outbox, fails_once

ON_POSTGRESQL = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer
A_WHILE = timedelta(seconds=40)  # of a lease of 60: time to renew it


class Claimer:
    """A worker that stands still, with the leases of what waits; `sweep` is what it does every few seconds."""

    def __init__(self, outbox: Outbox) -> None:
        self._now = NOW
        surroundings = Surroundings(
            box=outbox.box, ways_out=outbox.world.ways_out, open_transport=outbox.world.open_transport
        )
        settings = outbox.with_settings(clock=lambda: self._now, lease=timedelta(seconds=60))
        self._worker = Worker(outbox.engine, surroundings, settings, jobs=(), stop=threading.Event())
        self._worker._dispatcher.dispatch()

    def sweep(self) -> None:
        self._worker._sweep()

    def after(self, while_: timedelta) -> None:
        self._now += while_
        time.sleep(0.01)  # the leases' own clock goes on, too

    def ends(self) -> dict[int, float]:
        return dict(self._worker._ledger.leases._ends)


@pytest.fixture
def claimer(outbox: Outbox) -> Claimer:
    for _ in range(3):
        outbox.add()
    return Claimer(outbox)


def test_a_renewal_that_was_not_committed_is_not_counted_on(claimer: Claimer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = claimer.ends()
    claimer.after(A_WHILE)

    failed = fails_once(monkeypatch, recovery, "recover")
    with pytest.raises(OperationalError):
        claimer.sweep()
    uncommitted = claimer.ends()
    claimer.sweep()

    assert failed
    assert uncommitted == before
    assert all(end > before[id] for id, end in claimer.ends().items())


@ON_POSTGRESQL
def test_what_is_being_written_holds_up_no_renewal_and_is_renewed_at_the_next_sweep(
    outbox: Outbox, claimer: Claimer
) -> None:
    """A sender that begins its slice row by row would wait for what is renewed here, and this for the sender."""
    before = claimer.ends()
    written = min(before)
    claimer.after(A_WHILE)

    with outbox.writing() as connection:
        connection.execute(update(Delivery).where(Delivery.id == written).values(size=Delivery.size))
        claimer.sweep()
        first = claimer.ends()
    claimer.sweep()
    second = claimer.ends()

    assert first.keys() == second.keys() == before.keys()
    assert [id for id in before if first[id] == before[id]] == [written]
    assert second[written] > before[written]


def test_what_others_have_is_told_from_what_is_renewed(outbox: Outbox) -> None:
    ids = [outbox.delivery(outbox.add()).id for _ in range(3)]
    with outbox.writing() as connection:
        connection.execute(update(Delivery).where(Delivery.id != ids[1]).values(lease_owner="us"))
        connection.execute(update(Delivery).where(Delivery.id == ids[1]).values(lease_owner="them"))

        renewed, lost = claim.renew(connection, [*ids, ids[2] + 1], owner="us", now=NOW, lease=timedelta(seconds=60))

    assert renewed == {ids[0], ids[2]}
    assert lost == {ids[1], ids[2] + 1}
    assert outbox.delivery(outbox.deliveries()[1].message_id).lease_until is None
