"""One connection of the test server: reads commands, answers them as scripted, keeps what was said."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tests.outside.smtp_dialects import PLAIN, Dialect
from tests.outside.smtp_sign_in import SignIn

_CHUNK = 64 * 1024


@dataclass(frozen=True)
class ReceivedMessage:
    """A message that the server took."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes = field(repr=False)  # dots unstuffed, without the final one
    parameters: str  # of MAIL: "SIZE=812 BODY=8BITMIME"
    signed_in_as: str | None
    is_encrypted: bool
    session: int  # the number of its connection, from 1


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the server does at one step instead of its usual answer."""

    verb: str
    reply: str | bytes | None = None
    about: str = ""
    times: int | None = None
    delay: float = 0.0
    drop: str = ""
    is_taken: bool = False
    flood: bytes = b""
    trickle: float = 0.0
    silent: bool = False


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the server is by itself."""

    name: str = "mail.contoso.test"
    accounts: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)  # whose each is; may change while the server runs
    takes_tokens: bool = False
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    dialect: Dialect = PLAIN
    starttls: ssl.SSLContext | None = None
    implicit_tls: ssl.SSLContext | None = None
    pipelining: bool = True
    size: int | None = 35_882_577
    eight_bit: bool = True
    smtputf8: bool = True


class Gone(Exception):
    """The conversation is over: the client went, or a script ends it."""


