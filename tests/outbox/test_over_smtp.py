"""The outbox over the real SMTP transport, to a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from portal import outbox as room
from portal.outbox import history
from portal.outbox.prepared import WayOut
from portal.transports import Transport
from tests.outbox.conftest import NOW, Outbox
from tests.outbox.scripted import MAIN
from tests.outbox.worker_to_kill import smtp_to
from tests.outside.smtp_server import SMTPServer

THREE = ("ada@contoso.test", "bob@contoso.test", "eve@contoso.test")


@pytest.fixture
def server(outbox: Outbox) -> Iterator[SMTPServer]:
    with SMTPServer() as server:

        def open_transport(_way: WayOut) -> Transport:
            return smtp_to(server.port)

        outbox.world.open_transport = open_transport  # type: ignore[method-assign]
        yield server


def test_twenty_messages_leave_over_one_connection(outbox: Outbox, server: SMTPServer) -> None:
    ids = [outbox.add() for _ in range(20)]

    outbox.send()

    assert outbox.states() == ["sent"] * 20
    assert (len(server.messages), server.connections) == (20, 1)
    assert server.messages[0].content.startswith(b"From: Contoso Portal <portal@contoso.test>\r\n")
    attempt = outbox.attempts(ids[0])[0]
    assert (attempt.step, attempt.reply_code, attempt.enhanced_status_code) == ("content", 250, "2.0.0")


def test_three_recipients_three_answers(outbox: Outbox, server: SMTPServer) -> None:
    server.on("RCPT", "450 4.2.1 mailbox busy", about="bob@", times=1)
    server.on("RCPT", "550 5.1.1 no such user", about="eve@")
    id = outbox.add(rcpt_to=THREE)

    outbox.send()
    outbox.send(NOW + timedelta(minutes=2))

    assert [message.rcpt_to for message in server.messages] == [("ada@contoso.test",), ("bob@contoso.test",)]
    found = outbox.in_session(lambda session: history.find(session, id))
    assert found.status == "failed"
    assert {recipient.address: recipient.status for recipient in found.recipients} == {
        "ada@contoso.test": "sent",
        "bob@contoso.test": "sent",
        "eve@contoso.test": "failed",
    }


def test_a_lost_answer_sends_the_same_message_again(outbox: Outbox, server: SMTPServer) -> None:
    server.on("CONTENT", drop="before", is_taken=True, times=1)
    id = outbox.add()
    outbox.send()
    after_the_loss = outbox.state(id)
    outbox.set(id, lease_until=NOW)

    outbox.send(NOW + timedelta(minutes=2))

    assert (after_the_loss, outbox.state(id)) == ("uncertain", "sent")
    assert server.messages[0].content == server.messages[1].content


def test_a_connection_that_is_refused_defers_and_then_pauses(outbox: Outbox, server: SMTPServer) -> None:
    server.on("CONNECT", drop="before")
    for _ in range(5):
        outbox.add()

    outbox.send()

    assert server.connections == 3
    assert outbox.in_session(room.way_out_states)[MAIN].status == "paused"
    assert sorted(outbox.states()) == ["deferred"] * 3 + ["queued"] * 2
