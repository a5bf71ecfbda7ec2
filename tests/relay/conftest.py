"""A relay that runs on each database, servers that may use it, and a client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal import audit
from portal.extensions import db
from portal.outbox import bodies
from portal.outbox.models import Message, MessageBody
from portal.relay.limits import Limits
from portal.relay_process import run_relay
from portal.servers import log_ins, saving
from portal.servers.log_ins import NewLogin
from portal.servers.stored import find
from portal.servers.values import ServerValues
from portal.transaction import unit_of_work
from tests.supervisor.groups import until
from tests.supervisor.test_portal_run import free_port

T = TypeVar("T")
SCHEMES = ("starttls", "tls", "plain")
QUICK = replace(Limits(), greeting_wait=0.05, knows_address=0.0, bare_line_wait=0.5, drain=5.0)
CONTENT = b"Subject: Scan\r\nFrom: scanner@contoso.test\r\nTo: ada@contoso.test\r\n\r\nPage one.\r\n"


class Line:
    """A client at one port, which reads a whole reply at a time."""

    def __init__(self, port: int, *, greeting: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket)
        self._buffer = b""
        self.greeting = self.read() if greeting else ""

    def send(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def send_in_background(self, octets: bytes) -> None:
        """For more than the relay takes at once."""
        threading.Thread(target=self.send, args=(octets,), daemon=True).start()

    def say(self, line: str | bytes) -> str:
        """Say one line; the reply to it."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.read()

    def read(self) -> str:
        """The next reply, its lines joined; "" once the relay has closed."""
        lines = []
        while True:
            line = self._line()
            if not line:
                return "\n".join(lines)
            lines.append(line.decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    def hand_over(self, *recipients: str, content: bytes = CONTENT, sender: str = "scanner@contoso.test") -> str:
        """A whole message; the last reply."""
        said = self.say(f"MAIL FROM:<{sender}>")
        for recipient in recipients or ("ada@contoso.test",):
            if said.startswith("250"):
                said = self.say(f"RCPT TO:<{recipient}>")
        if said.startswith("250"):
            said = self.say("DATA")
        if said.startswith("354"):
            self.send(content + b".\r\n")
            said = self.read()
        return said

    def start_tls(self, context: ssl.SSLContext | None = None) -> None:
        assert self.say("STARTTLS").startswith("220")
        self.wrap(context)

    def wrap(self, context: ssl.SSLContext | None = None) -> None:
        self._socket = (context or trusting()).wrap_socket(self._socket)

    @property
    def tls_version(self) -> str | None:
        assert isinstance(self._socket, ssl.SSLSocket)
        return self._socket.version()

    def close(self) -> None:
        self._socket.close()

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            try:
                data = self._socket.recv(65536)
            except ConnectionError:
                return b""
            if not data:
                return b""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        assert line.endswith(b"\r")
        return line[:-1]


def in_a_loop(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What it comes to in an event loop of its own: in the main thread a browser of other tests may have one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


def trusting() -> ssl.SSLContext:
    """A client's context that asks for no authority: the relay's certificate is its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class RunningRelay:
    """The relay of an application, in a thread."""

    def __init__(self, app: Flask, limits: Limits) -> None:
        self.app = app
        self.ports: dict[str, int] = {}
        self._error: BaseException | None = None
        self._lines: list[Line] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(limits,))
        self._thread.start()
        self._ready.wait(20)
        if self._error is not None:
            raise self._error

    def _run(self, limits: Limits) -> None:
        try:
            asyncio.run(self._serve(limits))
        except BaseException as error:  # noqa: BLE001 - for the test's thread to raise
            self._error = error
        self._ready.set()

    async def _serve(self, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        binds = self.app.config["PORTAL"].relay_bind

        def ready(addresses: list[Any]) -> None:
            self.ports = {bind.scheme: one.port for bind, one in zip(binds, addresses, strict=True)}
            self._ready.set()

        await run_relay(self.app, self._stop, limits=limits, on_ready=ready)

    def begin_to_stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.begin_to_stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self._error is None

    def close(self) -> None:
        """Hang up on all lines, and stop."""
        for line in self._lines:
            line.close()
        self.stop()

    def line(self, scheme: str = "starttls", **options: Any) -> Line:
        """A client that is greeted, over TLS where the port begins with it."""
        if scheme == "tls":
            options.setdefault("tls", trusting())
        self._lines.append(Line(self.ports[scheme], **options))
        return self._lines[-1]

    def known_line(self, scheme: str = "plain") -> Line:
        """A client of a network that a server names, that has said EHLO."""
        line = self.line(scheme)
        assert line.say("EHLO printer.contoso.test").startswith("250")
        return line

    @property
    def engine(self) -> Engine:
        with self.app.app_context():
            return db.engine

    def stored(self) -> list[Any]:
        """The messages in the outbox, the oldest first."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(Message.__table__).order_by(Message.created_at)))

    def content(self) -> bytes:
        """Of the only message that is stored."""
        with self.engine.connect() as connection:
            row = connection.execute(select(MessageBody.__table__)).one()
        found = bodies.unpack(row.content, row.coding, message_id=row.message_id, box=self.app.extensions["secret_box"])
        assert isinstance(found, bytes)
        return found


def add_server(app: Flask, name: str = "Scanner", **values: Any) -> UUID:
    """A server that writes as scanner@contoso.test unless told otherwise."""
    given = {"from_address": "scanner@contoso.test", **values}
    with app.app_context(), unit_of_work() as session:
        return saving.create(session, ServerValues(name=name, **given), actor=audit.COMMAND_LINE, now=datetime.now(UTC))


def change_server(app: Flask, server_id: UUID, **values: Any) -> None:
    with app.app_context(), unit_of_work() as session:
        stored = find(session, server_id)
        assert stored is not None
        saving.change(
            session, server_id, replace(stored.values, **values), actor=audit.COMMAND_LINE, now=datetime.now(UTC)
        )


def add_log_in(app: Flask, server_id: UUID, **lists: tuple[str, ...]) -> NewLogin:
    with app.app_context(), unit_of_work() as session:
        box = app.extensions["secret_box"]
        return log_ins.create(session, server_id, box=box, actor=audit.COMMAND_LINE, now=datetime.now(UTC), **lists)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    ports = [free_port() for _ in SCHEMES]
    binds = [f"{scheme}://127.0.0.1:{port}" for scheme, port in zip(SCHEMES, ports, strict=True)]
    return environ | {"PORTAL_RELAY_BIND": ",".join(binds), "PORTAL_PUBLIC_URL": "http://portal.contoso.test"}


StartRelay = Callable[..., RunningRelay]


@pytest.fixture
def start_relay(app: Flask) -> Iterator[StartRelay]:
    running: list[RunningRelay] = []

    def start(**limits: Any) -> RunningRelay:
        running.append(RunningRelay(app, replace(QUICK, **limits)))
        return running[-1]

    yield start
    for relay in running:
        relay.close()


@pytest.fixture
def relay(start_relay: StartRelay) -> RunningRelay:
    return start_relay()


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
__all__ = ["until"]
