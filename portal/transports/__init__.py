"""Ways out: hand one message to a server and report each reply.

Offers the words that every way out shares (steps, replies, reports, errors) and the protocol `Transport`.
Never touches the database or Flask, never decides when to try again, never composes a message.
Standards: RFC 5321, RFC 3463, RFC 6409.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from portal.wording import Text


class Step(StrEnum):
    """Where in a conversation something happened; also the steps of a connection check, in order."""

    SETTINGS = "settings"
    TOKEN = "token"  # noqa: S105 - a step, not a token
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    GREETING = "greeting"
    CAPABILITIES = "capabilities"
    AUTHENTICATE = "authenticate"
    SENDER = "sender"
    RECIPIENT = "recipient"
    DATA = "data"  # the DATA command, up to its 354
    CONTENT = "content"  # from the first byte of the message to the reply to the final dot; no step of a check
    PERMISSIONS = "permissions"
    MAILBOX = "mailbox"


class Reply(NamedTuple):
    """What a server answered: `reply_code` 0 means that no reply came. The text is at most 1,000 characters."""

    code: int
    text: str
    enhanced_status_code: str | None = None  # "5.1.1" (RFC 3463), None where the server sent none

    def __str__(self) -> str:
        parts = [str(self.code), self.enhanced_status_code or "", self.text]
        return " ".join(part for part in parts if part)


class Verdict(StrEnum):
    """What became of one recipient in one attempt."""

    SENT = "sent"  # the next server took responsibility for it
    DEFERRED = "deferred"  # to be tried again
    FAILED = "failed"  # never to be tried again
    UNCERTAIN = "uncertain"  # handed over, but the answer was lost


class RecipientResult(NamedTuple):
    address: str
    verdict: Verdict
    reply: Reply
    code: str = ""  # the diagnosis' stable name, "" where the verdict is SENT


class SendReport(NamedTuple):
    """One result for each recipient of the message, in the order of `rcpt_to`."""

    recipients: tuple[RecipientResult, ...]
    kept: bool = False  # captured: the body is kept for reading, nothing left the portal


@dataclass(frozen=True)
class OutgoingMessage:
    """Envelope (RFC 5321) and complete content (RFC 5322, CRLF lines, no dot-stuffing)."""

    mail_from: str  # "" is the null reverse-path
    rcpt_to: tuple[str, ...]
    content: bytes = field(repr=False)
    needs_smtputf8: bool = False


class TransportError(Exception):
    """Nothing was handed over. `step` says where it ended, `code` is the diagnosis' stable name."""

    def __init__(self, step: Step, *, code: str, reply: Reply | None = None, seen: str = "") -> None:
        super().__init__(f"{step}: {reply or seen or code}")
        self.step = step
        self.code = code
        self.reply = reply
        self.seen = seen  # what happened where there was no reply: "connection refused", a certificate's fault


class TransientError(TransportError):
    """Try again later; the message's own back-off applies."""


class PermanentError(TransportError):
    """This message can never leave this way (too large, needs SMTPUTF8); nothing is wrong with the way out."""


class ConnectionFault(TransportError):
    """The way out itself is at fault (password, certificate, relay name): it fails no message."""


class SenderRefused(TransportError):
    """The server does not let this sender send; other senders on this way out may still."""


class QuotaReached(TransportError):
    """The way out must rest for `retry_after`; no attempt is counted against the message."""

    def __init__(
        self, step: Step, *, code: str, retry_after: timedelta, reply: Reply | None = None, seen: str = ""
    ) -> None:
        super().__init__(step, code=code, reply=reply, seen=seen)
        self.retry_after = retry_after


AccessToken = Callable[[bool], str]
"""Gives the token to sign in with; asked with True another one, since the last was refused. Raises TransportError."""


class Abandoned(Exception):
    """`may_proceed` said no just before the point of no return; nothing was handed over."""


class Transport(Protocol):
    """One way out, opened: holds at most one connection, used by one thread at a time."""

    def send(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> SendReport:
        """Hand over one message. `may_proceed` is asked once, just before the point of no return.

        `following` is the message that the caller means to send next: its envelope may go ahead, of its content
        nothing. Another message, or none, may follow all the same.
        Raises TransientError, PermanentError, ConnectionFault, SenderRefused, QuotaReached or Abandoned:
        then surely nothing was handed over. Once something may have been, the report says so by recipient.
        """

    def close(self) -> None:
        """End the conversation politely; never raises."""


@runtime_checkable
class NonBlockingTransport(Transport, Protocol):
    """A `Transport` that can be left alone while its server thinks, so that one thread may drive several.

    Each message takes `send`, or else `start` and then `advance` until it answers; `finish` goes on, and waits.
    Between `start` and the answer nothing else is called but `fileno` and `close`, which forsakes the message.
    """

    def can_start(self, message: OutgoingMessage) -> bool:
        """Whether all that `advance` does for this message takes no waiting for the server."""

    def start(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> None:
        """Take up a message that `can_start`; the rest as `send`."""

    def advance(self) -> SendReport | None:
        """Go on as far as that takes no waiting; None when it is the server's turn. Raises as `send`."""

    def finish(self) -> SendReport:
        """Go on to the end as `send`, and wait for the server where it must."""

    def fileno(self) -> int:
        """What becomes readable when the server has said something; -1 where nothing but `finish` can go on."""


@dataclass(frozen=True)
class Diagnosis:
    """Why something failed, who can mend it, and how. `code` is stable: scripts rely on it."""

    code: str  # "smtp.bad_credentials", "tls.expired_certificate"
    cause: Text
    who: Text  # who must act
    remedy: Text


class StepStatus(StrEnum):
    PASS = "pass"  # noqa: S105 - a status, not a password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class StepResult:
    """One step of a connection check, as pages and the command line show it."""

    step: Step
    status: StepStatus
    elapsed_ms: int
    seen: Text | str  # what was observed: "TLSv1.3, expires 2027-01-01"; a server's own words as they came
    diagnosis: Diagnosis | None = None  # for FAIL, and for WARN where there is something to do
    transcript: tuple[str, ...] = ()  # "C: EHLO portal.contoso.test", "S: 250 ...", credentials blotted out
