"""What the outbox is handed: a message whose bytes are built and whose way is decided, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, IntEnum, StrEnum
from uuid import UUID

from portal.mail.addresses import Mailbox, same_address_key
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


class SenderFate(Enum):
    """What becomes of the From that a message names on a way out."""

    KEPT = "kept"
    REPLACED = "replaced"  # by the way out's own; answers go to whom the message named
    REFUSED = "refused"  # it is known to be refused there


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
    server_id: UUID | None = None  # the application or device that submitted it
    server_name: str = ""
    key_id: UUID | None = None  # by which it did

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
    is_fallback: bool = False  # it stands in for others, and sends as itself alone, as far as is known
    stands_in_for: frozenset[str] = field(default=frozenset(), compare=False)  # so it does on these routes
    may_send_as: frozenset[str] = frozenset()  # canonical addresses and @domains that it is known to let through
    rewrites: frozenset[str] = frozenset()  # those in whose place its own stands
    refuses: frozenset[str] = frozenset()  # those that it is known not to let through
    redirect_to: str | None = None  # everything goes to this address instead of its recipients

    def stands_in_on(self, route: str) -> bool:
        """Whether it takes the place of another one there, rather than being the one that was asked for."""
        return (self.is_fallback or route in self.stands_in_for) and route != f"connection:{self.connection_id}"

    def sender_fate(self, address: str, route: str) -> SenderFate:
        """What becomes of a From, or an envelope sender, of a message that waits on the route.

        What is known of the address goes before what is known of its domain. Nothing is held against the way out's
        own address. A stand-in sends as itself unless it is known to let the address through.
        """
        stands_in = self.stands_in_on(route)
        if not (stands_in or self.may_send_as or self.rewrites or self.refuses):
            return SenderFate.KEPT
        key, own = same_address_key(address), self.from_mailbox
        if own is not None and key and key == same_address_key(own.address):
            return SenderFate.KEPT
        usual = SenderFate.KEPT if own is None else SenderFate.REPLACED
        for pattern in (key, f"@{key.rpartition('@')[2]}"):
            if pattern in self.may_send_as:
                return SenderFate.KEPT
            if pattern in self.rewrites:
                return usual
            if pattern in self.refuses:
                return SenderFate.REPLACED if stands_in and own is not None else SenderFate.REFUSED
        return usual if stands_in else SenderFate.KEPT


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
