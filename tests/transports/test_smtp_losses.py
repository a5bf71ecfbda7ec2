"""Connections that break: before the final dot nothing was sent, after it only the server knows."""

from __future__ import annotations

from time import monotonic, sleep

import pytest

from portal.transports import Reply, Step, TransientError, Verdict
from portal.transports.smtp_settings import Security
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import CONTENT, MakeTransport, always, message

PIPELINING = pytest.mark.parametrize("pipelining", [True, False], ids=["together", "one by one"])
BIG = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 40_000
SIZES = pytest.mark.parametrize("content", [CONTENT, BIG], ids=["small", "big"])


@PIPELINING
@pytest.mark.parametrize(
    ("verb", "drop", "step"),
    [
        ("MAIL", "before", Step.SENDER),
        ("MAIL", "after", Step.RECIPIENT),
        ("RCPT", "before", Step.RECIPIENT),
        ("RCPT", "after", Step.DATA),
        ("DATA", "before", Step.DATA),
    ],
)
def test_a_connection_lost_before_the_message_hands_nothing_over(
    transport_to: MakeTransport, pipelining: bool, verb: str, drop: str, step: Step
) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on(verb, drop=drop, times=1)
        transport = transport_to(server)

        with pytest.raises(TransientError) as caught:
            transport.send(message(), may_proceed=always)
        transport.send(message("next@contoso.test"), may_proceed=always)

        assert caught.value.code == "network.connection_lost"
        assert caught.value.step is step
        assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


@PIPELINING
@SIZES
@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "not taken"])
def test_a_connection_lost_after_the_dot_is_uncertain(
    transport_to: MakeTransport, pipelining: bool, content: bytes, is_taken: bool
) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on("RCPT", "550 5.1.1 no such user", about="never@", times=1)
        server.on("CONTENT", drop="before", is_taken=is_taken, times=1)
        transport = transport_to(server)
        envelope = message("ada@contoso.test", "never@contoso.test", content=content)

        report = transport.send(envelope, may_proceed=always)
        transport.send(message("next@contoso.test"), may_proceed=always)

        assert [result.verdict for result in report.recipients] == [Verdict.UNCERTAIN, Verdict.FAILED]
        assert report.recipients[0].code == "smtp.reply_lost"
        assert report.recipients[0].reply == Reply(0, "the server closed the connection")
        assert len(server.messages) == 1 + is_taken


