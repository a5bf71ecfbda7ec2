"""Hostile and broken servers: every reply has a time, a number of lines and a number of bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from time import monotonic

import pytest

from portal.transports import ConnectionFault, TransientError, TransportError
from portal.transports.smtp_wire import Wire, WireFault
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import MakeTransport, always, message

MEBIBYTE = 1024 * 1024


@pytest.fixture
def far_end() -> Iterator[tuple[socket.socket, Wire]]:
    """The server's end of a connection, and the wire at the other."""
    theirs, ours = socket.socketpair()
    wire = Wire(ours, deadline=monotonic() + 30)
    yield theirs, wire
    wire.close()
    theirs.close()


def test_a_reply_of_several_lines_is_one_reply(far_end: tuple[socket.socket, Wire]) -> None:
    theirs, wire = far_end
    theirs.sendall(b"250-mail.contoso.test\r\n250-SIZE 1000\r\n250 PIPELINING\r\n")

    reply = wire.read_reply(seconds=1)

    assert reply.code == 250
    assert reply.lines == [b"mail.contoso.test", b"SIZE 1000", b"PIPELINING"]


def test_replies_that_come_together_are_read_one_by_one(far_end: tuple[socket.socket, Wire]) -> None:
    theirs, wire = far_end
    theirs.sendall(b"250 one\r\n550 two\r\n354 three\r\n")

    codes = [wire.read_reply(seconds=1).code for _ in range(3)]

    assert codes == [250, 550, 354]


@pytest.mark.parametrize("line", [b"250\r\n", b"250 \r\n", b"250 ok\n"])
def test_a_short_or_carelessly_ended_reply_is_still_one(far_end: tuple[socket.socket, Wire], line: bytes) -> None:
    theirs, wire = far_end
    theirs.sendall(line)

    reply = wire.read_reply(seconds=1)

    assert reply.code == 250


@pytest.mark.parametrize(
    "line",
    [
        b"2xx ok\r\n",
        b"abc\r\n",
        b"\r\n",
        b"25\r\n",
        b"199 ok\r\n",
        b"600 ok\r\n",
        b"2500 ok\r\n",
        b"250+ok\r\n",
        b"-ERR unknown command\r\n",
        b"250-one\r\n251 two\r\n",
        "２５０ ok\r\n".encode(),
        b"\x00\x01\x02\xff",
    ],
)
def test_what_is_no_reply_is_named_so(far_end: tuple[socket.socket, Wire], line: bytes) -> None:
    theirs, wire = far_end
    theirs.sendall(line)

    with pytest.raises(WireFault) as caught:
        wire.read_reply(seconds=1)

    assert caught.value.code == "smtp.malformed_reply"


def test_a_complete_line_can_be_too_long_as_well(far_end: tuple[socket.socket, Wire]) -> None:
    theirs, wire = far_end
    theirs.sendall(b"250 " + b"x" * 20_000 + b"\r\n")

    with pytest.raises(WireFault) as caught:
        wire.read_reply(seconds=1)

    assert caught.value.code == "smtp.line_too_long"


