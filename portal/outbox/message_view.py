"""A message as pages, the command line and the API show it: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from portal.outbox.states import State
from portal.transports import Reply, Step
from portal.wording import Text


@dataclass(frozen=True)
class AttemptView:
    """One try: where it ended, what the server said, and what became of the recipients by it."""

    at: datetime
    elapsed_ms: int
    status: State
    step: Step
    reply: Reply | None  # None: no reply came; then `seen` may say what happened
    seen: str
    code: str  # the diagnosis' stable name, "" for success
    reason: Text | None  # where the outbox itself has something to say
    connection_id: UUID | None
    connection_name: str


@dataclass(frozen=True)
class RecipientView:
    """One recipient's state, and the last reply to it."""

    address: str
    status: State
    reply: Reply | None
    code: str


@dataclass(frozen=True)
class DeliveryView:
    """The recipients that share a fate."""

    status: State
    recipients: tuple[RecipientView, ...]
    attempts: tuple[AttemptView, ...]  # in the order in which they were made
    next_try_at: datetime | None  # while it waits
    held_because: Text | None
    ended_at: datetime | None


@dataclass(frozen=True)
class MessageView:
    """One message with everything that became of it."""

    id: UUID
    kind: str
    is_secret: bool
    subject: str
    to: tuple[str, ...]
    message_id: str  # the header's
    route: str
    status: State
    captured: bool
    created_at: datetime
    expires_at: datetime
    requested_by: UUID | None
    deliveries: tuple[DeliveryView, ...]

    @property
    def attempts(self) -> tuple[AttemptView, ...]:
        """Of all deliveries, in the order in which they were made."""
        every = (attempt for delivery in self.deliveries for attempt in delivery.attempts)
        return tuple(sorted(every, key=lambda attempt: attempt.at))

    @property
    def recipients(self) -> tuple[RecipientView, ...]:
        return tuple(recipient for delivery in self.deliveries for recipient in delivery.recipients)

    @property
    def is_ended(self) -> bool:
        return all(delivery.ended_at is not None for delivery in self.deliveries)


@dataclass(frozen=True)
class MessageSummary:
    """One line of a list."""

    id: UUID
    kind: str
    is_secret: bool
    subject: str
    to: tuple[str, ...]
    status: State
    captured: bool
    created_at: datetime
