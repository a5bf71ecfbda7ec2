"""A submission server on loopback that does what a test says, and keeps what it was told.

    with SMTPServer(accounts={"relay": "geheim"}, tls="starttls", certificate=authority.issue("127.0.0.1")) as server:
        ...                                      # connect to server.host, server.port
        [message] = server.wait_for_messages(1)
        message.mail_from, message.rcpt_to, message.content, message.signed_in_as, message.is_encrypted

By itself it is a well-behaved server: EHLO, STARTTLS, AUTH PLAIN and LOGIN, MAIL, RCPT, DATA, RSET, NOOP, QUIT, with
PIPELINING, SIZE, 8BITMIME and SMTPUTF8, each of which can be switched off. `tls` is None, "starttls" or "implicit".

`tokens={"ya29.secret": "portal@contoso.test"}` adds AUTH XOAUTH2 and OAUTHBEARER: each token signs in its own account.
`server.tokens` may change at any time, as tokens do that run out. `dialect` makes it speak like somebody else, in its
EHLO and at sign-in: "google" says `334` and JSON before it refuses a token in two lines of `535-5.7.8`, "exchange"
refuses it at once with `535 5.7.3`; both answer a second AUTH with 503.

What it should do otherwise is scripted, before or while it runs, by the step of the conversation (`CONNECT` is the
greeting, `CONTENT` the answer to the final dot). The last script that fits is obeyed:

    server.on("MAIL", "550 5.7.60 no permission to send as this sender")
    server.on("RCPT", "451 4.7.1 greylisted", about="new@")    # only commands that hold this text
    server.on("AUTH", "535 5.7.8 no", times=1)                 # then as usual again
    server.on("TOKEN", "535 5.7.139 no")                       # the answer to the line with the token; b"334 …" waits
    server.on("CONTENT", drop="before")                        # close instead of answering; "after": having answered
    server.on("DATA", delay=0.2)
    server.on("CONNECT", flood=b"220-hello\r\n")               # without end, until the client goes
    server.on("EHLO", trickle=0.05)                            # the usual answer, one byte every 0.05 s
    server.on("CONNECT", silent=True)                          # nothing, until the client goes
    server.on("MAIL", b"raw bytes, as they are")
    server.on("BODY", "552 5.3.4 too big")                     # once the first bytes of the message have come

A message is kept in `messages` when it was answered with a 2xx, or dropped at `CONTENT` after it was complete
(`drop="before"` with `is_taken=True`). `sessions` holds every connection with its `commands`, secrets included;
`commands` is all of them in one list; `connections` counts them; `bytes_sent` counts what left towards clients.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from tests.outside.certificates import ServerCertificate
from tests.outside.smtp_dialects import DIALECTS
from tests.outside.smtp_session import Offer, ReceivedMessage, Script, Session

__all__ = ["ReceivedMessage", "SMTPServer", "Script", "Session"]


STEPS = (
    *("CONNECT", "EHLO", "HELO", "STARTTLS", "AUTH", "TOKEN", "MAIL", "RCPT", "DATA", "BODY", "CONTENT"),
    *("RSET", "NOOP", "QUIT"),
)


class SMTPServer:
    """Listens from `with` to its end, each connection in a thread; see the module for what it can do."""

    def __init__(
        self,
        *,
        accounts: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        dialect: str = "plain",
        tls: str | None = None,
        certificate: ServerCertificate | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        mechanisms: tuple[str, ...] | None = None,
        pipelining: bool = True,
        size: int | None = 35_882_577,
        eight_bit: bool = True,
        smtputf8: bool = True,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if tls and certificate:
            context = certificate.context()
        if tls not in {None, "starttls", "implicit"} or (tls and context is None):
            raise ValueError("tls is None, or starttls or implicit with a certificate or a context")
        self.host = host
        self.port = port
        self.sessions: list[Session] = []
        self.messages: list[ReceivedMessage] = []
        self.tokens = dict(tokens or {})
        speech = DIALECTS[dialect]
        self._offer = Offer(
            accounts=dict(accounts or {}),
            tokens=self.tokens,
            takes_tokens=tokens is not None,
            mechanisms=mechanisms or (speech.mechanisms if tokens is None else speech.mechanisms_with_tokens),
            dialect=speech,
            starttls=context if tls == "starttls" else None,
            implicit_tls=context if tls == "implicit" else None,
            pipelining=pipelining,
            size=size,
            eight_bit=eight_bit,
            smtputf8=smtputf8,
        )
        self._scripts: list[Script] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def on(
        self,
        verb: str,
        reply: str | bytes | None = None,
        *,
        about: str = "",
        times: int | None = None,
        delay: float = 0.0,
        drop: str = "",
        is_taken: bool = False,
        flood: bytes = b"",
        trickle: float = 0.0,
        silent: bool = False,
    ) -> None:
        """Script one step; `times` None is for ever. See the module."""
        if verb not in STEPS or drop not in {"", "before", "after"}:
            raise ValueError(f"{verb!r} is none of {', '.join(STEPS)}, or {drop!r} neither before nor after")
        script = Script(
            verb=verb,
            reply=reply,
            about=about,
            times=times,
            delay=delay,
            drop=drop,
            is_taken=is_taken,
            flood=flood,
            trickle=trickle,
            silent=silent,
        )
        with self._changed:
            self._scripts.append(script)

    def forget_scripts(self) -> None:
        """A well-behaved server again."""
        with self._changed:
            self._scripts.clear()

    @property
    def connections(self) -> int:
        return len(self.sessions)

    @property
    def commands(self) -> list[str]:
        return [command for session in self.sessions for command in session.commands]

    @property
    def bytes_sent(self) -> int:
        return sum(session.bytes_sent for session in self.sessions)

    def wait_for_messages(self, count: int, timeout: float = 30.0) -> list[ReceivedMessage]:
        """All messages, as soon as there are so many. Raises AssertionError after the timeout."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise AssertionError(f"{len(self.messages)} of {count} messages came within {timeout} s")
            return list(self.messages)

    def wait_until_idle(self, timeout: float = 30.0) -> None:
        """Until every connection so far has ended. Raises AssertionError after the timeout."""
        for thread in list(self._threads[1:]):
            thread.join(timeout)
            if thread.is_alive():
                raise AssertionError(f"a conversation is still going on after {timeout} s")

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for session in list(self.sessions):
            session.close()
        for thread in list(self._threads):
            thread.join(30)

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._stopped.is_set():
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(
                connected,
                number=len(self.sessions) + 1,
                offer=self._offer,
                script_for=self._script_for,
                keep=self._keep,
                stopped=self._stopped,
            )
            self.sessions.append(session)
            self._start(session.run)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=f"smtp server {self.port}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _script_for(self, verb: str, argument: str) -> Script | None:
        with self._changed:
            for place in reversed(range(len(self._scripts))):
                script = self._scripts[place]
                if script.verb == verb and script.about in argument and script.times != 0:
                    if script.times is not None:
                        self._scripts[place] = replace(script, times=script.times - 1)
                    return script
        return None

    def _keep(self, message: ReceivedMessage) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