def test_a_reply_ends_with_its_time_however_often_a_byte_comes(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONNECT", trickle=0.05)
    started = monotonic()

    with pytest.raises(TransientError) as caught:
        transport_to(server, timeout_seconds=0.4).send(message(), may_proceed=always)

    assert caught.value.code == "network.too_slow"
    assert monotonic() - started < 1.5


def test_the_deadline_of_the_conversation_ends_a_wait_before_its_own_time(
    far_end: tuple[socket.socket, Wire],
) -> None:
    _, wire = far_end
    wire.deadline = monotonic() + 0.1
    started = monotonic()

    with pytest.raises(WireFault) as caught:
        wire.read_reply(seconds=30)

    assert caught.value.code == "network.silence"
    assert monotonic() - started < 1


def test_silence_in_the_middle_of_a_conversation_is_slowness(far_end: tuple[socket.socket, Wire]) -> None:
    theirs, wire = far_end
    theirs.sendall(b"220 hello\r\n")
    wire.read_reply(seconds=1)

    with pytest.raises(WireFault) as caught:
        wire.read_reply(seconds=0.05)

    assert caught.value.code == "network.too_slow"


def test_nothing_is_sent_after_the_deadline(far_end: tuple[socket.socket, Wire]) -> None:
    theirs, wire = far_end
    wire.deadline = monotonic() - 1

    with pytest.raises(WireFault) as caught:
        wire.send(b"MAIL FROM:<>\r\n", seconds=30)

    assert caught.value.code == "network.too_slow"
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_a_server_that_takes_nothing_does_not_hold_the_sender(far_end: tuple[socket.socket, Wire]) -> None:
    _, wire = far_end

    with pytest.raises(WireFault) as caught:
        wire.send(b"x" * 8 * MEBIBYTE, seconds=0.1)

    assert caught.value.code == "network.too_slow"


class CountingSocket(socket.socket):
    """A socket that counts what was read from it."""

    received = 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        chunk = super().recv(size, flags)
        self.received += len(chunk)
        return chunk


@pytest.mark.parametrize(
    ("flood", "code"),
    [
        (b"220-hello, and there is more\r\n" * 200_000, "smtp.endless_reply"),
        (b"220-" + b"x" * 10 * MEBIBYTE, "smtp.line_too_long"),
        ((b"220-" + b"x" * 7000 + b"\r\n") * 1000, "smtp.endless_reply"),
        (b"220 " + b"9" * 10 * MEBIBYTE + b"\r\n", "smtp.line_too_long"),
    ],
    ids=["lines", "a line without end", "long lines", "one long line"],
)
def test_a_flood_is_cut_before_much_of_it_is_read(flood: bytes, code: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = CountingSocket(socket.AF_INET, socket.SOCK_STREAM)
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
    theirs.setblocking(False)
    theirs.send(flood)
    wire = Wire(ours, deadline=monotonic() + 10)

    with pytest.raises(WireFault) as caught:
        wire.read_reply(seconds=5)

    wire.close()
    theirs.close()
    assert caught.value.code == code
    assert ours.received <= 256 * 1024


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
def test_an_endless_reply_at_any_step_is_a_passing_fault(
    server: SMTPServer, transport_to: MakeTransport, verb: str
) -> None:
    server.on(verb, flood=b"250-and so on\r\n" * 1000)
    started = monotonic()

    with pytest.raises(TransientError) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.code == "smtp.endless_reply"
    assert monotonic() - started < 3
    assert server.bytes_sent < 32 * MEBIBYTE


def test_an_ehlo_answer_of_more_than_128_lines_is_cut(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("EHLO", "250-mail.contoso.test\r\n" + "250-X-EXTENSION\r\n" * 200 + "250 SIZE")

    with pytest.raises(TransportError) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.code == "smtp.endless_reply"


def test_a_server_that_says_nothing_is_left_after_the_timeout(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONNECT", silent=True)
    started = monotonic()

    with pytest.raises(TransientError) as caught:
        transport_to(server, timeout_seconds=0.3).send(message(), may_proceed=always)

    assert caught.value.code == "network.silence"
    assert monotonic() - started < 1.5


@pytest.mark.parametrize(
    "banner",
    [
        b"-ERR secret of redis\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 no\r\n",
        b"200 news server ready\r\n",
        b"250 hello\r\n",
        b"334 who\r\n",
    ],
)
def test_another_service_is_told_nothing_and_shows_nothing(
    server: SMTPServer, transport_to: MakeTransport, banner: bytes
) -> None:
    server.on("CONNECT", banner)

    with pytest.raises(ConnectionFault) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.code == "smtp.not_smtp"
    assert banner.decode().strip() not in str(caught.value) + caught.value.seen
    assert server.commands == []
