"""PostgreSQL ends one of two transactions that wait for each other: none of the outbox's do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal.outbox import bodies, claim, commands, pausing, slices
from portal.outbox.dispatcher import Dispatcher
from portal.outbox.ledger import Ledger
from portal.outbox.lines import Line
from portal.outbox.models import Delivery, MessageBody, WayOutRecord
from portal.outbox.pauses import Pause
from portal.outbox.senders import Sender
from portal.transports import Abandoned, OutgoingMessage, SendReport
from tests.outbox.conftest import NOW, ON_POSTGRESQL, SECRET, Outbox, until
from tests.outbox.scripted import MAIN, NOT_YOU, report, way_out

pytestmark = ON_POSTGRESQL

ADA, BOB, EVE = "ada@contoso.test", "bob@contoso.test", "eve@contoso.test"
OTHERS_COME_WITHIN = 0.5  # seconds; two that wait for each other are found out after one
LATER = NOW + timedelta(minutes=2)


class Meeting:
    """Two threads wait for each other at their first calls of a function, but not for one that cannot come."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2)
        self._local = threading.local()

    def before_first(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **others: Any) -> Any:
            self._meet()
            return function(*arguments, **others)

        return call

    def after_first(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **others: Any) -> Any:
            result = function(*arguments, **others)
            self._meet()
            return result

        return call

    def _meet(self) -> None:
        if not getattr(self._local, "has_been", False):
            self._local.has_been = True
            with suppress(threading.BrokenBarrierError):
                self._barrier.wait(OTHERS_COME_WITHIN)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def outbox(outbox: Outbox) -> Outbox:
    def refused(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        if message.mail_from in {ADA, BOB}:
            raise NOT_YOU
        if not may_proceed():
            raise Abandoned
        return report(message)

    outbox.world.main.always = refused
    outbox.world.lead("default", [way_out(max_connections=8)])
    return outbox


def from_each(outbox: Outbox, *senders: str) -> list[int]:
    added = [outbox.add(mail_from=of, created_at=NOW + timedelta(seconds=place)) for place, of in enumerate(senders)]
    return [outbox.delivery(id).id for id in added]


def ledger(outbox: Outbox) -> Ledger:
    return outbox.ledger(clock=lambda: LATER, claim_size=8, senders=1)


def with_slice_in_hand(outbox: Outbox, *, of_messages: int = 8) -> Sender:
    """A worker's sender that has sent what was due, and is about to write it down."""
    of_worker = ledger(outbox)
    dispatcher = Dispatcher(of_worker)
    dispatcher._capacity = lambda _way_out: of_messages  # type: ignore[method-assign]
    dispatcher.dispatch()
    (pool,) = dispatcher.pools.values()
    sender = Sender(pool, of_worker, Line(pool, of_worker, must_stop=lambda: False))
    sender.step(wait_seconds=0)
    return sender


def pause(connection: Connection, *senders: str) -> None:
    for sender in senders:
        pausing.note_error(connection, MAIN, NOT_YOU, sender=sender, is_probe=False, now=NOW)


def paused_senders(outbox: Outbox) -> set[str]:
    query = select(WayOutRecord.sender).where(WayOutRecord.status == "paused")
    with outbox.engine.connect() as connection:
        return set(connection.scalars(query))


def test_two_workers_write_down_the_same_refused_senders_in_opposite_orders(
    outbox: Outbox, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders = []
    for order in ((ADA, BOB), (BOB, ADA)):
        from_each(outbox, *order)
        senders.append(with_slice_in_hand(outbox))
    monkeypatch.setattr(pausing, "_store", Meeting().after_first(pausing._store))

    for settled in [threads.submit(sender.settle) for sender in senders]:
        settled.result(10)

    assert outbox.states() == ["deferred"] * 4
    assert paused_senders(outbox) == {ADA, BOB}


def test_whoever_saves_a_connection_waits_for_the_worker_that_pauses_its_senders(
    outbox: Outbox, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_each(outbox, BOB, ADA)
    sender = with_slice_in_hand(outbox)
    with outbox.writing() as connection:
        pause(connection, ADA, BOB)
    pauses, has_paused_one = pausing._store, threading.Event()

    def slowly(connection: Connection, connection_id: UUID, noted: Pause) -> None:
        pauses(connection, connection_id, noted)
        has_paused_one.set()
        time.sleep(OTHERS_COME_WITHIN)

    monkeypatch.setattr(pausing, "_store", slowly)

    settled = threads.submit(sender.settle)
    assert has_paused_one.wait(10)
    resumed = threads.submit(outbox.in_session, lambda session: pausing.resume(session, MAIN))
    settled.result(10)
    resumed.result(10)

    assert paused_senders(outbox) == set()


def test_two_workers_look_at_the_probes_of_the_same_senders_in_opposite_orders(
    outbox: Outbox, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_each(outbox, ADA, BOB, BOB, ADA)
    with outbox.writing() as connection:
        pause(connection, ADA, BOB)
        connection.execute(update(WayOutRecord).values(next_probe_at=NOW + timedelta(minutes=1)))
    dispatchers = [Dispatcher(ledger(outbox)) for _ in range(2)]
    for dispatcher in dispatchers:
        dispatcher._capacity = lambda _way_out: 2  # type: ignore[method-assign]
    monkeypatch.setattr(pausing, "take_probe", Meeting().after_first(pausing.take_probe))

    for dispatched in [threads.submit(dispatcher.dispatch) for dispatcher in dispatchers]:
        dispatched.result(10)

    assert sum(pool.count() for dispatcher in dispatchers for pool in dispatcher.pools.values()) == 2


def test_what_is_being_written_holds_up_no_refusal(outbox: Outbox, threads: ThreadPoolExecutor) -> None:
    """The slice that another sender begins may wait for what this one holds back."""
    ids = from_each(outbox, ADA, ADA)
    outbox.send(at=LATER)
    probe_at = {row.due_at for row in outbox.deliveries()}

    with outbox.writing() as other, outbox.writing() as connection:
        other.execute(update(Delivery).where(Delivery.id == ids[0]).values(size=Delivery.size))
        threads.submit(pause, connection, ADA).result(5)

    assert len(probe_at) == 1
    assert [row.due_at in probe_at for row in outbox.deliveries()] == [True, False]


def test_what_is_being_written_holds_up_nobody_who_lifts_a_pause(outbox: Outbox, threads: ThreadPoolExecutor) -> None:
    ids = from_each(outbox, ADA, ADA)
    outbox.send(at=LATER)
    probe_at = {row.due_at for row in outbox.deliveries()}

    with outbox.writing() as other:
        other.execute(update(Delivery).where(Delivery.id == ids[0]).values(size=Delivery.size))
        threads.submit(outbox.in_session, lambda session: pausing.resume(session, MAIN)).result(5)

    assert len(probe_at) == 1
    assert [row.due_at in probe_at for row in outbox.deliveries()] == [True, False]


def test_whoever_writes_down_a_refusal_has_the_way_out_before_any_delivery(
    outbox: Outbox, threads: ThreadPoolExecutor
) -> None:
    """Others have the way out, too, as they wait for deliveries."""
    [id] = from_each(outbox, ADA)
    sender = with_slice_in_hand(outbox)

    with outbox.writing() as other:
        pausing.lock(other, MAIN)
        settled = threads.submit(sender.settle)
        until(lambda: someone_waits(outbox))
        free = locked_at_once(outbox, [id])
    settled.result(10)

    assert free == [id]
    assert outbox.states() == ["deferred"]


def test_what_was_simply_sent_waits_for_nobody_who_notes_refusals(outbox: Outbox, threads: ThreadPoolExecutor) -> None:
    with outbox.writing() as connection:
        pause(connection, ADA)
    outbox.add(mail_from=EVE)
    sender = with_slice_in_hand(outbox)

    with outbox.writing() as other:
        pausing.lock(other, MAIN)
        threads.submit(sender.settle).result(5)

    assert outbox.states() == ["sent"]
    assert paused_senders(outbox) == {ADA}


@pytest.mark.parametrize("change", ["release", "put_off", "cancel"])
def test_what_changes_several_deliveries_locks_them_by_their_ids(
    outbox: Outbox, threads: ThreadPoolExecutor, change: str
) -> None:
    with outbox.writing() as connection:
        connection.execute(text("TRUNCATE message CASCADE"))  # rows stand in the order in which they are written
    message_id, ids = in_three_parts(outbox)
    with outbox.writing() as connection:
        connection.execute(update(Delivery).values(lease_owner="us", lease_until=outbox.lease_clock()))
        of_first = update(Delivery).where(Delivery.id == ids[0])
        connection.execute(of_first.values(due_at=NOW - timedelta(seconds=1)))  # it now stands behind the others

    def act() -> None:
        if change == "cancel":
            outbox.in_session(lambda session: commands.cancel(session, message_id, now=NOW))
            return
        with outbox.writing() as connection:
            if change == "release":
                claim.release(connection, ids, owner="us")
            else:
                slices.put_off(connection, ids, owner="us", until=LATER)

    with outbox.engine.begin() as other:
        other.execute(select(Delivery.id).where(Delivery.id == ids[0]).with_for_update(key_share=True))
        changed = threads.submit(act)
        until(lambda: someone_waits(outbox))
        free = locked_at_once(outbox, ids[1:])
    changed.result(10)

    assert free == ids[1:]
    assert {row.lease_owner for row in outbox.deliveries()} == {None}


@pytest.mark.parametrize("of_kind", [{}, SECRET], ids=["ordinary", "secret"])
def test_the_last_parts_of_a_message_end_at_the_same_time(
    outbox: Outbox, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, of_kind: Mapping[str, Any]
) -> None:
    """One of the two sees that all is over: it tells so, and erases what is secret."""
    in_three_parts(outbox, **of_kind)
    senders = [with_slice_in_hand(outbox, of_messages=1) for _ in range(3)]
    senders.pop().settle()
    monkeypatch.setattr(bodies, "erase_secrets", Meeting().before_first(bodies.erase_secrets))

    for settled in [threads.submit(sender.settle) for sender in senders]:
        settled.result(10)

    assert outbox.states() == ["sent"] * 3
    assert [state for _, state in outbox.ended] == ["sent"]
    assert outbox.count(MessageBody) == (0 if of_kind else 1)


def test_the_last_part_is_cancelled_as_the_one_before_ends(outbox: Outbox, threads: ThreadPoolExecutor) -> None:
    message_id, _ = in_three_parts(outbox, **SECRET)
    senders = [with_slice_in_hand(outbox, of_messages=1) for _ in range(2)]
    senders.pop().settle()

    with Session(outbox.engine) as session:
        commands.cancel(session, message_id, now=NOW)
        settled = threads.submit(senders[0].settle)
        until(lambda: settled.done() or someone_waits(outbox))
        session.commit()
    settled.result(10)

    assert sorted(outbox.states()) == ["cancelled", "sent", "sent"]
    assert outbox.count(MessageBody) == 0


def in_three_parts(outbox: Outbox, **of_kind: Any) -> tuple[UUID, list[int]]:
    """A message that was split in three by what its recipients' servers said."""
    message_id = outbox.add(**of_kind)
    outbox.set(message_id, is_part=True)
    row = outbox.delivery(message_id)._mapping
    with outbox.writing() as connection:
        for _ in range(2):
            connection.execute(insert(Delivery).values({name: row[name] for name in row if name != "id"}))
    return message_id, [part.id for part in outbox.deliveries(message_id)]


def locked_at_once(outbox: Outbox, ids: list[int]) -> list[int]:
    """They are let go again. Raises OperationalError where another transaction has one of them."""
    of_these = select(Delivery.id).where(Delivery.id.in_(ids)).order_by(Delivery.id)
    with outbox.engine.begin() as connection:
        return list(connection.scalars(of_these.with_for_update(key_share=True, nowait=True)))


def someone_waits(outbox: Outbox) -> bool:
    with outbox.engine.connect() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(connection.scalar(text(waiting)))
