"""The next message's envelope rides behind the final dot: a round trip less, and no message's fate in doubt for it."""

from __future__ import annotations

import pytest

from portal.transports import (
    Abandoned,
    OutgoingMessage,
    PermanentError,
    QuotaReached,
    Reply,
    Step,
    Verdict,
    smtp_transaction,
)
from portal.transports.smtp import MOST_MESSAGES
from portal.transports.smtp_envelope import stuffed_content
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import MakeTransport, always, message

FIRST = message("first@contoso.test")
SECOND = message("second@contoso.test")
THIRD = message("third@contoso.test")
LONGER = message("second@contoso.test", content=FIRST.content + b"Good night.\r\n")


def recipients(server: SMTPServer) -> list[tuple[str, ...]]:
    return [received.rcpt_to for received in server.messages]


def test_the_next_envelope_is_out_before_the_answer_to_the_dot(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    transport.send(FIRST, may_proceed=always, following=SECOND)
    server.on("CONTENT", drop="before", times=1)  # whatever is heard now was said before the second message's turn
    heard = [line.split()[0] for line in server.sessions[0].commands]
    transport.send(SECOND, may_proceed=always)

    assert heard[-3:] == ["MAIL", "RCPT", "DATA"]
    assert heard.count("MAIL") == 2


def test_announced_messages_arrive_each_once_over_one_connection(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    transport = transport_to(server)

    reports = [
        transport.send(FIRST, may_proceed=always, following=SECOND),
        transport.send(SECOND, may_proceed=always, following=THIRD),
        transport.send(THIRD, may_proceed=always),
    ]
    transport.close()

    assert [report.recipients[0].verdict for report in reports] == [Verdict.SENT] * 3
    assert recipients(server) == [FIRST.rcpt_to, SECOND.rcpt_to, THIRD.rcpt_to]
    assert server.connections == 1
    assert server.commands[-1] == "QUIT"


def test_a_refused_message_leaves_the_announced_one_its_place(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONTENT", "554 5.6.0 no such content", times=1)
    transport = transport_to(server)

    refused = transport.send(FIRST, may_proceed=always, following=SECOND)
    sent = transport.send(SECOND, may_proceed=always)

    assert refused.recipients[0].verdict is Verdict.FAILED
    assert refused.recipients[0].reply == Reply(554, "no such content", "5.6.0")
    assert sent.recipients[0].verdict is Verdict.SENT
    assert recipients(server) == [SECOND.rcpt_to]
    assert server.connections == 1
    assert "RSET" not in server.commands


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "not taken"])
def test_a_connection_lost_at_the_dot_says_nothing_of_the_announced_message(
    server: SMTPServer, transport_to: MakeTransport, is_taken: bool
) -> None:
    server.on("CONTENT", drop="before", is_taken=is_taken, times=1)
    transport = transport_to(server)

    lost = transport.send(FIRST, may_proceed=always, following=SECOND)
    sent = transport.send(SECOND, may_proceed=always)

    assert lost.recipients[0].verdict is Verdict.UNCERTAIN
    assert sent.recipients[0].verdict is Verdict.SENT
    assert recipients(server) == [*([FIRST.rcpt_to] if is_taken else []), SECOND.rcpt_to]
    assert server.connections == 2


def test_a_connection_that_ends_behind_the_answer_costs_the_announced_message_nothing(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("CONTENT", drop="after", times=1)
    transport = transport_to(server)

    first = transport.send(FIRST, may_proceed=always, following=SECOND)
    second = transport.send(SECOND, may_proceed=always)

    assert [first.recipients[0].verdict, second.recipients[0].verdict] == [Verdict.SENT, Verdict.SENT]
    assert recipients(server) == [FIRST.rcpt_to, SECOND.rcpt_to]


def test_a_421_to_the_announced_envelope_is_met_with_a_new_connection(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("MAIL", "421 4.3.2 enough for this connection", times=1, about=f"SIZE={len(LONGER.content)}")
    transport = transport_to(server)
    transport.send(FIRST, may_proceed=always, following=LONGER)

    report = transport.send(LONGER, may_proceed=always)

    assert report.recipients[0].verdict is Verdict.SENT
    assert recipients(server) == [FIRST.rcpt_to, LONGER.rcpt_to]
    assert server.connections == 2


def test_a_recipient_of_the_announced_message_is_refused_for_that_message_alone(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("RCPT", "550 5.1.1 nobody of that name", about="second@")
    transport = transport_to(server)

    first = transport.send(FIRST, may_proceed=always, following=SECOND)
    second = transport.send(SECOND, may_proceed=always, following=THIRD)
    third = transport.send(THIRD, may_proceed=always)

    assert first.recipients[0].verdict is Verdict.SENT
    assert second.recipients[0].verdict is Verdict.FAILED
    assert third.recipients[0].verdict is Verdict.SENT
    assert recipients(server) == [FIRST.rcpt_to, THIRD.rcpt_to]


def test_another_message_than_the_announced_one_may_follow(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    transport.send(FIRST, may_proceed=always, following=SECOND)
    transport.send(THIRD, may_proceed=always)

    assert recipients(server) == [FIRST.rcpt_to, THIRD.rcpt_to]
    assert server.connections == 2


def test_closing_gives_an_announced_message_no_content(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    transport.send(FIRST, may_proceed=always, following=SECOND)
    transport.close()

    assert recipients(server) == [FIRST.rcpt_to]
    assert "QUIT" not in server.commands


def test_an_announced_message_is_abandoned_like_any_other(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)
    transport.send(FIRST, may_proceed=always, following=SECOND)

    with pytest.raises(Abandoned):
        transport.send(SECOND, may_proceed=lambda: False)
    transport.send(THIRD, may_proceed=always)

    assert recipients(server) == [FIRST.rcpt_to, THIRD.rcpt_to]


def test_a_quota_met_at_the_dot_leaves_the_announced_message_unsent(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("CONTENT", "550 5.4.5 Daily user sending limit exceeded. gsmtp", times=1)
    transport = transport_to(server)

    with pytest.raises(QuotaReached):
        transport.send(FIRST, may_proceed=always, following=SECOND)
    transport.close()

    assert server.messages == []


@pytest.mark.parametrize(
    "following",
    [
        message("second@contoso.test", mail_from="other@contoso.test"),
        message(*(f"user{number}@contoso.test" for number in range(30))),
        message("second@contoso.test", needs_smtputf8=True),
    ],
    ids=["another sender", "many recipients", "what this server cannot take"],
)
def test_some_messages_are_not_announced(transport_to: MakeTransport, following: OutgoingMessage) -> None:
    with SMTPServer(smtputf8=False) as server:
        transport = transport_to(server)

        transport.send(FIRST, may_proceed=always, following=following)
        heard = [line.split()[0] for line in server.sessions[0].commands]

        assert heard.count("MAIL") == 1


def test_what_the_server_cannot_take_is_told_in_its_own_turn(transport_to: MakeTransport) -> None:
    with SMTPServer(smtputf8=False) as server:
        transport = transport_to(server)
        unsuitable = message("second@contoso.test", needs_smtputf8=True)
        transport.send(FIRST, may_proceed=always, following=unsuitable)

        with pytest.raises(PermanentError) as caught:
            transport.send(unsuitable, may_proceed=always)

        assert caught.value.code == "smtp.smtputf8_missing"


@pytest.mark.parametrize("fault", [MemoryError, PermanentError(Step.CONTENT, code="smtp.bare_newline")])
def test_what_is_wrong_with_the_next_content_leaves_the_message_before_it_sent(
    server: SMTPServer, transport_to: MakeTransport, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def stuffed(content: bytes) -> bytes:
        if content == LONGER.content:
            raise fault
        return stuffed_content(content)

    monkeypatch.setattr(smtp_transaction, "stuffed_content", stuffed)
    transport = transport_to(server)

    sent = transport.send(FIRST, may_proceed=always, following=LONGER)
    with pytest.raises((MemoryError, PermanentError)):
        transport.send(LONGER, may_proceed=always)

    assert sent.recipients[0].verdict is Verdict.SENT
    assert recipients(server) == [FIRST.rcpt_to]


def test_nothing_goes_ahead_where_pipelining_is_not_offered(transport_to: MakeTransport) -> None:
    with SMTPServer(pipelining=False) as server:
        transport = transport_to(server)

        transport.send(FIRST, may_proceed=always, following=SECOND)
        heard = [line.split()[0] for line in server.sessions[0].commands]
        transport.send(SECOND, may_proceed=always)

        assert heard.count("MAIL") == 1
        assert recipients(server) == [FIRST.rcpt_to, SECOND.rcpt_to]


def test_the_last_message_of_a_connection_announces_none(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)
    messages = [message(f"user{number}@contoso.test") for number in range(MOST_MESSAGES + 2)]

    for one, following in zip(messages, [*messages[1:], None], strict=True):
        transport.send(one, may_proceed=always, following=following)

    assert recipients(server) == [one.rcpt_to for one in messages]
    assert server.connections == 2
    assert server.sessions[0].commands[-1] == "QUIT"


def test_an_announced_message_that_cannot_be_said_ends_the_connection(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    transport = transport_to(server)
    smuggling = message("second@contoso.test", content=b"Subject: x\r\n\r\na\n.\nb\r\n")
    transport.send(FIRST, may_proceed=always, following=smuggling)

    with pytest.raises(PermanentError):
        transport.send(smuggling, may_proceed=always)
    transport.send(THIRD, may_proceed=always)

    assert recipients(server) == [FIRST.rcpt_to, THIRD.rcpt_to]
    assert server.connections == 2


def test_a_server_that_loses_what_is_said_behind_a_dot_is_told_again_and_then_nothing_goes_ahead(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("MAIL", silent=True, times=1, about=f"SIZE={len(LONGER.content)}")
    transport = transport_to(server, timeout_seconds=0.3)
    transport.send(FIRST, may_proceed=always, following=LONGER)

    report = transport.send(LONGER, may_proceed=always, following=THIRD)
    heard = [line.split()[0] for line in server.sessions[1].commands]

    assert report.recipients[0].verdict is Verdict.SENT
    assert recipients(server) == [FIRST.rcpt_to, LONGER.rcpt_to]
    assert heard.count("MAIL") == 1
