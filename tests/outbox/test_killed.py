"""kill -9 of a worker process with a message in its hands: nothing is lost, and a second copy only after the dot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from portal.outbox.models import Delivery
from portal.outbox.prepared import WayOut
from portal.outbox.settings import WorkerSettings
from portal.transports import Transport
from tests.outbox.conftest import TEST_KEY, Outbox, until
from tests.outbox.scripted import message_id_of
from tests.outbox.worker_to_kill import smtp_to
from tests.outside.smtp_server import SMTPServer

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(outbox: Outbox) -> Iterator[Start]:
    """Start worker processes; whatever still runs at the end of the test is killed."""
    processes: list[subprocess.Popen[bytes]] = []
    url = outbox.engine.url.render_as_string(hide_password=False)

    def start(server: SMTPServer, *, lines: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.outbox.worker_to_kill", url, str(server.port), TEST_KEY, str(lines)]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait(30)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)


def send_the_rest(outbox: Outbox, server: SMTPServer) -> None:
    """Another worker, after the dead one's lease."""

    def open_transport(_way: WayOut) -> Transport:
        return smtp_to(server.port)

    outbox.world.open_transport = open_transport  # type: ignore[method-assign]
    deadline = time.monotonic() + 30
    while set(outbox.states()) != {"sent"}:
        assert time.monotonic() < deadline
        outbox.send(datetime.now(UTC))
        time.sleep(0.2)


def add(outbox: Outbox) -> None:
    now = datetime.now(UTC)
    outbox.add(created_at=now, expires_at=now + timedelta(days=3))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_killed_before_the_message_was_handed_over(outbox: Outbox, start: Start) -> None:
    with SMTPServer() as server:
        server.on("MAIL", delay=30, times=1)
        add(outbox)
        process = start(server)
        until(lambda: any(command.startswith("MAIL") for command in server.commands))

        kill(process)
        send_the_rest(outbox, server)

        assert len(server.messages) == 1


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_killed_between_the_final_dot_and_its_reply(outbox: Outbox, start: Start) -> None:
    with SMTPServer() as server:
        server.on("CONTENT", delay=30, times=1)
        add(outbox)
        process = start(server)
        server.wait_for_messages(1)

        kill(process)
        send_the_rest(outbox, server)

        assert len(server.messages) == 2
        assert len({message_id_of(message.content) for message in server.messages}) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_killed_between_the_reply_and_the_commit(outbox: Outbox, start: Start) -> None:
    with SMTPServer() as server:
        server.on("CONTENT", delay=0.3, times=1)
        add(outbox)
        process = start(server)
        server.wait_for_messages(1)

        with outbox.writing() as connection:
            connection.execute(update(Delivery).values(size=Delivery.size))
            time.sleep(0.6)
            kill(process)
        send_the_rest(outbox, server)

        assert len(server.messages) == 2
        assert len({message_id_of(message.content) for message in server.messages}) == 1


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_killed_in_the_midst_of_a_backlog_over_several_lines(outbox: Outbox, start: Start) -> None:
    """Nothing is lost, and of each line at most one slice comes twice, under the same Message-ID."""
    now = datetime.now(UTC)
    expires = now + timedelta(days=3)
    outbox.in_session(lambda session: [outbox.add_in(session, created_at=now, expires_at=expires) for _ in range(2000)])
    with SMTPServer() as server:
        process = start(server, lines=3)
        server.wait_for_messages(700)

        kill(process)
        send_the_rest(outbox, server)

        copies = Counter(message_id_of(message.content) for message in server.messages)
        assert len(copies) == 2000
        assert set(copies.values()) <= {1, 2}
        assert len(server.messages) - 2000 <= 3 * WorkerSettings().slice_size
