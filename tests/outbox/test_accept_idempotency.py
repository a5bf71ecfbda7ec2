"""A request that is repeated with its key makes one message, whoever repeats it, when, and whatever goes wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine import Connection

from portal.outbox import idempotency, queue, upkeep
from portal.outbox.accept import Acceptor, IdempotencyConflict, NotStored
from portal.outbox.idempotency import Idempotency
from portal.outbox.models import IdempotencyKey
from portal.outbox.states import State
from tests.outbox.accepting import StartAcceptor, acceptors, held_up
from tests.outbox.conftest import NOW, ON_POSTGRESQL, Outbox, prepared, until

SERVER, OTHER_SERVER = UUID(int=1), UUID(int=2)
REFUSED: dict[str, Any] = {"message_id": None}
LATER = {"created_at": NOW + timedelta(days=6, hours=23)}
A_WEEK_LATER = {"created_at": NOW + timedelta(days=7)}


@pytest.fixture
def start(outbox: Outbox) -> Iterator[StartAcceptor]:
    with acceptors(outbox) as start:
        yield start


@pytest.fixture
def acceptor(start: StartAcceptor) -> Acceptor:
    return start()


def key(name: str = "order 4711", asked: str = "a", server: UUID = SERVER, **answer: Any) -> Idempotency:
    return Idempotency(server_id=server, key=name, request_hash=hashlib.sha256(asked.encode()).digest(), answer=answer)


def take_key(connection: Connection, message: queue.Packed) -> None:
    """As another process does in its transaction."""
    wanted = {key().name: (key(), [message.prepared.id], [State.QUEUED])}
    assert idempotency.take(connection, wanted, now=NOW, wait_seconds=1) == {}


def test_a_repetition_gets_the_first_answer_and_no_second_message(outbox: Outbox, acceptor: Acceptor) -> None:
    first = acceptor.accept_message(prepared(held=True), idempotency=key(location="/1"))
    outbox.set(first.id, state=State.CANCELLED)

    again = acceptor.accept_message(prepared(**LATER), idempotency=key(location="/2"))

    assert (first.is_repeated, again.is_repeated) == (False, True)
    assert (again.id, again.status, again.answer) == (first.id, State.HELD, {"location": "/1"})
    assert outbox.count() == outbox.count(IdempotencyKey) == 1


def test_another_request_with_the_same_key_is_refused(outbox: Outbox, acceptor: Acceptor) -> None:
    acceptor.accept_message(prepared(), idempotency=key())

    with pytest.raises(IdempotencyConflict, match="another request"):
        acceptor.accept_message(prepared(), idempotency=key(asked="b"))

    assert outbox.count() == 1


def test_keys_are_a_servers_own_and_differ_by_case(outbox: Outbox, acceptor: Acceptor) -> None:
    keys = [key("a"), key("A"), key("a", server=OTHER_SERVER)]

    accepted = [acceptor.accept_message(prepared(), idempotency=one) for one in keys]

    assert [one.is_repeated for one in accepted] == [False] * 3
    assert outbox.count() == 3


def test_a_key_is_free_again_after_seven_days(outbox: Outbox, acceptor: Acceptor) -> None:
    first = acceptor.accept_message(prepared(), idempotency=key())

    second = acceptor.accept_message(prepared(**A_WEEK_LATER), idempotency=key(asked="b"))
    third = acceptor.accept_message(prepared(**A_WEEK_LATER), idempotency=key(asked="b"))

    assert (second.is_repeated, third.is_repeated) == (False, True)
    assert second.id == third.id != first.id


def test_keys_are_forgotten_when_their_time_is_over(outbox: Outbox, acceptor: Acceptor) -> None:
    acceptor.accept_message(prepared(), idempotency=key("old"))
    acceptor.accept_message(prepared(**LATER), idempotency=key("new"))
    job = next(job for job in upkeep.own_jobs(outbox.engine) if job.name == "outbox.forget_keys")

    job.run(NOW + timedelta(days=7))

    with outbox.engine.connect() as connection:
        assert connection.scalars(IdempotencyKey.__table__.select().with_only_columns(IdempotencyKey.key)).all() == [
            "new"
        ]
        assert idempotency.first_answer(connection, key("old"), now=NOW) is None
        assert idempotency.first_answer(connection, key("new"), now=NOW + timedelta(days=13)) is not None
        assert idempotency.first_answer(connection, key("new"), now=NOW + timedelta(days=14)) is None


def test_of_many_twins_at_once_in_two_processes_one_is_stored(outbox: Outbox, start: StartAcceptor) -> None:
    processes = [start(), start()]

    def ask(number: int) -> Any:
        return processes[number % 2].accept_message(prepared(), idempotency=key(f"order {number % 5}"))

    with ThreadPoolExecutor(30) as pool:
        accepted = list(pool.map(ask, range(60)))

    assert sum(not one.is_repeated for one in accepted) == 5
    assert len({one.id for one in accepted}) == 5
    assert outbox.count() == outbox.count(IdempotencyKey) == 5


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_twin_waits_for_what_comes_of_the_first(outbox: Outbox, acceptor: Acceptor, is_committed: bool) -> None:
    first = queue.pack(prepared(), box=outbox.box)
    with outbox.writing() as connection:
        idempotency.take(
            connection, {key().name: (key(), [first.prepared.id], [State.QUEUED])}, now=NOW, wait_seconds=1
        )
        queue.store(connection, [first])
        twin = acceptor.submit([prepared()], idempotency=key())
        until(twin.running)
        assert not twin.done()
        if not is_committed:
            connection.rollback()

    (accepted,) = twin.result(30)

    assert accepted.is_repeated == is_committed
    assert (accepted.id == first.prepared.id) == is_committed
    assert outbox.count() == 1


def test_a_twin_of_the_same_group_gets_the_answer_of_the_first(outbox: Outbox, acceptor: Acceptor) -> None:
    with held_up(outbox, acceptor):
        first, twin, other = (
            acceptor.submit([prepared()], idempotency=one) for one in (key(number=1), key(number=2), key(asked="b"))
        )

    assert twin.result(30)[0].id == first.result(30)[0].id
    assert (first.result()[0].is_repeated, twin.result()[0].is_repeated) == (False, True)
    assert twin.result()[0].answer == {"number": 1}
    with pytest.raises(IdempotencyConflict):
        other.result(30)
    assert outbox.count() == 2


def test_a_request_that_failed_leaves_its_key_free(outbox: Outbox, acceptor: Acceptor) -> None:
    with held_up(outbox, acceptor):
        failed = acceptor.submit([prepared(**REFUSED)], idempotency=key())
        twin = acceptor.submit([prepared()], idempotency=key(asked="b"))

    with pytest.raises(NotStored):
        failed.result(30)
    assert not twin.result(30)[0].is_repeated
    assert acceptor.accept_message(prepared(), idempotency=key(asked="b")).id == twin.result()[0].id


def test_a_batch_with_a_key_is_stored_together_and_answered_again_as_a_whole(
    outbox: Outbox, acceptor: Acceptor
) -> None:
    batch = [prepared(held=number == 1) for number in range(300)]

    first = acceptor.accept_batch(batch, idempotency=key())
    again = acceptor.accept_batch([prepared() for _ in batch], idempotency=key())
    other = acceptor.accept_batch([prepared(), prepared()], idempotency=key(asked="b"))
    broken = acceptor.accept_batch([prepared(), prepared(**REFUSED)], idempotency=key("broken"))

    assert [getattr(one, "id", None) for one in again] == [one.id for one in batch]
    assert [getattr(one, "status", None) for one in again[:3]] == [State.QUEUED, State.HELD, State.QUEUED]
    assert [getattr(one, "is_repeated", None) for one in first + again] == [False] * 300 + [True] * 300
    assert [type(one) for one in other] == [IdempotencyConflict] * 2
    assert [type(one) for one in broken] == [NotStored] * 2
    assert outbox.count() == 300


@ON_POSTGRESQL
def test_a_twin_that_is_stuck_holds_up_nobody_else_for_good(outbox: Outbox, acceptor: Acceptor) -> None:
    stuck = queue.pack(prepared(), box=outbox.box)
    with outbox.writing() as connection:
        idempotency.take(
            connection, {key().name: (key(), [stuck.prepared.id], [State.QUEUED])}, now=NOW, wait_seconds=1
        )
        twin = acceptor.submit([prepared()], idempotency=key())
        other = acceptor.submit([prepared()], idempotency=key("another"))

        assert other.result(30)[0].status == State.QUEUED
        with pytest.raises(NotStored, match="for too long") as raised:
            twin.result(30)

    assert raised.value.retry_after == 5
    assert acceptor.accept_message(prepared(), idempotency=key()).id == stuck.prepared.id


@pytest.mark.parametrize("name", ["", "x" * 256, "ü", "a\n", "a\0b", " a", "a\x7f"])
def test_what_is_no_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        key(name)


@pytest.mark.parametrize("name", ["a", "x" * 255, "order 4711/~"])
def test_a_key_of_printable_ascii_is_one(outbox: Outbox, acceptor: Acceptor, name: str) -> None:
    assert acceptor.accept_message(prepared(), idempotency=key(name)).id in {
        row.message_id for row in outbox.deliveries()
    }


def test_a_hash_that_is_no_sha_256_is_refused() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        Idempotency(server_id=SERVER, key="a", request_hash=b"short")
