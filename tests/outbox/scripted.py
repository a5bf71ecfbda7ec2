"""A way out that does what it is told: the outside world at the seam between the outbox and the transports.

`Server` is shared by the transports that are opened to it and remembers what was handed over. A script answers
for one message: a report, an exception, or a function that does something first. Without one it answers 250.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from uuid import UUID

from portal.mail.addresses import Mailbox
from portal.outbox.prepared import WayOut, WaysOut
from portal.transports import (
    Abandoned,
    OutgoingMessage,
    RecipientResult,
    Reply,
    SenderRefused,
    SendReport,
    Step,
    Transport,
    Verdict,
)

ACCEPTED = Reply(250, "2.0.0 queued as 4711")
Script = Callable[[OutgoingMessage, Callable[[], bool]], SendReport]


def report(message: OutgoingMessage, *verdicts: tuple[Verdict, Reply, str], kept: bool = False) -> SendReport:
    """One verdict for each recipient; the last goes for the rest; none: all are sent."""
    given = list(verdicts) or [(Verdict.SENT, ACCEPTED, "")]
    given += [given[-1]] * (len(message.rcpt_to) - len(given))
    return SendReport(
        tuple(
            RecipientResult(address, verdict, reply, code)
            for address, (verdict, reply, code) in zip(message.rcpt_to, given, strict=False)
        ),
        kept=kept,
    )


SENT = (Verdict.SENT, ACCEPTED, "")
DEFERRED = (Verdict.DEFERRED, Reply(450, "mailbox busy", "4.2.0"), "smtp.deferred")
FAILED = (Verdict.FAILED, Reply(550, "no such user", "5.1.1"), "smtp.recipient_unknown")
UNCERTAIN = (Verdict.UNCERTAIN, Reply(0, ""), "network.connection_lost")
CAPTURED = (Verdict.SENT, Reply(250, "captured"), "")


def answers(*verdicts: tuple[Verdict, Reply, str], kept: bool = False) -> Script:
    """A script that asks for the permit and then answers so."""

    def script(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        if not may_proceed():
            raise Abandoned
        return report(message, *verdicts, kept=kept)

    return script


@dataclass
class Server:
    """The far end: its scripts are used in order, then `always`."""

    scripts: deque[Script | Exception] = field(default_factory=deque)
    always: Script | Exception | None = None
    taken: list[OutgoingMessage] = field(default_factory=list)
    tried: list[OutgoingMessage] = field(default_factory=list)
    opened: int = 0
    open_now: int = 0
    most_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def then(self, *scripts: Script | Exception) -> None:
        self.scripts.extend(scripts)

    def open(self, *, non_blocking: bool = False) -> Transport:
        with self.lock:
            self.opened += 1
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        return _NonBlockingConversation(self) if non_blocking else _Conversation(self)

    @property
    def message_ids(self) -> list[str]:
        return [message_id_of(message.content) for message in self.taken]

    @property
    def recipients(self) -> list[str]:
        return [address for message in self.taken for address in message.rcpt_to]


def message_id_of(content: bytes) -> str:
    found = re.search(rb"^Message-ID: (\S+)\r$", content, re.MULTILINE)
    assert found is not None
    return found[1].decode()


class _Conversation:
    def __init__(self, server: Server) -> None:
        self._server = server

    def send(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> SendReport:
        server = self._server
        with server.lock:
            server.tried.append(message)
            script = server.scripts.popleft() if server.scripts else server.always
        if isinstance(script, Exception):
            raise script
        if script is not None:
            answer = script(message, may_proceed)
        else:
            if not may_proceed():
                raise Abandoned
            answer = report(message)
        if any(result.verdict in {Verdict.SENT, Verdict.UNCERTAIN} for result in answer.recipients):
            with server.lock:
                server.taken.append(message)
        return answer

    def close(self) -> None:
        with self._server.lock:
            self._server.open_now -= 1


class _NonBlockingConversation(_Conversation):
    """The script has a thread of its own for each message, so that nobody need wait for it."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._ours, self._theirs = socket.socketpair()
        self._thinking: Future[SendReport] | None = None

    def can_start(self, message: OutgoingMessage) -> bool:
        return True

    def start(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> None:
        thinking = self._thinking = Future()

        def think() -> None:
            try:
                thinking.set_result(self.send(message, may_proceed=may_proceed, following=following))
            except BaseException as error:  # noqa: BLE001 - for whoever asks
                thinking.set_exception(error)
            self._theirs.send(b".")

        threading.Thread(target=think, daemon=True).start()

    def advance(self) -> SendReport | None:
        assert self._thinking is not None
        return self.finish() if self._thinking.done() else None

    def finish(self) -> SendReport:
        assert self._thinking is not None
        thinking, self._thinking = self._thinking, None
        try:
            return thinking.result(60)
        finally:
            self._ours.recv(1)

    def fileno(self) -> int:
        return self._ours.fileno()

    def close(self) -> None:
        super().close()
        self._ours.close()
        if self._thinking is None:
            self._theirs.close()


NOT_YOU = SenderRefused(Step.SENDER, code="microsoft.send_as_denied", reply=Reply(550, "SendAsDenied", "5.7.60"))
MAIN = UUID("00000000-0000-0000-0000-00000000000a")
OTHER = UUID("00000000-0000-0000-0000-00000000000b")


PORTAL = Mailbox("portal@contoso.test", "Contoso Portal")


def way_out(
    connection_id: UUID = MAIN,
    *,
    version: int = 1,
    max_connections: int = 4,
    messages_per_minute: int | None = None,
    from_mailbox: Mailbox | None = PORTAL,
) -> WayOut:
    return WayOut(
        connection_id=connection_id,
        version=version,
        name="main" if connection_id == MAIN else "other",
        from_mailbox=from_mailbox,
        envelope_from=None,
        max_connections=max_connections,
        messages_per_minute=messages_per_minute,
    )


class World:
    """Which route leads to which connections, and the server behind each."""

    def __init__(self) -> None:
        self.servers: dict[UUID, Server] = {MAIN: Server(), OTHER: Server()}
        self.non_blocking = False  # whether transports are, from now on
        self.routes: dict[str, WaysOut] = {
            "default": WaysOut((way_out(),)),
            f"connection:{MAIN}": WaysOut((way_out(),)),
            "server:other": WaysOut((way_out(OTHER),)),
        }

    @property
    def main(self) -> Server:
        return self.servers[MAIN]

    @property
    def other(self) -> Server:
        return self.servers[OTHER]

    def ways_out(self, route: str) -> WaysOut:
        return self.routes.get(route, WaysOut())

    def open_transport(self, way: WayOut) -> Transport:
        return self.servers[way.connection_id].open(non_blocking=self.non_blocking)

    def lead(self, route: str, ways: Iterable[WayOut]) -> None:
        self.routes[route] = WaysOut(tuple(ways))
