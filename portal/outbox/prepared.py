"""What the outbox is handed: a message whose bytes are built and whose way is decided, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from uuid import UUID

from portal.mail.addresses import Mailbox
from portal.wording import Text


class Lane(StrEnum):
    """Who goes first: secret kinds before all, and one sender slot is never given to bulk."""

    SECRET = "secret"  # noqa: S105 - a lane, not a password
    NORMAL = "normal"
    BULK = "bulk"


class Schedule(StrEnum):
    """When a deferred message is tried again; the figures are in `retry.py`."""

    SECRET = "secret"  # noqa: S105 - a schedule, not a password
    ALERT = "alert"
    NORMAL = "normal"
    BULK = "bulk"
    ONCE = "once"  # a test message: its first refusal or fault is its end


class Priority(IntEnum):
    """The order in which deliveries of one way out are taken."""

    SECRET = 0
    ONCE = 1  # someone is looking at the page of this test message
    NORMAL = 2
    BULK = 3


@dataclass(frozen=True, kw_only=True)
class PreparedMessage:
    """One message with its envelope. `content` has no From line: that is written when it is sent."""

    id: UUID
    kind: str
    is_secret: bool  # its body is sealed, never shown, and erased at an end state
    lane: Lane
    schedule: Schedule
    route: str  # "default", "connection:<uuid>" or "server:<uuid>"
    from_mailbox: Mailbox | None  # None: whatever the way out's own From is
    mail_from: str | None  # envelope; None: the way out's envelope From, else its From address
    rcpt_to: tuple[str, ...]  # every envelope recipient, BCC included, each once
    subject: str  # for lists
    message_id: str  # "<…@…>", fixed now (RFC 5322 3.6.4)
    content: bytes = field(repr=False)
    needs_smtputf8: bool = False
    created_at: datetime
    expires_at: datetime  # nothing is handed over after it
    keep_for: int = 0  # seconds of life that must be left when it is handed over (a reset link: 300)
    held: bool = False  # sending is switched off: it waits until it is on again or expires
    replaces: str | None = None  # waiting messages with the same mark are cancelled: a newer reset mail
    requested_by: UUID | None = None  # the person who asked for it: a test message's sender

    @property
    def deliver_by(self) -> datetime:
        """The last moment at which it may still be handed over."""
        return self.expires_at - timedelta(seconds=self.keep_for)

    @property
    def priority(self) -> Priority:
        return Priority.ONCE if self.schedule is Schedule.ONCE else Priority[self.lane.name]


@dataclass(frozen=True, kw_only=True)
class WayOut:
    """A connection as the worker sees it: plain values, no secret."""

    connection_id: UUID
    version: int  # of its settings: a pooled conversation belongs to one version
    name: str
    from_mailbox: Mailbox | None  # the sender it uses by itself
    envelope_from: str | None
    max_connections: int  # at the same time, of all workers together; 1 or more
    messages_per_minute: int | None  # None: no limit
    is_fallback: bool = False  # it stands in for others, and sends as itself alone


@dataclass(frozen=True)
class WaysOut:
    """The ways out of a route in their order, or none and why.

    A later way is taken only while those before it are paused. Without any way the messages of the route wait
    until they expire; `is_switched_off` makes them `held` meanwhile. A route that names a connection leads to
    its draft too: only test messages take such a route.
    """

    ways: tuple[WayOut, ...] = ()
    code: str = ""  # stable name of the reason: "outbox.no_default"
    reason: Text | None = None
    is_switched_off: bool = False
