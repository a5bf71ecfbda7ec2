"""kill -9 of a worker at each point of a conversation: nothing is lost, second copies only after a lost reply."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.faults.conftest import on_sqlite
from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.supervisor.groups import until

LARGE = 8 * 1024 * 1024  # octets, more than the buffers between two sockets hold


def wait_until_sent(installation: Installation, count: int = 1) -> None:
    until(lambda: installation.states() == {"sent": count}, 20)


@on_sqlite
@pytest.mark.parametrize(
    "step",
    [
        pytest.param("CONNECT", id="connected, no greeting yet"),
        pytest.param("EHLO", id="greeted"),
        pytest.param("AUTH", id="signing in"),
        pytest.param("MAIL", id="after AUTH"),
        pytest.param("RCPT", id="after MAIL"),
        pytest.param("DATA", id="after RCPT"),
    ],
)
def test_killed_before_the_final_dot(installation: Installation, server: HoldingServer, step: str) -> None:
    server.hold(step)
    [message] = installation.queue()
    victim = installation.worker()
    server.wait_until_held()

    victim.kill()
    taken = len(server.messages)
    installation.worker()
    wait_until_sent(installation)

    assert taken == 0
    assert len(server.messages) == 1
    assert installation.verdicts(message) == ["uncertain", "sent"]


@on_sqlite
def test_killed_amid_the_body(installation: Installation, server: HoldingServer) -> None:
    server.hold("BODY")
    [message] = installation.queue(filler=LARGE)
    victim = installation.worker()
    server.wait_until_held()
    until(lambda: unsent_octets_to(server.port) > 0)

    victim.kill()
    installation.worker()
    wait_until_sent(installation)

    assert len(server.messages) == 1
    assert installation.verdicts(message) == ["uncertain", "sent"]


@on_sqlite
def test_killed_when_envelope_and_data_went_out_together(installation: Installation) -> None:
    with HoldingServer(pipelining=True) as server:
        installation.connect(server)
        server.hold("DATA")
        installation.queue()
        victim = installation.worker()
        server.wait_until_held()

        victim.kill()
        installation.worker()
        wait_until_sent(installation)

        assert len(server.messages) == 1


@pytest.mark.parametrize(("is_taken", "copies"), [(True, 2), (False, 1)], ids=["taken", "not taken"])
def test_killed_between_the_final_dot_and_its_reply(
    installation: Installation, server: HoldingServer, is_taken: bool, copies: int
) -> None:
    server.hold("CONTENT", is_taken=is_taken)
    [message] = installation.queue()
    victim = installation.worker()
    server.wait_until_held()

    victim.kill()
    installation.worker()
    wait_until_sent(installation)

    assert list(server.copies.values()) == [copies]
    assert len({copy.content for copy in server.messages}) == 1
    assert installation.verdicts(message) == ["uncertain", "sent"]


def test_killed_between_the_reply_and_the_commit(installation: Installation, server: HoldingServer) -> None:
    server.hold("RCPT", about="user1@")  # the first message was answered 250; its commit comes with the slice's end
    first, second = installation.queue(2)
    victim = installation.worker()
    server.wait_until_held()

    victim.kill()
    taken = len(server.messages)
    installation.worker()
    wait_until_sent(installation, 2)

    assert taken == 1
    assert server.copies == {installation.message(first).message_id: 2, installation.message(second).message_id: 1}


@on_sqlite
def test_killed_between_the_commit_and_quit(installation: Installation, server: HoldingServer) -> None:
    [message] = installation.queue()
    victim = installation.worker()
    wait_until_sent(installation)

    victim.kill()
    installation.worker()
    [other] = installation.queue()
    wait_until_sent(installation, 2)

    assert server.commands.count("QUIT") == 0
    assert server.copies == {installation.message(message).message_id: 1, installation.message(other).message_id: 1}
    assert installation.verdicts(message) == ["sent"]


def test_killed_before_the_claim(installation: Installation, server: HoldingServer) -> None:
    [message] = installation.queue()

    with installation.deliveries_locked():
        victim = installation.worker()
        victim.wait_until_started()
        victim.kill()
    installation.worker()
    wait_until_sent(installation)

    assert server.connections == 1
    assert installation.verdicts(message) == ["sent"]


def test_killed_between_the_claim_and_the_connection(installation: Installation, server: HoldingServer) -> None:
    [message] = installation.queue()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        installation.connect(port)
        with socket.create_connection(("127.0.0.1", port)):  # fills the backlog: whoever comes now waits
            victim = installation.worker()
            until(lambda: is_connecting_to(port), 15)
            states = installation.states()
            victim.kill()
    installation.connect(server)
    installation.worker()
    wait_until_sent(installation)

    assert states == {"sending": 1}
    assert len(server.messages) == 1
    assert installation.verdicts(message) == ["uncertain", "sent"]


@on_sqlite
def test_a_kill_puts_one_slice_of_a_connection_in_doubt_and_frees_the_rest_untouched(
    installation: Installation, server: HoldingServer
) -> None:
    server.hold("CONTENT", about="user3@")
    messages = installation.queue(12)
    victim = installation.worker()
    server.wait_until_held()

    states = installation.states()
    victim.kill()
    installation.worker()
    wait_until_sent(installation, 12)

    assert states == {"sending": 5, "queued": 7}
    assert list(server.copies.values()).count(2) == 4  # three answered and not yet committed, one not answered
    assert [installation.verdicts(message) for message in messages] == [["uncertain", "sent"]] * 5 + [["sent"]] * 7


@on_sqlite
def test_what_three_workers_died_of_is_held_and_the_others_leave(
    installation: Installation, server: HoldingServer
) -> None:
    poison, *_others = installation.queue(6)
    for _ in range(3):
        server.hold("RCPT", about="user0@")
        victim = installation.worker()
        server.wait_until_held()
        victim.kill()

    installation.worker()
    until(lambda: installation.states() == {"held": 1, "sent": 5}, 20)

    assert installation.message(poison).status == "held"
    assert sorted(server.copies.values()) == [1] * 5


def sockets_to(port: int) -> list[list[str]]:
    """The kernel's lines about TCP connections to this port of 127.0.0.1; see proc(5)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return [line for line in lines if line[2] == f"0100007F:{port:04X}"]


def is_connecting_to(port: int) -> bool:
    """Whether somebody waits for an answer to a SYN."""
    return any(line[3] == "02" for line in sockets_to(port))


def unsent_octets_to(port: int) -> int:
    """What was written and is not taken by the other side, the most of any connection."""
    return max((int(line[4].split(":")[0], 16) for line in sockets_to(port)), default=0)
