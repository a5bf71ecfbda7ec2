"""What becomes of a message on its way in: whose it is, what is added, what goes, and what nobody can read."""

from __future__ import annotations

from email import message_from_bytes

import pytest
from flask import Flask

from portal.relay.content import Budget, ContentRefused, IncomingContent
from tests.relay.conftest import RunningRelay, add_server, change_server, on_sqlite

LOOPBACK = ("127.0.0.0/8",)


def header(relay: RunningRelay) -> list[bytes]:
    return relay.content().partition(b"\r\n\r\n")[0].split(b"\r\n")


@on_sqlite
def test_bcc_goes_the_from_is_the_servers_and_one_line_of_ours_names_nothing_inside(
    app: Flask, relay: RunningRelay
) -> None:
    add_server(app, networks=LOOPBACK)
    line = relay.line("plain")
    line.say("EHLO secret-host.internal")

    replied = line.hand_over(
        "ada@contoso.test",
        "hidden@contoso.test",
        sender="root@localhost",
        content=b"From: Boss <boss@contoso.test>\r\nTo: ada@contoso.test\r\nBcc: hidden@contoso.test\r\n"
        b"Subject: Scan\r\n\r\nPage one.\r\n",
    )

    (message,) = relay.stored()
    names = [one.partition(b":")[0] for one in header(relay)]
    received = [one for one in header(relay) if one.startswith(b"Received:")]
    assert replied.startswith("250 ")
    assert message.rcpt_to == ["ada@contoso.test", "hidden@contoso.test"]
    assert message.from_address in {None, "scanner@contoso.test"}
    assert sorted({b"Message-ID", b"Date", b"Reply-To", b"Subject", b"To"} - set(names)) == []
    assert b"hidden" not in relay.content()
    assert len(received) == 1
    assert received[0].startswith(b"Received: by portal.contoso.test with ESMTP id ")
    assert b"secret-host" not in relay.content()
    assert b"127.0.0.1" not in relay.content()


@on_sqlite
def test_a_server_that_refuses_other_senders_says_so(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK, unlisted_sender="refuse")

    replied = relay.known_line().hand_over(content=b"From: boss@contoso.test\r\nSubject: Pay\r\n\r\nNow.\r\n")

    assert replied.startswith("550 5.7.1 The server Scanner may not write as boss@contoso.test")
    assert relay.stored() == []


@on_sqlite
def test_a_message_that_came_round_too_often_is_refused(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)

    replied = relay.known_line().hand_over(content=b"Received: by a.test; today\r\n" * 51 + b"Subject: x\r\n\r\nx\r\n")

    assert replied.startswith("550 5.6.0 ")


@on_sqlite
@pytest.mark.parametrize("line", [b"X-A: b\r\n", b" folded\r\n", b" \r\n", b"a:\r\n"])
def test_a_header_without_end_is_refused_at_once(app: Flask, relay: RunningRelay, line: bytes) -> None:
    add_server(app, networks=LOOPBACK)

    replied = relay.known_line().hand_over(content=b"Subject: x\r\n" + line * (2_000_000 // len(line)) + b"\r\nx\r\n")

    assert replied == "550 5.6.0 The header of the message has more than 262,144 bytes."
    assert relay.stored() == []


@on_sqlite
def test_a_long_body_without_a_header_is_taken(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)

    replied = relay.known_line().hand_over(content=b"Page one.\r\n" * 40_000)

    assert replied.startswith("250 ")
    assert relay.content().endswith(b"\r\n\r\n" + b"Page one.\r\n" * 40_000)


@on_sqlite
def test_a_sender_in_endless_comments_is_nobody_and_does_no_harm(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)

    replied = relay.known_line().hand_over(content=b"From: " + b"(\r\n " * 20_000 + b"\r\n\r\nPage one.\r\n")

    assert replied.startswith("250 ")


@on_sqlite
def test_letters_in_a_part_of_one_long_line_leave_no_bare_line_end(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)
    line = "wörter ".encode() + b"word " * 60

    replied = relay.known_line().hand_over(
        content=b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + line + b"\r\n--b--\r\n"
    )

    assert replied.startswith("250 ")
    assert b"\n" not in relay.content().replace(b"\r\n", b"")
    assert message_from_bytes(relay.content()).get_payload(0).get_payload(decode=True) == line  # type: ignore[union-attr]


@on_sqlite
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"no header at all\r\n",
        b"Subject: only a header\r\n",
        b": empty name\r\n\r\nx\r\n",
        b"Subject: x\r\n folded\r\n \r\n\r\nx\r\n",
        b"From: =?utf-8?q?a=0d=0aBcc:=20v@x.test?= <scanner@contoso.test>\r\n\r\nx\r\n",
        b"From: a@contoso.test, b@contoso.test\r\nFrom: c@contoso.test\r\n\r\nx\r\n",
        b"Subject: \xff\xfe\xe4\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n\xff\xfe\x00\xe4"[:-2] + b"\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\n\r\n" * 20_000 + b"--x--\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" * 1000 + b"deep\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n",
        b"To: <>,,;:@\r\nDate: yesterday\r\nMessage-ID: none\r\n\r\n\xe4\r\n",
        b"X: " + b"y" * 998 + b"\r\n\r\nx\r\n",
        b"X: y\r\n\r\n" + b"z" * 999 + b"\r\n",
        b"X-Many: y\r\n" * 20_000 + b"\r\nx\r\n",
    ],
)
def test_what_no_standard_knows_passes_through_or_is_refused_and_the_relay_goes_on(
    app: Flask, relay: RunningRelay, content: bytes
) -> None:
    add_server(app, networks=LOOPBACK)
    line = relay.known_line()

    replied = line.hand_over(content=content)

    assert replied[:4] in {"250 ", "550 "}
    assert len(relay.stored()) == (replied[:3] == "250")
    assert line.hand_over().startswith("250 ")