def test_a_dot_that_cannot_be_sent_ends_in_what_the_server_had_refused_it_with(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    def may_proceed() -> bool:
        server.sessions[0].tell(b"554 5.7.1 go away\r\n")
        server.sessions[0].abort()
        sleep(0.05)
        return True

    report = transport_to(server).send(message(), may_proceed=may_proceed)

    assert report.recipients[0].verdict is Verdict.FAILED


def test_a_dot_of_which_no_byte_left_hands_nothing_over(server: SMTPServer, transport_to: MakeTransport) -> None:
    def may_proceed() -> bool:
        server.sessions[0].abort()
        sleep(0.05)
        return True

    with pytest.raises(TransientError) as caught:
        transport_to(server).send(message(), may_proceed=may_proceed)

    assert caught.value.code == "network.connection_lost"
    assert server.messages == []


def test_silence_after_the_dot_is_uncertain(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONTENT", silent=True)
    started = monotonic()

    report = transport_to(server, timeout_seconds=0.03).send(message(), may_proceed=always)

    assert report.recipients[0].verdict is Verdict.UNCERTAIN
    assert 0.3 <= monotonic() - started < 1.5


@pytest.mark.parametrize("reply", [b"abc\r\n", b"354 more\r\n", b"250-ok\r\n251 ok\r\n", b"250-x\r\n" * 600])
def test_nonsense_after_the_dot_is_uncertain(server: SMTPServer, transport_to: MakeTransport, reply: bytes) -> None:
    server.on("CONTENT", reply, times=1)
    transport = transport_to(server)

    report = transport.send(message(), may_proceed=always)
    transport.send(message("next@contoso.test"), may_proceed=always)

    assert report.recipients[0].verdict is Verdict.UNCERTAIN
    assert server.connections == 2


def test_an_answer_counts_whatever_the_server_does_after_it(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONTENT", drop="after")
    transport = transport_to(server)

    report = transport.send(message(), may_proceed=always)
    transport.close()

    assert report.recipients[0].verdict is Verdict.SENT


@pytest.mark.parametrize(
    "reply", [b"2xx ok\r\n", b"abc\r\n", b"199 no\r\n", b"600 no\r\n", b"250-ok\r\n354 go\r\n", b"\r\n"]
)
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_nonsense_before_the_dot_hands_nothing_over(
    server: SMTPServer, transport_to: MakeTransport, verb: str, reply: bytes
) -> None:
    server.on(verb, reply, times=1)
    transport = transport_to(server)

    with pytest.raises(TransientError) as caught:
        transport.send(message(), may_proceed=always)
    transport.send(message("next@contoso.test"), may_proceed=always)

    assert caught.value.code == "smtp.malformed_reply"
    assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


def test_a_yes_to_data_is_not_taken_for_a_354(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("DATA", "250 ok", times=1)

    with pytest.raises(TransientError) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.code == "smtp.malformed_reply"


@pytest.mark.parametrize("drop", ["after", ""])
def test_a_refusal_while_the_message_is_being_sent_ends_it(
    server: SMTPServer, transport_to: MakeTransport, drop: str
) -> None:
    server.on("BODY", "552 5.3.4 too big for me", drop=drop, times=1)
    transport = transport_to(server)
    asked: list[str] = []

    def may_proceed() -> bool:
        asked.append("may the dot go?")
        return True

    report = transport.send(message(content=BIG * 3), may_proceed=may_proceed)
    transport.send(message("next@contoso.test"), may_proceed=always)

    assert report.recipients[0].verdict is Verdict.FAILED
    assert report.recipients[0].reply == Reply(552, "too big for me", "5.3.4")
    assert asked == []
    assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


def test_a_connection_lost_while_the_message_is_being_sent_hands_nothing_over(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("BODY", drop="before")

    with pytest.raises(TransientError) as caught:
        transport_to(server).send(message(content=BIG * 3), may_proceed=always)

    assert caught.value.step is Step.CONTENT
    assert caught.value.code == "network.connection_lost"


def test_a_server_that_stops_reading_is_left_before_the_dot(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("BODY", delay=5)
    started = monotonic()

    with pytest.raises(TransientError) as caught:
        transport_to(server, timeout_seconds=0.3).send(message(content=BIG * 6), may_proceed=always)

    assert caught.value.code == "network.too_slow"
    assert monotonic() - started < 3


@SIZES
def test_over_tls_a_message_arrives_whole(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, content: bytes
) -> None:
    with SMTPServer(tls="implicit", certificate=certificate) as server:
        transport = transport_to(server, security=Security.IMPLICIT_TLS, ca_certificate=authority.pem)

        transport.send(message(content=content), may_proceed=always)

        assert server.messages[0].content == content


@pytest.mark.parametrize(
    ("verb", "verdict"), [("CONTENT", Verdict.UNCERTAIN), ("BODY", None), ("DATA", None), ("MAIL", None)]
)
def test_over_tls_a_loss_is_judged_as_in_clear_text(
    transport_to: MakeTransport,
    authority: Authority,
    certificate: ServerCertificate,
    verb: str,
    verdict: Verdict | None,
) -> None:
    with SMTPServer(tls="starttls", certificate=certificate) as server:
        server.on(verb, drop="before")
        transport = transport_to(server, security=Security.STARTTLS, ca_certificate=authority.pem)

        try:
            outcome = transport.send(message(content=BIG * 3), may_proceed=always).recipients[0].verdict
        except TransientError:
            outcome = None

        assert outcome is verdict


def test_over_tls_a_refusal_while_the_message_is_being_sent_is_heard(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    with SMTPServer(tls="implicit", certificate=certificate) as server:
        server.on("BODY", "552 5.3.4 too big for me", drop="after")
        transport = transport_to(server, security=Security.IMPLICIT_TLS, ca_certificate=authority.pem)

        report = transport.send(message(content=BIG * 3), may_proceed=always)

        assert report.recipients[0].verdict is Verdict.FAILED
        assert report.recipients[0].reply.code == 552
