"""One message stays one message: no other end than CR LF . CR LF, no line that others would break elsewhere."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.relay.conftest import CONTENT, QUICK, RunningRelay, StartRelay, add_server, on_sqlite

SMUGGLED = (
    b"MAIL FROM:<boss@contoso.test>\r\nRCPT TO:<victim@contoso.test>\r\nDATA\r\nSubject: Pay\r\n\r\nNow.\r\n.\r\n"
)
ENDS = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r\n"]

pytestmark = on_sqlite


@pytest.mark.parametrize("end", ENDS, ids=[end.hex() for end in ENDS])
def test_what_others_take_for_the_end_of_a_message_makes_it_refused(
    app: Flask, relay: RunningRelay, end: bytes
) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()

    replied = line.hand_over(content=CONTENT + b"Page two." + end + SMUGGLED[: -len(b".\r\n")])

    assert replied[:9] in {"550 5.6.1", "550 5.6.0"}
    assert relay.stored() == []
    assert line.say("NOOP") == "250 2.0.0 OK"
    assert line.hand_over().startswith("250 ")


@pytest.mark.parametrize("end", ENDS[:6], ids=[end.hex() for end in ENDS[:6]])
def test_a_device_that_ends_its_lines_wrongly_is_told_so_instead_of_waiting(
    app: Flask, relay: RunningRelay, end: bytes
) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()
    line.say("MAIL FROM:<scanner@contoso.test>")
    line.say("RCPT TO:<ada@contoso.test>")
    line.say("DATA")

    line.send(b"Subject: Scan\n\nPage one." + end)

    assert line.read() == ("550 5.6.11 The message has lines that do not end with CR LF. Correct the sending program.")
    assert line.read() == "421 4.4.2 Nothing complete came for too long. Connect again."
    assert relay.stored() == []


@pytest.mark.parametrize("command", [b"NOOP\n", b"NOOP\rNOOP\r\n", b"NOOP\r", b"NO\nOP\r\n"])
def test_a_command_that_ends_otherwise_ends_the_conversation(relay: RunningRelay, command: bytes) -> None:
    line = relay.line("plain")

    line.send(command + b"x")

    assert line.read() == ("500 5.5.2 Lines end with CR LF, and neither stands alone. Correct the sending program.")
    assert line.read() == ""


def test_what_is_sent_behind_data_before_it_is_asked_for_is_never_read_as_commands(
    app: Flask, relay: RunningRelay
) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()

    line.send(SMUGGLED)

    assert [line.read()[:3] for _ in range(4)] == ["250", "250", "554", ""]
    assert relay.stored() == []


def test_bdat_ends_the_conversation_since_content_follows_it(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()
    line.say("MAIL FROM:<scanner@contoso.test>")
    line.say("RCPT TO:<ada@contoso.test>")

    line.send(b"BDAT 100 LAST\r\n" + SMUGGLED)

    assert [line.read(), line.read()] == ["502 5.5.1 This command is not offered.", ""]
    assert relay.stored() == []


@pytest.mark.parametrize("request_line", [b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"Host: portal\r\n"])
def test_a_browser_is_shown_the_door(app: Flask, relay: RunningRelay, request_line: bytes) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.line("plain")

    line.send(request_line + b"EHLO x\r\n" + SMUGGLED)

    assert [line.read(), line.read()] == ["554 5.5.1 This is a mail server.", ""]


def test_dots_are_taken_away_where_the_client_added_them(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()

    line.hand_over(content=CONTENT + b"..\r\n...two\r\n.gone\r\n")

    assert relay.content().endswith(b"Page one.\r\n.\r\n..two\r\ngone\r\n")


def test_the_end_is_found_however_the_octets_are_cut(app: Flask, start_relay: StartRelay) -> None:
    relay = start_relay(command=QUICK.command)
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()
    for said in ("MAIL FROM:<scanner@contoso.test>", "RCPT TO:<ada@contoso.test>", "DATA"):
        line.say(said)

    for octet in CONTENT + b"..\r\n.\r\n":
        line.send(bytes([octet]))

    assert line.read().startswith("250 ")
    assert relay.content().endswith(b"Page one.\r\n.\r\n")
