"""One client's connection: its socket, its TLS and its deadlines, around a session."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog

from portal.relay import replies
from portal.relay.content import IncomingContent
from portal.relay.limits import MOST_WAITING
from portal.relay.replies import Reply
from portal.relay.session import Session
from portal.relay.sign_in import Proof
from portal.relay.talk import Ask, Client, StartTLS, Submission

if TYPE_CHECKING:
    from portal.relay.server import Relay

_WRONG_PROOF_PAUSE = 1.0  # seconds
_LINGER = 2.0  # seconds in which what a client still sends is thrown away, so that it reads why it is refused
_log = structlog.get_logger("portal.relay")


class Connection(asyncio.Protocol):
    """Made by the relay for each client; `scheme` is that of the port."""

    def __init__(self, relay: Relay, scheme: str) -> None:
        self.session: Session | None = None
        self.deadline = 0.0
        self._relay = relay
        self._scheme = scheme
        self._loop = relay.loop
        self._limits = relay.limits
        self._address = ""
        self._transport: asyncio.Transport | None = None
        self._ends_at = 0.0  # the whole conversation
        self._steps = -1
        self._pace: tuple[IncomingContent, float, int] | None = None  # what arrived when it was last looked at
        self._is_counted = False
        self._is_reading = True
        self._is_gone = False
        self._early = False  # it talked before it was greeted
        self._asked: Ask | None = None  # what is being seen to

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        now = self._loop.time()
        self.deadline = self._ends_at = now + self._limits.unproved
        if not self._relay.enter(self, self._address):
            self._refuse(replies.TOO_MANY_CONNECTIONS)
            return
        self._is_counted = True
        if self._scheme == "tls":
            self._transport.pause_reading()
        self._relay.keep(self._begin())

    def data_received(self, data: bytes) -> None:
        session = self.session
        if session is None:
            self._early = True
            return
        if self._is_gone or session.is_over:
            return
        session.receive(data)
        self._after()

    def pause_writing(self) -> None:
        if self.session is not None:
            self.session.is_held = True
            self._read(False)

    def resume_writing(self) -> None:
        if self.session is not None and self.session.is_held:
            self.session.is_held = False
            self.session.work()
            self._after()

    def connection_lost(self, _error: Exception | None) -> None:
        self._is_gone = True
        if self._is_counted:
            self._relay.leave(self, self._address)
            self._is_counted = False
        session = self.session
        if session is not None and not isinstance(session.asks, Submission):
            session.reset()  # a submission that is being written gives its memory back when it is answered

    # What the relay calls

    def look_at_clock(self, now: float) -> None:
        """End what takes too long."""
        session = self.session
        if self._is_gone or (now < self.deadline and not self._is_stalled(session, now)):
            return
        if session is None or session.is_over:
            self.abort()
        elif not isinstance(session.asks, Submission):
            if session.is_refusing_line_ends:
                session.output += replies.CONTENT_BARE_LINE_END.encoded()
            session.end(replies.TOO_LONG_AT_IT if now >= self._ends_at else replies.TOO_SLOW)
            self._after()

    def _is_stalled(self, session: Session | None, now: float) -> bool:
        """Whether content comes too slowly for the memory that it takes from others.

        Where there is enough for all it may: a scanner sends page by page.
        """
        if session is None or session.arriving is None or session.asks is not None:
            return False
        content = session.arriving.content
        if self._pace is None or self._pace[0] is not content:
            self._pace = content, now, content.size
        _content, since, before = self._pace
        if now - since < self._limits.pace_looked_at:
            return False
        self._pace = content, now, content.size
        return session.budget.is_scarce and content.size - before < self._limits.slowest_content * (now - since)

    def stop(self) -> None:
        """421 as soon as no message is under way."""
        if self.session is None:
            self.abort()
        else:
            self.session.stop()
            self._after()

    def abort(self) -> None:
        """Close without a word."""
        if self._transport is not None:
            self._transport.abort()

    # The conversation

    async def _begin(self) -> None:
        client = await self._relay.know(self._address)
        if self._is_gone or client is None:
            self._refuse(replies.UNAVAILABLE_AT_ALL)
            return
        if self._scheme == "tls" and not await self._secure(client):
            return
        if client.caller is None and self._scheme != "tls":
            await asyncio.sleep(self._limits.greeting_wait)
        if self._early:
            self._refuse(replies.SENT_TOO_EARLY)
            return
        self.session = self._relay.session(client, self._scheme)
        self._set_end(client)
        self.session.greet()
        if self._relay.is_stopping:
            self.session.stop()
        self._after()

    def _set_end(self, client: Client) -> None:
        limit = self._limits.unproved if client.caller is None else self._limits.session
        self._ends_at = self._loop.time() + limit

    def _after(self) -> None:
        """Send what is to be said, see to what is asked, and set the deadline for what is to come."""
        session, transport = self.session, self._transport
        if session is None or transport is None or self._is_gone:
            return
        if session.output:
            octets = bytes(session.output)
            session.output.clear()
            transport.write(octets)
        if session.is_over:
            self._close()
            return
        self._set_deadline(session)
        if session.asks is not None and session.asks is not self._asked:
            self._asked = session.asks
            self._see_to(session, session.asks)
        is_wanted = not session.is_held and len(session.lines) < MOST_WAITING
        self._read(is_wanted and not isinstance(session.asks, StartTLS))  # what comes next is TLS, and not for us

    def _set_deadline(self, session: Session) -> None:
        now = self._loop.time()
        if session.is_refusing_line_ends:
            self.deadline = min(self.deadline, now + self._limits.bare_line_wait)
        elif session.steps != self._steps:
            limit = self._limits.content if session.is_receiving else self._limits.command
            self.deadline = min(now + limit, self._ends_at)
        self._steps = session.steps

    def _see_to(self, session: Session, ask: Ask) -> None:
        if isinstance(ask, Submission):
            self._relay.submit(ask, self._address, partial(self._submitted, session))
        elif isinstance(ask, StartTLS):
            self._read(False)
            self._relay.keep(self._start_tls(session))
        else:
            self._relay.keep(self._prove(session, ask))

    def _submitted(self, session: Session, reply: Reply) -> None:
        self._asked = None
        if self._is_gone:
            session.reset()
            return
        session.answer(reply)
        self._after()

    async def _prove(self, session: Session, proof: Proof) -> None:
        now = self._loop.time()
        client: Client | None = None
        reply: Reply | None = replies.SIGN_IN_WAIT
        if not self._relay.wrong_proofs.is_over(self._address, now):
            client, reply = await self._relay.prove(self._address, proof)
            if client is None and reply is None:
                self._relay.wrong_proofs.note(self._address, now)
                _log.warning("a sign-in was refused", address=self._address, username=proof.username[:64])
                await asyncio.sleep(_WRONG_PROOF_PAUSE)
        if self._is_gone or session.is_over:  # its time ran out meanwhile
            return
        self._asked = None
        if client is not None:
            self._set_end(client)
        session.signed_in(client, reply)
        self._after()

    async def _start_tls(self, session: Session) -> None:
        if await self._secure(session.client) and not (self._is_gone or session.is_over):
            self._asked = None
            session.is_held = False  # nobody tells of a former transport that it may write again
            session.secured()
            self._after()

    async def _secure(self, client: Client) -> bool:
        if self._transport is None or self._is_gone:
            return False
        context = self._relay.tls_context(is_legacy=client.is_legacy)
        try:
            secured = await self._loop.start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=self._limits.handshake
            )
        except (OSError, ssl.SSLError) as error:
            _log.info("TLS did not come about", address=self._address, error=str(error)[:200])
            self.connection_lost(None)
            return False
        if secured is None or self._is_gone:  # the client left meanwhile
            self.connection_lost(None)
            return False
        self._transport = secured
        self._is_reading = True
        return True

    def _read(self, wanted: bool) -> None:
        transport = self._transport
        if transport is None or wanted == self._is_reading or transport.is_closing():
            return
        self._is_reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _refuse(self, reply: Reply) -> None:
        """Say why, before there is a session."""
        if self._transport is None or self._is_gone:
            return
        if self._scheme != "tls":
            self._transport.write(reply.encoded())
        self._close()

    def _close(self) -> None:
        """Close when what was said is read; a socket that is closed with octets unread says nothing (RFC 1122)."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._is_counted and self._is_reading and transport.can_write_eof():  # one too many must not stay besides
            try:
                transport.write_eof()
            except OSError:  # the client hung up at this moment
                transport.abort()
                return
            self.deadline = min(self.deadline, self._loop.time() + _LINGER)
            self._loop.call_later(_LINGER, transport.close)
        else:
            transport.close()
