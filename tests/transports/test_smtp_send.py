"""Messages on a connection: what goes over the wire, who was accepted, and when a connection is used again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.network.policy import MailPolicy
from portal.transports import (
    Abandoned,
    ConnectionFault,
    PermanentError,
    QuotaReached,
    Reply,
    SenderRefused,
    Step,
    TransientError,
    TransportError,
    Verdict,
)
from portal.transports.smtp import MOST_MESSAGES, SMTPTransport
from portal.transports.smtp_envelope import stuffed_content
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import CONTENT, MakeTransport, always, message, settings_of

PIPELINING = pytest.mark.parametrize("pipelining", [True, False], ids=["together", "one by one"])
BIG = b"Subject: big\r\n\r\n" + b"0123456789" * 7 + b"\r\n" + (b"x" * 76 + b"\r\n") * 3000


def test_the_answer_to_the_final_dot_is_the_result(server: SMTPServer, transport_to: MakeTransport) -> None:
    report = transport_to(server).send(message(), may_proceed=always)

    [result] = report.recipients
    assert result.address == "ada@contoso.test"
    assert result.verdict is Verdict.SENT
    assert result.reply == Reply(250, "queued", "2.0.0")
    assert result.code == ""
    assert not report.kept


@PIPELINING
def test_the_message_arrives_as_it_was_handed_over(transport_to: MakeTransport, pipelining: bool) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        transport_to(server).send(message("ada@contoso.test", "bob@fabrikam.test"), may_proceed=always)

        [received] = server.messages
        assert received.mail_from == "portal@contoso.test"
        assert received.rcpt_to == ("ada@contoso.test", "bob@fabrikam.test")
        assert received.content == CONTENT
        assert received.parameters == f"SIZE={len(CONTENT)}"


def test_the_null_reverse_path_is_said_as_such(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport_to(server).send(message(mail_from=""), may_proceed=always)

    assert server.commands[1].startswith("MAIL FROM:<> ")


@pytest.mark.parametrize(
    "content",
    [
        b".\r\n",
        b"..\r\n",
        b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nx.\r\n",
        b"no end of line",
        b"",
        b"\r\n.\r\n.\r\n",
        BIG + b".\r\n.\r\nMAIL FROM:<evil@x.test>\r\n",
    ],
)
def test_dots_and_endings_arrive_as_they_were(server: SMTPServer, transport_to: MakeTransport, content: bytes) -> None:
    transport_to(server).send(message(content=content), may_proceed=always)

    [received] = server.messages
    assert received.content == (content if content.endswith(b"\r\n") or not content else content + b"\r\n")


@given(st.lists(st.sampled_from([b".", b"..", b"x", b"\r\n", b"\r\n.", b" "])).map(b"".join))
def test_no_line_of_stuffed_content_ends_the_message(content: bytes) -> None:
    stuffed = stuffed_content(content)

    assert b"\r\n.\r\n" not in b"\r\n" + stuffed
    assert (b"\r\n" + stuffed).replace(b"\r\n..", b"\r\n.")[2:].removesuffix(b"\r\n") == content.removesuffix(b"\r\n")


@pytest.mark.parametrize(
    "sequence",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r", b"\n", b"\r", b"\r\r\n", b"x\r"],
)
def test_a_bare_newline_never_leaves(server: SMTPServer, transport_to: MakeTransport, sequence: bytes) -> None:
    content = b"Subject: x\r\n\r\none" + sequence + b"MAIL FROM:<evil@x.test>"

    with pytest.raises(PermanentError) as caught:
        transport_to(server).send(message(content=content), may_proceed=always)

    assert caught.value.code == "smtp.bare_newline"
    assert server.commands == ["EHLO portal.contoso.test"]


@pytest.mark.parametrize(
    "address",
    ["a@x.test>\r\nRCPT TO:<v@x.test", "a@x.test\0", "a b@x.test", "<a@x.test", "a@x.test\x7f", "\ud800@x.test"],
)
def test_an_address_cannot_break_out_of_its_command(
    server: SMTPServer, transport_to: MakeTransport, address: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        transport_to(server).send(message(address), may_proceed=always)

    assert caught.value.code == "smtp.bad_address"
    assert server.commands == ["EHLO portal.contoso.test"]


def test_a_message_for_nobody_is_not_begun(server: SMTPServer, transport_to: MakeTransport) -> None:
    with pytest.raises(PermanentError) as caught:
        transport_to(server).send(replace(message(), rcpt_to=()), may_proceed=always)

    assert caught.value.code == "smtp.no_valid_recipients"
    assert server.commands == ["EHLO portal.contoso.test"]


@PIPELINING
def test_each_recipient_gets_the_fate_that_the_server_gave_it(transport_to: MakeTransport, pipelining: bool) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on("RCPT", "450 4.7.1 greylisted", about="later@")
        server.on("RCPT", "550 5.1.1 no such user", about="never@")
        envelope = message("now@contoso.test", "later@contoso.test", "never@contoso.test")

        report = transport_to(server).send(envelope, may_proceed=always)

        assert [(result.address, result.verdict) for result in report.recipients] == [
            ("now@contoso.test", Verdict.SENT),
            ("later@contoso.test", Verdict.DEFERRED),
            ("never@contoso.test", Verdict.FAILED),
        ]
        assert [result.reply.code for result in report.recipients] == [250, 450, 550]
        assert [result.code for result in report.recipients] == ["", "smtp.greylisted", "smtp.recipient_unknown"]
        assert server.messages[0].rcpt_to == ("now@contoso.test",)


@PIPELINING
def test_too_many_recipients_are_left_for_the_next_attempt(transport_to: MakeTransport, pipelining: bool) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on("RCPT", "452 4.5.3 too many recipients", about="b@")
        server.on("RCPT", "552 5.5.3 too many recipients", about="c@")

        report = transport_to(server).send(message("a@x.test", "b@x.test", "c@x.test"), may_proceed=always)

        assert [result.verdict for result in report.recipients] == [Verdict.SENT, Verdict.DEFERRED, Verdict.DEFERRED]


@PIPELINING
def test_with_every_recipient_refused_no_message_is_sent(transport_to: MakeTransport, pipelining: bool) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on("RCPT", "550 5.1.1 no such user", times=2)
        transport = transport_to(server)

        report = transport.send(message("a@x.test", "b@x.test"), may_proceed=always)
        transport.send(message("c@x.test"), may_proceed=always)

        assert [result.verdict for result in report.recipients] == [Verdict.FAILED, Verdict.FAILED]
        assert [received.rcpt_to for received in server.messages] == [("c@x.test",)]
        assert server.connections == 1
        assert "RSET" in server.commands


def test_a_354_without_recipients_ends_the_connection_rather_than_send_an_empty_message(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("RCPT", "550 5.1.1 no such user", times=1)
    server.on("DATA", "354 go ahead", times=1)
    transport = transport_to(server)
    started = monotonic()

    report = transport.send(message(), may_proceed=always)
    transport.send(message("c@x.test"), may_proceed=always)

    assert report.recipients[0].verdict is Verdict.FAILED
    assert [received.rcpt_to for received in server.messages] == [("c@x.test",)]
    assert server.connections == 2
    assert monotonic() - started < 2


@PIPELINING
def test_hundreds_of_recipients_go_in_rounds(transport_to: MakeTransport, pipelining: bool) -> None:
    addresses = tuple(f"person{number}@contoso.test" for number in range(450))
    with SMTPServer(pipelining=pipelining) as server:
        server.on("RCPT", "550 5.1.1 no such user", about="person399@")

        report = transport_to(server).send(message(*addresses), may_proceed=always)

        assert [result.address for result in report.recipients] == list(addresses)
        assert [place for place, result in enumerate(report.recipients) if result.verdict is Verdict.FAILED] == [399]
        assert len(server.messages[0].rcpt_to) == 449


@PIPELINING
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("451 4.3.0 later", TransientError),
        ("452 4.3.1 disk full", TransientError),
        ("550 5.7.60 Client does not have permissions to send as this sender", SenderRefused),
        ("553 5.1.8 Sender address rejected: Domain not found", SenderRefused),
        ("530 5.7.57 Client not authenticated to send mail", ConnectionFault),
        ("530 5.7.0 Must issue a STARTTLS command first", ConnectionFault),
        ("550 5.7.30 Basic authentication is not supported for Client Submission", ConnectionFault),
        ("552 5.3.4 too big", PermanentError),
        ("503 5.5.1 out of order", TransientError),
        ("550 4.2.1 try later", TransientError),
        ("550 5.4.5 Daily user sending limit exceeded", QuotaReached),
        ("421 4.7.0 Try again later", QuotaReached),
        ("421 4.3.2 shutting down", TransientError),
    ],
)
def test_a_refusal_of_the_sender_says_whom_it_concerns(
    transport_to: MakeTransport, pipelining: bool, reply: str, kind: type[TransportError]
) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on("MAIL", reply, times=1)
        transport = transport_to(server)

        with pytest.raises(kind) as caught:
            transport.send(message(), may_proceed=always)
        transport.send(message("next@contoso.test"), may_proceed=always)

        assert caught.value.step is Step.SENDER
        assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


@PIPELINING
@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("451 4.3.0 later", Verdict.DEFERRED),
        ("421 4.3.2 shutting down", Verdict.DEFERRED),
        ("554 5.6.0 not liked", Verdict.FAILED),
        ("554 4.3.0 contradicts itself", Verdict.DEFERRED),
        ("451 5.7.1 contradicts itself too", Verdict.DEFERRED),
        ("552 5.3.4 too big", Verdict.FAILED),
    ],
)
@pytest.mark.parametrize("verb", ["DATA", "CONTENT"])
def test_a_refused_message_keeps_what_was_said_to_each_recipient(
    transport_to: MakeTransport, pipelining: bool, verb: str, reply: str, verdict: Verdict
) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on("RCPT", "550 5.1.1 no such user", about="never@", times=1)
        server.on(verb, reply, times=1)
        transport = transport_to(server)

        report = transport.send(message("ada@contoso.test", "never@contoso.test"), may_proceed=always)
        transport.send(message("next@contoso.test"), may_proceed=always)

        assert [result.verdict for result in report.recipients] == [verdict, Verdict.FAILED]
        assert str(report.recipients[0].reply) == reply
        assert report.recipients[1].reply.code == 550
        assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (
            "554 5.2.252 SendAsDenied; a@x.test not allowed to send as b@x.test",
            SenderRefused,
            "microsoft.send_as_denied",
        ),
        (
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; quota",
            QuotaReached,
            "microsoft.daily_limit",
        ),
        ("550 5.7.30 Basic authentication is not supported", ConnectionFault, "microsoft.basic_auth_retired"),
    ],
)
def test_a_refusal_after_the_message_can_concern_more_than_the_message(
    server: SMTPServer, transport_to: MakeTransport, reply: str, kind: type[TransportError], code: str
) -> None:
    server.on("CONTENT", reply)

    with pytest.raises(kind) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.code == code
    assert caught.value.step is Step.CONTENT


def test_a_daily_limit_is_asked_again_after_an_hour(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONTENT", "550 5.4.5 Daily user sending limit exceeded")

    with pytest.raises(QuotaReached) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.retry_after == timedelta(hours=1)


def test_relaying_denied_to_all_is_the_way_outs_fault(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("RCPT", "554 5.7.1 <ada@contoso.test>: Relay access denied")

    with pytest.raises(ConnectionFault) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.code == "smtp.relaying_denied"
    assert caught.value.step is Step.RECIPIENT


def test_relaying_denied_to_one_of_two_is_that_recipients_fate(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("RCPT", "554 5.7.1 <bob@fabrikam.test>: Relay access denied", about="fabrikam")

    report = transport_to(server).send(message("ada@contoso.test", "bob@fabrikam.test"), may_proceed=always)

    assert [result.verdict for result in report.recipients] == [Verdict.SENT, Verdict.FAILED]


@PIPELINING
def test_a_421_to_a_recipient_hands_nothing_over(transport_to: MakeTransport, pipelining: bool) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        server.on("RCPT", "421 4.3.2 shutting down", about="b@", drop="after", times=1)

        with pytest.raises(TransientError):
            transport_to(server).send(message("a@x.test", "b@x.test", "c@x.test"), may_proceed=always)

        assert server.messages == []


def test_a_message_above_the_advertised_size_is_not_begun(transport_to: MakeTransport) -> None:
    with SMTPServer(size=1000) as server:
        with pytest.raises(PermanentError) as caught:
            transport_to(server).send(message(content=b"x" * 1001), may_proceed=always)

        assert caught.value.code == "smtp.message_too_large"
        assert caught.value.seen == "the message has 1001 bytes, the server takes 1000"
        assert server.commands == ["EHLO portal.contoso.test"]


@pytest.mark.parametrize("size", [0, None])
def test_no_size_and_size_zero_are_no_limit(transport_to: MakeTransport, size: int | None) -> None:
    with SMTPServer(size=size) as server:
        transport_to(server).send(message(), may_proceed=always)

        assert len(server.messages) == 1


def test_eight_bit_content_is_declared_and_plain_content_is_not(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    transport = transport_to(server)

    transport.send(message(content="Subject: x\r\n\r\nGrüße\r\n".encode()), may_proceed=always)
    transport.send(message(), may_proceed=always)

    assert server.messages[0].parameters.endswith(" BODY=8BITMIME")
    assert "8BITMIME" not in server.messages[1].parameters


def test_eight_bit_content_does_not_go_to_a_server_that_takes_seven(transport_to: MakeTransport) -> None:
    with SMTPServer(eight_bit=False) as server:
        with pytest.raises(PermanentError) as caught:
            transport_to(server).send(message(content="Grüße\r\n".encode()), may_proceed=always)

        assert caught.value.code == "smtp.8bitmime_missing"


def test_smtputf8_is_asked_for_where_an_address_needs_it(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    transport.send(message("用户@contoso.test"), may_proceed=always)
    transport.send(message(needs_smtputf8=True), may_proceed=always)
    transport.send(message(), may_proceed=always)

    assert [received.parameters.endswith(" SMTPUTF8") for received in server.messages] == [True, True, False]
    assert server.messages[0].rcpt_to == ("用户@contoso.test",)


def test_smtputf8_that_is_not_offered_cannot_be_done_without(transport_to: MakeTransport) -> None:
    with SMTPServer(smtputf8=False) as server:
        with pytest.raises(PermanentError) as caught:
            transport_to(server).send(message("用户@contoso.test"), may_proceed=always)

        assert caught.value.code == "smtp.smtputf8_missing"
        assert server.commands == ["EHLO portal.contoso.test"]


def test_what_one_message_cannot_do_costs_the_next_no_new_connection(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    transport = transport_to(server)

    with pytest.raises(PermanentError):
        transport.send(message(content=b"bare\nnewline"), may_proceed=always)
    transport.send(message(), may_proceed=always)

    assert server.connections == 1


def test_messages_share_a_connection_and_close_says_quit(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    for _ in range(3):
        transport.send(message(), may_proceed=always)
    transport.close()
    server.wait_until_idle()

    assert server.connections == 1
    assert server.commands.count("RSET") == 0
    assert server.commands[-1] == "QUIT"
    assert [received.session for received in server.messages] == [1, 1, 1]


def test_a_connection_carries_a_limited_number_of_messages(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    for _ in range(MOST_MESSAGES + 1):
        transport.send(message(), may_proceed=always)

    assert [received.session for received in server.messages] == [1] * MOST_MESSAGES + [2]


@PIPELINING
def test_a_stale_connection_is_replaced_without_a_word_to_the_caller(
    transport_to: MakeTransport, pipelining: bool
) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        transport = transport_to(server)
        transport.send(message(), may_proceed=always)
        server.sessions[0].close()

        transport.send(message(), may_proceed=always)

        assert [received.session for received in server.messages] == [1, 2]


@PIPELINING
def test_a_connection_that_the_server_ends_with_421_is_replaced(transport_to: MakeTransport, pipelining: bool) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        transport = transport_to(server)
        transport.send(message(), may_proceed=always)
        server.on("MAIL", "421 4.4.2 timeout exceeded", drop="after", times=1)

        transport.send(message(), may_proceed=always)

        assert [received.session for received in server.messages] == [1, 2]


def test_a_stale_connection_is_replaced_once_only(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)
    transport.send(message(), may_proceed=always)
    server.on("MAIL", drop="before")

    with pytest.raises(TransientError):
        transport.send(message(), may_proceed=always)

    assert server.connections == 2
    assert len(server.messages) == 1


def test_a_refusal_on_a_kept_connection_is_no_sign_that_it_is_stale(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    transport = transport_to(server)
    transport.send(message(), may_proceed=always)
    server.on("MAIL", "451 4.3.0 later", times=1)

    with pytest.raises(TransientError):
        transport.send(message(), may_proceed=always)

    assert server.connections == 1


def test_a_fresh_connection_that_is_lost_at_once_is_not_tried_again(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("MAIL", drop="before")

    with pytest.raises(TransientError) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.code == "network.connection_lost"
    assert server.connections == 1


def test_a_refused_reset_costs_a_new_connection_and_no_message(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("RCPT", "550 5.1.1 no such user", times=1)
    server.on("RSET", "554 5.3.0 no")
    transport = transport_to(server)

    transport.send(message(), may_proceed=always)
    transport.send(message(), may_proceed=always)

    assert [received.session for received in server.messages] == [2]


@PIPELINING
@pytest.mark.parametrize("content", [CONTENT, BIG], ids=["small", "big"])
def test_a_message_is_abandoned_just_before_the_dot(
    transport_to: MakeTransport, pipelining: bool, content: bytes
) -> None:
    with SMTPServer(pipelining=pipelining) as server:
        transport = transport_to(server)
        asked_after: list[str] = []

        def may_proceed() -> bool:
            asked_after.append(server.commands[-1])
            return False

        with pytest.raises(Abandoned):
            transport.send(message(content=content), may_proceed=may_proceed)
        transport.send(message("next@contoso.test"), may_proceed=always)

        assert asked_after == ["DATA"]
        assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


def test_an_error_of_the_callers_own_hands_nothing_over(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    def may_proceed() -> bool:
        raise KeyError("lease")

    with pytest.raises(KeyError):
        transport.send(message(), may_proceed=may_proceed)
    transport.send(message("next@contoso.test"), may_proceed=always)

    assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


def test_an_odd_status_code_decides_less_than_the_first_digit(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONTENT", "250 5.7.1 queued in spite of itself")

    report = transport_to(server).send(message(), may_proceed=always)

    assert report.recipients[0].verdict is Verdict.SENT


def test_closing_twice_or_before_anything_is_fine(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport = transport_to(server)

    transport.close()
    transport.close()

    assert server.connections == 0


def test_closing_does_not_wait_long_for_a_silent_server(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("QUIT", silent=True)
    transport = transport_to(server, timeout_seconds=30)
    transport.send(message(), may_proceed=always)
    started = monotonic()

    transport.close()

    assert monotonic() - started < 2


def test_an_idle_connection_is_given_up_after_thirty_seconds(server: SMTPServer, policy: MailPolicy) -> None:
    now = 1000.0
    transport = SMTPTransport(settings_of(server), policy=policy, clock=lambda: now)

    for pause in (0, 29, 31):
        now += pause
        transport.send(message(), may_proceed=always)
    transport.close()

    assert [received.session for received in server.messages] == [1, 1, 2]


def test_a_connection_that_was_closed_while_idle_is_seen_before_it_is_used(
    server: SMTPServer, policy: MailPolicy
) -> None:
    now = 1000.0
    transport = SMTPTransport(settings_of(server), policy=policy, clock=lambda: now)
    transport.send(message(), may_proceed=always)
    server.sessions[0].tell(b"421 4.4.2 idle for too long\r\n")
    now += 2

    transport.send(message(), may_proceed=always)
    transport.close()

    assert [received.session for received in server.messages] == [1, 2]
    assert sum(command.startswith("MAIL") for command in server.sessions[0].commands) == 1


def test_what_came_behind_an_answer_is_not_taken_for_the_next_ones(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    server.on("CONTENT", b"250 2.0.0 queued\r\n250 2.0.0 queued\r\n", times=1)
    transport = transport_to(server)

    transport.send(message(), may_proceed=always)
    transport.send(message("next@contoso.test"), may_proceed=always)

    assert server.connections == 2
    assert [received.rcpt_to for received in server.messages] == [("next@contoso.test",)]


@pytest.mark.parametrize("unasked", [b"250 2.0.0 queued\r\n", b"421 4.3.2 shutting down\r\n"])
def test_an_answer_to_the_dot_that_comes_before_the_dot_hands_nothing_over(
    server: SMTPServer, transport_to: MakeTransport, unasked: bytes
) -> None:
    server.on("DATA", b"354 go ahead\r\n" + unasked)

    try:
        report = transport_to(server).send(message(), may_proceed=always)
        verdicts = [result.verdict for result in report.recipients]
    except TransientError:
        verdicts = [Verdict.DEFERRED]

    assert verdicts == [Verdict.DEFERRED]
    assert server.messages == []
