"""kill -9 of a process while many threads accept: whatever was answered is there, and nothing is half there."""

from __future__ import annotations

import random
import subprocess
import sys
from uuid import UUID

from sqlalchemy import select, text, update

from portal.outbox import upkeep
from portal.outbox.models import Delivery, IdempotencyKey, Message, MessageBody, MessageBodyChunk, UnfinishedBody
from portal.outbox.states import State
from tests.outbox.conftest import NOW, TEST_KEY, Outbox, until

KILLS = 4


def answered_until_killed(outbox: Outbox, after: int) -> set[UUID]:
    url = outbox.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.outbox.accepting_to_kill", url, TEST_KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += process.stdout.readlines()
    until(lambda: is_over(outbox))
    return {UUID(line.strip()) for line in lines if line.endswith("\n")}


def is_over(outbox: Outbox) -> bool:
    """Whether PostgreSQL has noticed that nobody is there: it may be in the middle of a commit."""
    if outbox.engine.dialect.name == "sqlite":
        return True
    others = "datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'"
    with outbox.engine.connect() as connection:
        return not connection.scalar(text(f"select count(*) from pg_stat_activity where {others}"))


def ids(outbox: Outbox, column: object) -> list[UUID]:
    with outbox.engine.connect() as connection:
        return list(connection.scalars(select(column)))  # type: ignore[call-overload]


def test_what_was_answered_is_stored_whole(outbox: Outbox) -> None:
    chance = random.Random(4711)

    answered: set[UUID] = set()
    for _ in range(KILLS):
        answered |= answered_until_killed(outbox, chance.randint(1, 150))

    stored = ids(outbox, Message.id)
    assert len(answered) >= KILLS
    assert answered <= set(stored)
    for column in (MessageBody.message_id, Delivery.message_id):
        assert sorted(ids(outbox, column)) == sorted(stored)
    keys = {UUID(key) for key in ids(outbox, IdempotencyKey.key)}  # type: ignore[arg-type]
    assert keys <= set(stored)
    assert keys & answered
    for job in upkeep.own_jobs(outbox.engine):
        if job.name == "outbox.drop_chunks":
            job.run(NOW.replace(year=NOW.year + 1))
    assert outbox.count(UnfinishedBody) == 0
    assert set(ids(outbox, MessageBodyChunk.message_id)) <= set(stored)


def test_what_was_answered_is_sent(outbox: Outbox) -> None:
    answered = answered_until_killed(outbox, 60)

    with outbox.writing() as connection:  # of the others nobody was told
        others = Delivery.message_id.not_in(answered)
        connection.execute(update(Delivery).where(others).values(state=State.CANCELLED, ended_at=NOW))
    outbox.send()

    assert {outbox.state(one) for one in answered} == {State.SENT}
    assert {message.content[-2:] for message in outbox.world.main.taken} == {b"\r\n"}
    assert len(outbox.world.main.taken) == len(answered)
