"""Large contents are written in pieces beforehand, arrive whole, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from portal.outbox import chunks, history, upkeep
from portal.outbox.accept import NotStored
from portal.outbox.chunks import LARGE
from portal.outbox.models import MessageBody, MessageBodyChunk, UnfinishedBody
from portal.outbox.states import State
from tests.outbox.accepting import StartAcceptor, acceptors, held_up, noise
from tests.outbox.conftest import NOW, ON_POSTGRESQL, SECRET, Outbox, prepared
from tests.outbox.scripted import CAPTURED, DEFERRED, answers
from tests.outbox.test_accept_idempotency import key

HEADER = b"Subject: Hello\r\n\r\n"


@pytest.fixture
def start(outbox: Outbox) -> Iterator[StartAcceptor]:
    with acceptors(outbox) as start:
        yield start


def large(octets: int = 4 * LARGE, **changes: Any) -> Any:
    return prepared(content=HEADER + noise(octets), **changes)


def left(outbox: Outbox) -> tuple[int, int, int]:
    """How many bodies, pieces and unfinished ones there are."""
    return outbox.count(MessageBody), outbox.count(MessageBodyChunk), outbox.count(UnfinishedBody)


@pytest.mark.parametrize("changes", [{}, SECRET])
def test_a_large_message_arrives_octet_by_octet(outbox: Outbox, start: StartAcceptor, changes: dict[str, Any]) -> None:
    message = large(**changes)
    accepted = start().accept_message(message)
    body = outbox.body(accepted.id)
    bodies, pieces, unfinished = left(outbox)
    outbox.world.main.then(answers(DEFERRED))

    outbox.send()
    outbox.send(NOW + timedelta(minutes=2))

    assert body is not None
    assert (body.content, bodies, pieces > 2, unfinished) == (b"", 1, True, 0)
    assert [one.content.endswith(message.content) for one in outbox.world.main.tried] == [True] * 2
    assert outbox.state(accepted.id) == State.SENT
    assert left(outbox) == ((0, 0, 0) if changes else (1, pieces, 0))


def test_a_message_that_is_not_large_is_written_with_its_group(outbox: Outbox, start: StartAcceptor) -> None:
    start().accept_message(large(LARGE // 2))

    assert left(outbox) == (1, 0, 0)


def test_a_large_message_that_was_captured_is_kept_whole_in_one_place(outbox: Outbox, start: StartAcceptor) -> None:
    message = large()
    start().accept_message(message)
    outbox.world.main.always = answers(CAPTURED, kept=True)

    outbox.send()

    kept = outbox.in_session(lambda session: history.captured_content(session, message.id, box=outbox.box))
    assert kept.endswith(message.content)
    assert left(outbox) == (1, 0, 0)


def test_a_large_message_that_is_not_stored_leaves_nothing(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()

    with pytest.raises(NotStored):
        acceptor.accept_message(large(message_id=None))
    acceptor.accept_message(prepared(), idempotency=key())
    repeated = acceptor.accept_message(large(), idempotency=key())
    acceptor.close()

    assert repeated.is_repeated
    assert left(outbox) == (1, 0, 0)


@ON_POSTGRESQL
def test_a_large_message_that_was_withdrawn_leaves_nothing(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    with held_up(outbox, acceptor):
        future = acceptor.submit([large()])
        assert future.cancel()

    acceptor.close()

    assert left(outbox) == (1, 0, 0)


def test_what_a_killed_process_left_is_dropped_after_an_hour_and_nothing_else(
    outbox: Outbox, start: StartAcceptor
) -> None:
    stored = start().accept_message(large())
    pieces = outbox.count(MessageBodyChunk)
    chunks.write(outbox.writing, uuid4(), noise(2 * LARGE)[: 2 * LARGE], begun_at=NOW)
    job = next(job for job in upkeep.own_jobs(outbox.engine) if job.name == "outbox.drop_chunks")

    job.run(NOW + timedelta(minutes=59))
    kept = left(outbox)
    job.run(NOW + timedelta(hours=1))
    outbox.send()

    assert kept == (1, pieces + 2, 1)
    assert left(outbox) == (1, pieces, 0)
    assert outbox.state(stored.id) == State.SENT


@ON_POSTGRESQL
def test_a_message_whose_pieces_were_dropped_meanwhile_is_refused_whole(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    with held_up(outbox, acceptor):
        future = acceptor.submit([large()])
        with outbox.writing() as connection:
            chunks.drop_abandoned(connection, NOW + timedelta(hours=2))

    with pytest.raises(NotStored):
        future.result(30)
    assert left(outbox) == (1, 0, 0)
