"""Accepting: on disk before the answer, many in one commit, and nobody suffers for another's message."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection
from sqlalchemy.pool import QueuePool
from structlog.testing import capture_logs

from portal.database import configure, engine_options, sqlite_path
from portal.outbox.accept import AcceptError, Busy, Cause, Idempotency, NotStored
from portal.outbox.accept_queue import GROUP_OCTETS
from portal.outbox.models import Delivery, Message, MessageBody
from portal.outbox.prepared import PreparedMessage
from portal.outbox.states import State
from tests.conftest import POSTGRESQL
from tests.outbox.accepting import StartAcceptor, acceptors, commits, held_up, nobody_can_store, noise
from tests.outbox.conftest import ON_POSTGRESQL, SECRET, Outbox, prepared, until

ON_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
REFUSED: dict[str, Any] = {"message_id": None}  # what no database takes


@pytest.fixture
def start(outbox: Outbox) -> Iterator[StartAcceptor]:
    with acceptors(outbox) as start:
        yield start


def open_connections(outbox: Outbox) -> int:
    """Those that somebody holds."""
    pool = outbox.engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


def rows_of(outbox: Outbox, message: Any) -> list[dict[str, Any]]:
    with outbox.engine.connect() as connection:
        found = [
            connection.execute(
                model.__table__.select().where(getattr(model, "id" if model is Message else "message_id") == message)
            )
            .one()
            ._asdict()
            for model in (Message, MessageBody, Delivery)
        ]
    of_its_own = ("id", "message_id", "content")
    return [{name: value for name, value in row.items() if name not in of_its_own} for row in found]


@pytest.mark.parametrize("changes", [{}, {"held": True}, {"rcpt_to": ("a@x.test", "ü@x.test"), "needs_smtputf8": True}])
def test_an_accepted_message_is_stored_as_an_added_one_is(
    outbox: Outbox, start: StartAcceptor, changes: dict[str, Any]
) -> None:
    added = outbox.add(**changes)

    accepted = start().accept_message(prepared(**changes))

    assert rows_of(outbox, accepted.id) == rows_of(outbox, added)
    assert accepted.status == outbox.state(accepted.id)
    assert not accepted.is_repeated


def test_an_accepted_message_is_sent(outbox: Outbox, start: StartAcceptor) -> None:
    accepted = start().accept_message(prepared(content=b"Subject: Hello\r\n\r\nGood evening.\r\n"))

    outbox.send()

    (message,) = outbox.world.main.taken
    assert message.content.endswith(b"\r\nSubject: Hello\r\n\r\nGood evening.\r\n")
    assert outbox.state(accepted.id) == State.SENT


def test_a_worker_notices_what_was_accepted(outbox: Outbox, start: StartAcceptor) -> None:
    noticed = threading.Event()
    watcher = outbox.ledger().watcher()
    watcher.start(noticed.set)
    assert noticed.wait(30)  # that it began to watch
    noticed.clear()

    start().accept_message(prepared())

    assert noticed.wait(30)
    watcher.close()


def test_a_message_without_recipients_is_refused(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()

    with pytest.raises(ValueError, match="without recipients"):
        acceptor.accept_message(prepared(rcpt_to=()))
    with pytest.raises(ValueError, match="without recipients"):
        acceptor.accept_batch([prepared(), prepared(rcpt_to=())])

    assert outbox.count() == 0


def test_a_newer_message_takes_the_place_of_one_in_the_same_group(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    with held_up(outbox, acceptor):
        older, newer = (acceptor.submit([prepared(**SECRET, replaces="reset:ada")]) for _ in range(2))

    states = [outbox.state(one.result(30)[0].id) for one in (older, newer)]

    assert states == [State.CANCELLED, State.QUEUED]


# Groups


def test_many_callers_at_once_each_have_their_message_stored_once(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    messages = [prepared() for _ in range(200)]

    with ThreadPoolExecutor(32) as pool:
        accepted = list(pool.map(acceptor.accept_message, messages))

    assert [one.id for one in accepted] == [one.id for one in messages]
    assert {row.message_id for row in outbox.deliveries()} == {one.id for one in messages}
    assert outbox.count(Delivery) == outbox.count(MessageBody) == 200


@pytest.mark.parametrize(("waiting", "octets", "groups"), [(5, 100, 1), (300, 100, 2), (30, 200_000, 2)])
def test_what_waits_is_committed_together_up_to_the_size_of_a_group(
    outbox: Outbox, start: StartAcceptor, waiting: int, octets: int, groups: int
) -> None:
    acceptor = start()
    content = noise(octets)
    with commits(outbox.engine) as seen:
        with held_up(outbox, acceptor):
            futures = [acceptor.submit([prepared(content=content)]) for _ in range(waiting)]
        for future in futures:
            future.result(30)

    assert len(seen) - 2 == groups  # besides the one that held it up, and the message that was in hand


def test_only_the_message_that_is_refused_fails(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    with held_up(outbox, acceptor):
        good, bad, other = (acceptor.submit([prepared(**changes)]) for changes in ({}, REFUSED, {}))

    with pytest.raises(NotStored) as raised:
        bad.result(30)

    assert raised.value.cause is Cause.REFUSED
    assert raised.value.retry_after is None
    stored = {good.result(30)[0].id, other.result(30)[0].id}
    assert stored < {row.message_id for row in outbox.deliveries()}
    assert outbox.count() == 3


def test_the_log_says_why_a_message_was_refused_and_nothing_of_it(outbox: Outbox, start: StartAcceptor) -> None:
    with capture_logs() as logged, pytest.raises(NotStored):
        start().accept_message(prepared(**REFUSED, subject="canary 17", rcpt_to=("canary@contoso.test",)))

    assert "IntegrityError" in str(logged)
    assert "message_id" in str(logged)
    assert "canary" not in str(logged)


def test_the_same_message_handed_over_twice_is_stored_once(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor, message = start(), prepared()

    accepted = [acceptor.accept_message(message) for _ in range(2)]

    assert [one.id for one in accepted] == [message.id] * 2
    assert outbox.count(Delivery) == 1


def test_a_batch_has_one_result_for_each_in_their_order(outbox: Outbox, start: StartAcceptor) -> None:
    messages = [prepared(**(REFUSED if number == 270 else {})) for number in range(280)]

    results = start().accept_batch(messages)

    assert [getattr(one, "id", None) for one in results[:270]] == [one.id for one in messages[:270]]
    assert isinstance(results[270], NotStored)
    assert [getattr(one, "id", None) for one in results[271:]] == [one.id for one in messages[271:]]
    assert outbox.count() == 279


# Too many, too long, and the end


def test_more_than_there_is_room_for_is_told_to_come_again(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start(most_waiting=2)
    with held_up(outbox, acceptor):
        waiting = [acceptor.submit([prepared()]) for _ in range(2)]
        with pytest.raises(Busy) as raised:
            acceptor.accept_message(prepared())

    assert raised.value.retry_after == 1
    assert all(one.result(30) for one in waiting)
    assert outbox.count() == 3
    assert acceptor.accept_message(prepared()).status == State.QUEUED


def test_of_several_at_once_only_those_without_room_are_told_to_come_again(
    outbox: Outbox, start: StartAcceptor
) -> None:
    acceptor = start(most_waiting=2)
    with held_up(outbox, acceptor):
        submitted = acceptor.submit_each([prepared() for _ in range(3)])

    assert isinstance(submitted[2], Busy)
    assert [one.result(30)[0].status for one in submitted if not isinstance(one, AcceptError)] == [State.QUEUED] * 2
    assert outbox.count() == 3


def test_of_messages_that_are_submitted_together_the_guilty_one_alone_is_refused(
    outbox: Outbox, start: StartAcceptor
) -> None:
    acceptor = start()
    with held_up(outbox, acceptor):
        first, guilty, last = acceptor.submit_each([prepared(), prepared(**REFUSED), prepared()])

    assert not any(isinstance(one, AcceptError) for one in (first, guilty, last))
    assert [one.exception(5) is None for one in (first, guilty, last)] == [True, False, True]  # type: ignore[union-attr]
    assert outbox.count() == 3


def test_a_caller_that_gathered_a_group_stores_it_in_its_own_thread_and_commits_once(
    outbox: Outbox, start: StartAcceptor
) -> None:
    acceptor = start()
    with commits(outbox.engine) as committed:
        stored = acceptor.store_each([prepared() for _ in range(3)])

    assert [outbox.state(one.id) for one in stored if not isinstance(one, AcceptError)] == [State.QUEUED] * 3
    assert len(committed) == 1
    assert "outbox-accept" not in [thread.name for thread in threading.enumerate()]


def test_a_gathered_group_is_stored_in_transactions_that_leave_room_for_others(
    outbox: Outbox, start: StartAcceptor
) -> None:
    large = [prepared(content=noise(200_000)) for _ in range(2 * GROUP_OCTETS // 200_000)]
    acceptor = start()
    with commits(outbox.engine) as committed:
        stored = acceptor.store_each(large)

    assert not any(isinstance(one, AcceptError) for one in stored)
    assert len(committed) >= 2
    assert outbox.count() == len(large)


def test_of_a_gathered_group_the_guilty_one_alone_is_refused(outbox: Outbox, start: StartAcceptor) -> None:
    first, guilty, last = start().store_each([prepared(), prepared(**REFUSED), prepared()])

    assert [isinstance(one, AcceptError) for one in (first, guilty, last)] == [False, True, False]
    assert outbox.count() == 2


def test_a_group_that_comes_after_the_end_is_not_stored(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    acceptor.close()

    (refused,) = acceptor.store_each([prepared()])

    assert isinstance(refused, NotStored)
    assert refused.cause is Cause.STOPPING
    assert outbox.count() == 0


@pytest.mark.parametrize("octets", [100, 2_000_000], ids=["small", "large"])
def test_a_group_that_is_under_way_at_the_end_is_stored_and_leaves_no_connection_open(
    outbox: Outbox, start: StartAcceptor, octets: int
) -> None:
    acceptor = start()

    class Gathered(list[PreparedMessage]):
        """Its last message is followed by the end."""

        def __iter__(self) -> Iterator[PreparedMessage]:
            yield from super().__iter__()
            acceptor.close()

    stored = acceptor.store_each(Gathered([prepared(content=noise(octets)) for _ in range(2)]))

    assert [outbox.state(one.id) for one in stored if not isinstance(one, AcceptError)] == [State.QUEUED] * 2
    assert open_connections(outbox) == 0


def test_what_waits_too_long_is_withdrawn_and_never_stored(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start(wait_seconds=0.05)
    with held_up(outbox, acceptor), pytest.raises(Busy):
        acceptor.accept_message(prepared())

    acceptor.close()

    assert outbox.count() == 1


def test_what_was_taken_is_stored_before_the_end_and_nothing_afterwards(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    closing = threading.Thread(target=acceptor.close)
    with held_up(outbox, acceptor):
        taken = [acceptor.submit([prepared()]) for _ in range(3)]
        closing.start()
    closing.join(30)

    assert all(one.done() and one.result() for one in taken)
    with pytest.raises(NotStored) as raised:
        acceptor.accept_message(prepared())
    assert raised.value.cause is Cause.STOPPING
    assert outbox.count() == 4


# What befalls the database


@ON_SQLITE
def test_a_busy_database_is_told_and_the_writer_goes_on(outbox: Outbox, start: StartAcceptor) -> None:
    url = f"sqlite:///{sqlite_path(outbox.engine)}"
    options = engine_options(url)
    options["connect_args"]["timeout"] = 0.1
    impatient = create_engine(url, **options)
    configure(impatient)
    acceptor = start(engine=impatient)

    with nobody_can_store(outbox), pytest.raises(NotStored) as raised:
        acceptor.accept_message(prepared())

    assert raised.value.cause is Cause.BUSY
    assert raised.value.retry_after == 5
    assert acceptor.accept_message(prepared()).status == State.QUEUED
    assert outbox.count() == 1
    acceptor.close()
    impatient.dispose()


@ON_SQLITE
@pytest.mark.parametrize("octets", [200_000, 2_000_000])
def test_a_full_disk_is_told_and_the_writer_goes_on(outbox: Outbox, start: StartAcceptor, octets: int) -> None:
    pages = [0]  # 0: no limit

    @event.listens_for(outbox.engine, "checkout")
    def limit(driver: Any, *_: object) -> None:
        used = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {used + pages[0] if pages[0] else 1_000_000_000}")

    acceptor = start()
    pages[0] = 20

    with pytest.raises(NotStored) as raised:
        acceptor.accept_message(prepared(content=noise(octets)))
    small = acceptor.accept_message(prepared())
    pages[0] = 0
    acceptor.close()
    large = start().accept_message(prepared(content=noise(octets)))

    assert raised.value.cause is Cause.FULL
    assert {row.message_id for row in outbox.deliveries()} == {small.id, large.id}
    assert outbox.count() == outbox.count(MessageBody) == 2


@ON_POSTGRESQL
def test_a_lost_connection_is_opened_anew(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    acceptor.accept_message(prepared())
    others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
    with outbox.engine.connect() as connection:
        connection.execute(text(f"{others} and pid <> pg_backend_pid()"))

    accepted = acceptor.accept_message(prepared())

    assert accepted.status == State.QUEUED
    assert outbox.count() == 2


@ON_POSTGRESQL
def test_a_connection_lost_amid_a_group_leaves_each_message_stored_once(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    waiting = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"

    def end_who_waits() -> bool:
        with outbox.engine.connect() as connection:
            return bool(connection.execute(text(f"{waiting} and wait_event_type = 'Lock'")).all())

    with nobody_can_store(outbox):
        future = acceptor.submit([prepared()])
        until(end_who_waits)

    assert future.result(30)[0].status == State.QUEUED
    assert outbox.count() == 1


class HangUp:
    """The writer's commits are done, but those of the given numbers are never confirmed."""

    def __init__(self, numbers: Container[int]) -> None:
        self._numbers = numbers
        self.commits = 0

    def __call__(self, connection: Connection) -> None:
        if threading.current_thread().name != "outbox-accept":
            return
        self.commits += 1
        if self.commits in self._numbers:
            driver = connection.connection.driver_connection
            driver.commit()  # type: ignore[union-attr]
            with psycopg.connect(POSTGRESQL, autocommit=True) as beside:
                beside.execute("select pg_terminate_backend(%s)", [driver.info.backend_pid])  # type: ignore[union-attr]
            connection.exec_driver_sql("select 1")  # notices it, as the commit would