class Session:
    """Runs in a thread of its own."""

    def __init__(
        self,
        connected: socket.socket,
        *,
        number: int,
        offer: Offer,
        script_for: Callable[[str, str], Script | None],
        keep: Callable[[ReceivedMessage], None],
        stopped: threading.Event,
    ) -> None:
        self.number = number
        self.commands: list[str] = []
        self.bytes_sent = 0
        self.seconds_per_message = 0.0  # before each final dot is answered; a test may change it at any time
        self._socket = connected
        self._offer = offer
        self._script_for = script_for
        self._keep = keep
        self._stopped = stopped
        self._incoming = b""
        self._outgoing = b""
        self._is_encrypted = False
        self._sign_in = self._new_sign_in()
        self._mail_from: str | None = None
        self._rcpt_to: list[str] = []
        self._parameters = ""

    def run(self) -> None:
        try:
            if self._offer.implicit_tls:
                self._encrypt(self._offer.implicit_tls)
            self._converse()
        except (Gone, OSError, ValueError):
            return
        finally:
            self.close()

    def close(self) -> None:
        """End it from either side; may be called from another thread."""
        with suppress(OSError):
            # Not the TLS socket's own: it would pull the session away from under the thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._socket.close()

    def abort(self) -> None:
        """Reset the connection, from another thread: what the client sends from now on is refused."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # A close would wait for the thread that reads; this wakes it, and it closes.
        socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def tell(self, raw: bytes) -> None:
        """Say something unasked, from another thread."""
        self._socket.sendall(raw)

    def _converse(self) -> None:
        self._say("CONNECT", "", f"220 {self._offer.name} ESMTP ready")
        handlers = {"EHLO": self._ehlo, "STARTTLS": self._starttls, "AUTH": self._auth, "MAIL": self._mail}
        handlers |= {"RCPT": self._rcpt, "DATA": self._data, "RSET": self._rset, "QUIT": self._quit}
        while True:
            line = self._line()
            self.commands.append(line)
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if verb in handlers:
                handlers[verb](argument)
            elif verb in {"HELO", "NOOP"}:
                self._say(verb, argument, f"250 {self._offer.name}")
            else:
                self._say(verb, argument, "500 5.5.2 unknown command")

    def _ehlo(self, argument: str) -> None:
        offer = self._offer
        lines = [offer.dialect.hello.format(name=offer.name), *self._extensions()]
        self._say("EHLO", argument, "\r\n".join(f"250-{line}" for line in lines[:-1]) + f"\r\n250 {lines[-1]}")

    def _extensions(self) -> list[str]:
        offer = self._offer
        switched = {"PIPELINING": offer.pipelining, "8BITMIME": offer.eight_bit, "SMTPUTF8": offer.smtputf8}
        switched |= {f"SIZE {offer.size}": offer.size is not None, "AUTH": self._offers_sign_in}
        switched |= {"STARTTLS": bool(offer.starttls) and not self._is_encrypted}
        usual = ("PIPELINING", f"SIZE {offer.size}", "8BITMIME", "SMTPUTF8", "STARTTLS", "AUTH", "ENHANCEDSTATUSCODES")
        named = (name for name in offer.dialect.extensions or usual if switched.get(name, True))
        return [f"AUTH {' '.join(offer.mechanisms)}" if name == "AUTH" else name for name in named]

    @property
    def _offers_sign_in(self) -> bool:
        has_accounts = bool(self._offer.accounts) or self._offer.takes_tokens
        return has_accounts and (self._is_encrypted or not self._offer.starttls)

    def _starttls(self, argument: str) -> None:
        if self._offer.starttls is None or self._is_encrypted:
            self._say("STARTTLS", argument, "502 5.5.1 not offered")
        elif self._say("STARTTLS", argument, "220 2.0.0 begin"):
            self._flush()
            self._incoming = b""
            self._encrypt(self._offer.starttls)
            self._sign_in = self._new_sign_in()

    def _encrypt(self, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(self._socket, server_side=True)
        self._is_encrypted = True

    def _new_sign_in(self) -> SignIn:
        offer = self._offer
        return SignIn(
            accounts=offer.accounts,
            tokens=offer.tokens,
            dialect=offer.dialect,
            write=self._write,
            read=self._sign_in_line,
            token_script=self._token_script,
        )

    def _auth(self, argument: str) -> None:
        mechanism = argument.partition(" ")[0].upper()
        if not self._offers_sign_in or mechanism not in self._offer.mechanisms:
            self._say("AUTH", argument, "504 5.7.4 no such mechanism")
            return
        refusal = self._sign_in.refusal_of(argument)
        script = None if refusal else self._script_for("AUTH", argument)
        if refusal:
            self._write(refusal)
        elif script is not None:
            self._act("AUTH", script, "235 2.7.0 signed in")
        else:
            self._sign_in.converse(argument)

    def _sign_in_line(self) -> str:
        answer = self._line()
        self.commands.append(answer)
        return answer

    def _token_script(self, response: str) -> str | None:
        """Answers the line with the token as scripted, and returns what it said; None for the usual answer."""
        script = self._script_for("TOKEN", response)
        if script is None:
            return None
        self._act("TOKEN", script, self._offer.dialect.signed_in)
        return script.reply.decode() if isinstance(script.reply, bytes) else script.reply or ""

    def _mail(self, argument: str) -> None:
        if (self._offer.accounts or self._offer.takes_tokens) and self._sign_in.signed_in_as is None:
            self._say("MAIL", argument, "530 5.7.0 authentication required")
            return
        path, _, parameters = argument.partition(" ")
        if self._say("MAIL", argument, "250 2.1.0 sender ok"):
            self._mail_from, self._parameters, self._rcpt_to = _address(path), parameters, []

    def _rcpt(self, argument: str) -> None:
        if self._mail_from is None:
            self._say("RCPT", argument, "503 5.5.1 MAIL first")
        elif self._say("RCPT", argument, "250 2.1.5 recipient ok"):
            self._rcpt_to.append(_address(argument))

    def _data(self, argument: str) -> None:
        usual = "354 go ahead" if self._rcpt_to else "554 5.5.1 no valid recipients"
        if not self._say("DATA", argument, usual):
            return
        self._refuse_early()
        message = ReceivedMessage(
            self._mail_from or "",
            tuple(self._rcpt_to),
            self._content(),
            self._parameters,
            self._sign_in.signed_in_as,
            self._is_encrypted,
            self.number,
        )
        self._mail_from, self._rcpt_to = None, []
        script = self._script_for("CONTENT", message.content.decode("utf-8", "replace"))
        # Kept before it is answered: who waits for the answer finds the message.
        if script is None or (script.is_taken if script.drop == "before" else script.reply is None):
            self._keep(message)
        self._act("CONTENT", script, "250 2.0.0 queued")

    def _refuse_early(self) -> None:
        script = self._script_for("BODY", "")
        if script is not None:
            self._flush()
            self._receive()
            self._act("BODY", script, "")

    def _content(self) -> bytes:
        self._flush()
        raw = bytearray(b"\r\n" + self._incoming)
        searched = 0
        while (end := raw.find(b"\r\n.\r\n", searched)) < 0:
            searched = max(0, len(raw) - 4)
            self._incoming = b""
            self._receive()
            raw += self._incoming
        self._incoming = bytes(raw[end + 5 :])
        return bytes(raw[: end + 2]).replace(b"\r\n..", b"\r\n.")[2:]

    def _rset(self, argument: str) -> None:
        self._mail_from, self._rcpt_to = None, []
        self._say("RSET", argument, "250 2.0.0 ok")

    def _quit(self, argument: str) -> None:
        self._say("QUIT", argument, "221 2.0.0 bye")
        self._flush()
        raise Gone

    def _say(self, verb: str, argument: str, usual: str) -> bool:
        """Answer as scripted, or as usual; whether the answer was a yes."""
        return self._act(verb, self._script_for(verb, argument), usual)

    def _act(self, verb: str, script: Script | None, usual: str) -> bool:
        if verb == "CONTENT" and self.seconds_per_message:
            self._flush()
            self._stopped.wait(self.seconds_per_message)
        if script is None:
            self._write(usual)
            return usual[:1] in {"2", "3"}
        if script.delay:
            self._flush()
            self._stopped.wait(script.delay)
        if script.silent:
            self._await_the_end()
        if script.drop == "before":
            self._flush()
            raise Gone
        while script.flood:
            self._send(script.flood)
        reply = usual if script.reply is None else script.reply
        raw = reply if isinstance(reply, bytes) else f"{reply}\r\n".encode()
        self._trickle(raw, script.trickle) if script.trickle else self._queue(raw)
        if script.drop == "after":
            self._flush()
            raise Gone
        return raw[:1] in {b"2", b"3"}

    def _await_the_end(self) -> None:
        self._flush()
        while not self._stopped.is_set() and self._socket.recv(_CHUNK):
            pass
        raise Gone

    def _trickle(self, raw: bytes, seconds: float) -> None:
        self._flush()
        for octet in raw:
            if self._stopped.wait(seconds):
                raise Gone
            self._send(bytes([octet]))

    def _line(self) -> str:
        while b"\n" not in self._incoming:
            self._receive()
        line, _, self._incoming = self._incoming.partition(b"\n")
        return line.removesuffix(b"\r").decode("utf-8", "replace")

    def _receive(self) -> None:
        # Answers to commands that came together leave together (RFC 2920 3.2).
        self._flush()
        chunk = self._socket.recv(_CHUNK)
        if not chunk:
            raise Gone
        self._incoming += chunk

    def _write(self, line: str) -> None:
        self._queue(f"{line}\r\n".encode())

    def _queue(self, raw: bytes) -> None:
        self._outgoing += raw

    def _flush(self) -> None:
        raw, self._outgoing = self._outgoing, b""
        if raw:
            self._send(raw)

    def _send(self, raw: bytes) -> None:
        self._socket.sendall(raw)
        self.bytes_sent += len(raw)


def _address(path: str) -> str:
    return path[path.index("<") + 1 : path.rindex(">")]
