"""Who sends too much, too slowly or too early is told so and shut out; the others do not notice."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from portal.relay.limits import MOST_WAITING
from tests.relay.conftest import CONTENT, Line, RunningRelay, StartRelay, add_server, on_sqlite

pytestmark = on_sqlite
LOOPBACK = ("127.0.0.0/8",)


def test_who_talks_before_the_greeting_is_no_mail_client(relay: RunningRelay) -> None:
    line = Line(relay.ports["plain"], greeting=False)

    line.send(b"EHLO printer\r\nMAIL FROM:<scanner@contoso.test>\r\n")
    heard = [line.read(), line.read()]
    line.close()

    assert heard == ["554 5.5.1 Data came before they were asked for. Wait for each reply of the server.", ""]


def test_a_line_of_a_megabyte_ends_the_conversation_and_a_long_one_does_not(app: Flask, relay: RunningRelay) -> None:
    long, endless = relay.line("plain"), relay.line("plain")

    told = long.say("NOOP " + "x" * 2042)
    just_right = long.say("NOOP " + "x" * 2041)
    endless.send(b"x" * 1_000_000)

    assert told == "500 5.5.6 The line is too long: commands have 2048 octets at most."
    assert just_right == "250 2.0.0 OK"
    assert endless.read() == "500 5.5.6 The line is too long and does not end."
    assert endless.read() == ""


def test_a_line_that_stops_just_where_reading_stops_ends_the_conversation(relay: RunningRelay) -> None:
    line = relay.line("plain")

    line.send(b"x" * MOST_WAITING)

    assert line.read() == "500 5.5.6 The line is too long and does not end."


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RSET\r\n", b"EHLO x\r\n", b"VRFY root\r\n", b"HELP\r\n"])
def test_a_flood_of_commands_that_bring_nothing_ends(app: Flask, relay: RunningRelay, command: bytes) -> None:
    add_server(app, networks=LOOPBACK)
    line = relay.line("plain")

    line.send(command * 2000)
    replied = all_replies(line)

    assert len(replied) == 101
    assert replied[-1] == "421 4.7.0 Too many commands without a message. Connect again."


def test_a_flood_of_recipients_is_cut_and_its_message_still_goes_to_those_before(
    app: Flask, relay: RunningRelay
) -> None:
    add_server(app, networks=LOOPBACK, most_recipients=5)
    line = relay.known_line()
    flood = relay.known_line()
    recipients = [f"user{number}@contoso.test" for number in range(8)]
    line.say("MAIL FROM:<scanner@contoso.test>")

    replied = [line.say(f"RCPT TO:<{one}>") for one in recipients]
    line.say("DATA")
    line.send(CONTENT + b".\r\n")
    accepted = line.read()
    flood.send(b"MAIL FROM:<scanner@contoso.test>\r\n")
    flood.send(b"".join(b"RCPT TO:<user%d@contoso.test>\r\n" % number for number in range(5000)))
    told = all_replies(flood)

    assert [one[:9] for one in replied] == ["250 2.1.5"] * 5 + ["452 4.5.3"] * 3
    assert accepted.startswith("250 ")
    assert relay.stored()[0].rcpt_to == recipients[:5]
    assert len(told) == 1 + 5 + 1000 + 1
    assert told[-1].startswith("421 4.7.0 Too many errors.")


def test_errors_end_after_twenty(relay: RunningRelay) -> None:
    line = relay.line("plain")

    line.send(b"NONSENSE\r\n" * 100)
    replied = all_replies(line)

    assert replied[:20] == ["500 5.5.1 This command is not known."] * 20
    assert replied[20:] == ["421 4.7.0 Too many errors. Look at the replies before this one."]


def test_too_large_is_said_before_and_after_it_was_sent_and_the_connection_stays_usable(
    app: Flask, relay: RunningRelay
) -> None:
    add_server(app, networks=LOOPBACK, largest_message=100_000)
    line = relay.known_line()
    large = CONTENT + (b"y" * 98 + b"\r\n") * 30_000

    by_size = line.say("MAIL FROM:<scanner@contoso.test> SIZE=3000000")
    while_reading = line.hand_over(content=large)
    just_over = line.hand_over(content=CONTENT + (b"y" * 98 + b"\r\n") * 1000)
    after = line.hand_over()

    assert by_size == "552 5.3.4 The message is too large: 100000 octets are taken. Make it smaller."
    assert while_reading == by_size
    assert just_over == by_size
    assert after.startswith("250 ")
    assert len(relay.stored()) == 1


def test_slow_clients_lose_their_connection_and_dribbling_does_not_help(app: Flask, start_relay: StartRelay) -> None:
    add_server(app, networks=LOOPBACK)
    relay = start_relay(command=0.6, content=0.6)
    silent, dribbling, in_content = (relay.known_line() for _ in range(3))
    for said in ("MAIL FROM:<scanner@contoso.test>", "RCPT TO:<ada@contoso.test>", "DATA"):
        in_content.say(said)

    ends_at = time.monotonic() + 1.5
    while time.monotonic() < ends_at:
        try:
            dribbling.send(b"N")
            in_content.send(b"S")
        except OSError:
            break
        time.sleep(0.1)

    for line in (silent, dribbling, in_content):
        assert line.read() == "421 4.4.2 Nothing complete came for too long. Connect again."
    assert relay.stored() == []


def test_an_upload_that_stalls_gives_its_room_to_others_and_a_slow_one_goes_on(
    app: Flask, start_relay: StartRelay
) -> None:
    add_server(app, networks=LOOPBACK)
    relay = start_relay(content_in_memory=200_000, pace_looked_at=0.5, slowest_content=1000)
    stalled, slow, other = (relay.known_line() for _ in range(3))
    half = CONTENT + (b"y" * 98 + b"\r\n") * 1200
    for line in (stalled, slow):
        for said in ("MAIL FROM:<scanner@contoso.test>", "RCPT TO:<ada@contoso.test>", "DATA"):
            line.say(said)

    stalled.send(half)
    without_room = other.hand_over(content=half)
    for _ in range(15):
        slow.send(b"Subject: x\r\n" * 20)
        time.sleep(0.1)
    slow.send(b"\r\nPage one.\r\n.\r\n")

    assert without_room.startswith("452 4.3.1 Too much mail arrives at once.")
    assert stalled.read() == "421 4.4.2 Nothing complete came for too long. Connect again."
    assert slow.read().startswith("250 ")
    assert other.hand_over(content=half).startswith("250 ")


def test_who_does_not_say_who_it_is_has_little_time(start_relay: StartRelay) -> None:
    relay = start_relay(unproved=0.8)
    line = relay.line("plain")

    began = time.monotonic()
    while (replied := line.say("EHLO printer")).startswith("250"):
        time.sleep(0.1)

    assert replied == "421 4.4.2 This conversation took too long. Connect again."
    assert time.monotonic() - began < 5


def test_connections_are_limited_for_an_address_and_free_again_once_closed(start_relay: StartRelay) -> None:
    relay = start_relay(connections_per_address=3)
    lines = [relay.line("plain") for _ in range(3)]

    refused = relay.line("plain")
    lines[0].say("QUIT")
    lines[0].close()
    lines[1].say("NOOP")
    again = relay.line("plain")

    assert refused.greeting == "421 4.7.0 Too many connections at once. Close some, or try again later."
    assert again.greeting.startswith("220 ")


def test_who_reads_no_replies_is_not_read_either_and_gets_them_all_later(app: Flask, start_relay: StartRelay) -> None:
    relay = start_relay(idle_commands=1_000_000)
    line, other = relay.line("plain"), relay.line("plain")
    line.send_in_background(b"HELP\r\n" * 200_000)

    replied = other.say("NOOP")

    assert replied == "250 2.0.0 OK"
    assert sum(line.read().startswith("214") for _ in range(200_000)) == 200_000


def all_replies(line: Line) -> list[str]:
    replied = []
    while one := line.read():
        replied.append(one)
    return replied