def test_a_limit_that_is_used_up_is_told_and_costs_the_others_nothing(app: Flask, relay: RunningRelay) -> None:
    scanner = add_server(app, networks=LOOPBACK, messages_per_day=2)
    line = relay.known_line()

    replied = [line.hand_over()[:9] for _ in range(4)]
    change_server(app, scanner, networks=())
    add_server(app, "Other", networks=LOOPBACK)
    other = relay.known_line().hand_over()

    assert replied == ["250 2.0.0", "250 2.0.0", "451 4.7.1", "451 4.7.1"]
    assert other.startswith("250 ")
    assert len(relay.stored()) == 3


@on_sqlite
def test_a_large_message_is_taken_whole(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)
    pages = b"".join(b"%075d\r\n" % number for number in range(200_000))

    replied = relay.known_line().hand_over(content=b"Subject: Scan\r\n\r\n" + pages)

    assert replied == f"250 2.0.0 Queued as {relay.stored()[0].id}"


def test_contents_of_all_connections_share_their_room() -> None:
    budget = Budget(1000)
    first, second = (IncomingContent(10_000, budget) for _ in range(2))

    first.feed(b"x" * 900)
    second.feed(b"x" * 200)
    second.feed(b"\r\n.\r\n")
    with pytest.raises(ContentRefused, match="Too much mail arrives at once"):
        second.finished()
    first.give_back()
    third = IncomingContent(10_000, budget)
    rest = third.feed(b"x" * 990 + b"\r\n.\r\nQUIT")

    assert rest == b"QUIT"
    assert third.finished() == b"x" * 990 + b"\r\n"


@on_sqlite
def test_addresses_beyond_ascii_need_smtputf8(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)
    line = relay.known_line()

    without = [line.say("MAIL FROM:<scanner@contoso.test>"), line.say("RCPT TO:<jürgen@contoso.test>")]
    line.say("RSET")
    with_it = [line.say("MAIL FROM:<scanner@contoso.test> SMTPUTF8"), line.say("RCPT TO:<jürgen@contoso.test>")]
    line.say("DATA")
    line.send("Subject: Grüße\r\n\r\nHallo.\r\n.\r\n".encode())

    assert without[1].startswith("553 5.6.7 ")
    assert with_it == ["250 2.1.0 Sender OK", "250 2.1.5 Recipient OK"]
    assert line.read().startswith("250 ")
    assert relay.stored()[0].needs_smtputf8


@on_sqlite
def test_only_what_is_honoured_is_announced(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)
    line = relay.line("plain")

    offered = line.say("EHLO printer").split("\n")[1:]
    dsn = line.say("MAIL FROM:<scanner@contoso.test> RET=FULL")
    binary = line.say("MAIL FROM:<scanner@contoso.test> BODY=BINARYMIME")

    assert [one[4:] for one in offered] == [
        "ENHANCEDSTATUSCODES",
        "PIPELINING",
        "8BITMIME",
        "SMTPUTF8",
        "SIZE 37748736",
    ]
    assert [dsn[:9], binary[:9]] == ["555 5.5.4", "555 5.5.4"]
    assert line.say("ETRN contoso.test")[:9] == "502 5.5.1"
    assert line.say("VRFY root")[:9] == "252 2.5.2"
