"""Clients that vanish at every stage leave nothing behind: no connection, no memory, no task, no message."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flask import Flask

from portal.accounts import people
from portal.config import BindAddress, RelayBind
from portal.extensions import db
from portal.outbox.accept import Acceptor
from portal.relay.clients import Clients
from portal.relay.intake import Intake
from portal.relay.server import Relay
from portal.relay.tls import Certificates, own_certificate
from tests.relay.conftest import CONTENT, QUICK, SCHEMES, add_server, in_a_loop, on_sqlite

pytestmark = on_sqlite

TIMES = 20  # of each stage
AT_ONCE = 20
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
ENVELOPE = (b"EHLO printer\r\n", b"MAIL FROM:<scanner@contoso.test>\r\n", b"RCPT TO:<ada@contoso.test>\r\n")
LARGE = CONTENT + (b"y" * 98 + b"\r\n") * 4000  # more than one read takes

NOTHING = (0, 0, 0, QUICK.content_in_memory)

Stage = tuple[str, tuple[bytes, ...], bytes]  # port, what is said and answered, what is said last
STAGES: dict[str, Stage] = {
    "unseen": ("plain", (), b""),
    "greeting": ("starttls", (b"",), b""),
    "greeted": ("plain", (b"", b"EHLO printer\r\n"), b""),
    "mid-command": ("plain", (b"", b"EHLO printer\r\n"), b"MAIL FROM:<sca"),
    "envelope": ("plain", (b"", *ENVELOPE), b""),
    "data": ("plain", (b"", *ENVELOPE, b"DATA\r\n"), b""),
    "mid-content": ("plain", (b"", *ENVELOPE, b"DATA\r\n"), LARGE),
    "refused content": ("plain", (b"", *ENVELOPE, b"DATA\r\n"), LARGE + b"bare\nline"),
    "unread replies": ("plain", (b"",), b"HELP\r\n" * 90),
    "STARTTLS": ("starttls", (b"", b"EHLO printer\r\n", b"STARTTLS\r\n"), b""),
    "mid-handshake": ("starttls", (b"", b"EHLO printer\r\n", b"STARTTLS\r\n"), b"\x16\x03\x01\x02\x00\x01\x00"),
    "no handshake": ("tls", (), b"\x16\x03\x01\x02"),
    "no TLS at all": ("tls", (), b"EHLO printer\r\n"),
    "AUTH": ("plain", (b"", b"EHLO printer\r\n", b"AUTH LOGIN\r\n"), b""),
    "mid-AUTH": ("plain", (b"", b"EHLO printer\r\n", b"AUTH LOGIN\r\n", b"c2Nhbm5lcg==\r\n"), b"Z2Vo"),
    "proving": ("plain", (b"", b"EHLO printer\r\n"), b"AUTH PLAIN AHNjYW5uZXIAZ2VoZWlt\r\n"),
}


@asynccontextmanager
async def listening(app: Flask) -> AsyncIterator[tuple[Relay, dict[str, int]]]:
    config, box = app.config["PORTAL"], app.extensions["secret_box"]
    with app.app_context():
        engine = db.engine
    acceptor = Acceptor(engine, box=box)
    intake = Intake(
        engine,
        acceptor,
        host="portal.contoso.test",
        context=app.app_context,
        is_own_person=people.is_taken,
        obstacle=lambda: "",
    )
    certificates = Certificates(own_certificate(config.instance, "127.0.0.1"), None)
    relay = Relay(Clients(engine, box=box), intake, host="portal.contoso.test", certificates=certificates, limits=QUICK)
    addresses = await relay.listen([RelayBind(scheme, BindAddress("127.0.0.1", 0)) for scheme in SCHEMES])
    stop = asyncio.Event()
    serving = asyncio.create_task(relay.serve(stop))
    try:
        yield relay, {scheme: one.port for scheme, one in zip(SCHEMES, addresses, strict=True)}
    finally:
        stop.set()
        await serving
        await asyncio.to_thread(intake.close)
        await asyncio.to_thread(acceptor.close)


async def vanish(port: int, said: tuple[bytes, ...], last: bytes, *, resets: bool) -> None:
    """Hear a reply to each of what is said, then say something and be gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for line in said:
            writer.write(line)
            while (await reader.readline())[3:4] == b"-":
                pass
        writer.write(last)
        if resets:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    except ConnectionError:  # the relay closed first
        pass
    finally:
        writer.transport.abort()


def test_who_vanishes_leaves_nothing_behind(app: Flask) -> None:
    add_server(app, networks=("127.0.0.0/8",), legacy_networks=("127.0.0.0/8",))

    async def run() -> dict[str, tuple[int, ...]]:
        async with listening(app) as (relay, ports):
            left = {}
            for stage, (scheme, said, last) in STAGES.items():
                for start in range(0, TIMES, AT_ONCE):
                    some = range(start, min(start + AT_ONCE, TIMES))
                    gone = (vanish(ports[scheme], said, last, resets=number % 2 == 0) for number in some)
                    await asyncio.wait_for(asyncio.gather(*gone), 20)
                left[stage] = await settled(relay)
            assert len(relay._known) <= 1
            return left

    left = in_a_loop(run)

    assert left == dict.fromkeys(STAGES, NOTHING)


async def settled(relay: Relay) -> tuple[int, ...]:
    """What is left behind, once that is nothing or has had its time."""
    ends_at = relay.loop.time() + 20
    while (left := left_behind(relay)) != NOTHING and relay.loop.time() < ends_at:
        await asyncio.sleep(0.02)
    return left


def left_behind(relay: Relay) -> tuple[int, ...]:
    """Connections, places of addresses, tasks, and octets that contents may still take."""
    return len(relay._connections), relay._open._open.total(), len(relay._tasks), relay._budget._left