@ON_POSTGRESQL
def test_messages_whose_commit_was_not_confirmed_are_found_to_be_stored(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    hang_up = HangUp({1, 3})
    named = Idempotency(server_id=UUID(int=1), key="a", request_hash=bytes(32))
    with held_up(outbox, acceptor):
        plain, keyed = acceptor.submit([prepared()]), acceptor.submit([prepared()], idempotency=named)
        event.listen(outbox.engine, "commit", hang_up)
    accepted = [one.result(30)[0] for one in (plain, keyed)]
    event.remove(outbox.engine, "commit", hang_up)

    assert hang_up.commits == 4  # each of the two groups twice
    assert [one.is_repeated for one in accepted] == [False, False]
    assert {one.id for one in accepted} < {row.message_id for row in outbox.deliveries()}
    assert outbox.count() == 3


@ON_POSTGRESQL
def test_a_message_whose_commit_is_never_confirmed_is_not_called_lost(outbox: Outbox, start: StartAcceptor) -> None:
    acceptor = start()
    hang_up = HangUp(range(1, 100))
    event.listen(outbox.engine, "commit", hang_up)

    with pytest.raises(NotStored) as raised:
        acceptor.accept_message(prepared())

    event.remove(outbox.engine, "commit", hang_up)
    assert outbox.count() == 1
    assert raised.value.cause is Cause.UNKNOWN
    assert raised.value.retry_after == 5


@ON_SQLITE
def test_a_database_that_is_away_is_told(outbox: Outbox, start: StartAcceptor) -> None:
    url = POSTGRESQL.replace("postgresql://", "postgresql+psycopg://").replace(":5432", ":1")
    nowhere = create_engine(url, **engine_options(url))
    acceptor = start(engine=nowhere)

    results = acceptor.accept_batch([prepared(), prepared()])

    assert [getattr(one, "cause", None) for one in results] == [Cause.AWAY] * 2
    assert all(isinstance(one, AcceptError) and "does not answer" in str(one.reason) for one in results)
    nowhere.dispose()
