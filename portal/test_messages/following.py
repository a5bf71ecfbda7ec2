"""A test message on its way: its state, the server's words, and on a failure what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from portal import outbox
from portal.connections import Installation, StoredConnection, find, find_sender
from portal.outbox import history
from portal.outbox.message_view import AttemptView, MessageView
from portal.outbox.states import State
from portal.transports import Diagnosis
from portal.transports.diagnosis import Target, all_codes, diagnose
from portal.wording import N_, Text

_STATES: dict[State, tuple[str, Text]] = {
    State.QUEUED: ("busy", N_("Waiting for the worker")),
    State.SENDING: ("busy", N_("Being sent")),
    State.DEFERRED: ("busy", N_("Waiting to be tried again")),
    State.HELD: ("warn", N_("Held")),
    State.UNCERTAIN: ("warn", N_("Handed over, but the answer was lost")),
    State.SENT: ("ok", N_("Sent")),
    State.FAILED: ("bad", N_("Failed")),
    State.EXPIRED: ("bad", N_("Expired")),
    State.CANCELLED: ("off", N_("Cancelled")),
}


@dataclass(frozen=True)
class Followed:
    """A test message as its page shows it. `kind` is the pill's: ok, warn, bad, off or busy."""

    message: MessageView
    kind: str
    label: Text
    connection_name: str  # "" while it has not been tried and the connection is gone
    diagnosis: Diagnosis | None  # of the last attempt, where it did not succeed
    worker_seen_at: datetime | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself: a test message whose answer was lost is not tried again."""
        return self.message.is_ended or self.message.status is State.UNCERTAIN

    @property
    def last_attempt(self) -> AttemptView | None:
        attempts = self.message.attempts
        return attempts[-1] if attempts else None


def follow(session: Session, message_id: UUID, *, installation: Installation) -> Followed | None:
    """The test message with this id; None where there is none, whatever other message has that id."""
    message = history.find(session, message_id)
    if message is None or message.kind != "test":
        return None
    connection = find(session, UUID(message.route.partition(":")[2]), box=installation.box)
    kind, label = _STATES[message.status]
    if message.captured:
        kind, label = "warn", N_("Kept in this portal")
    attempts = message.attempts
    return Followed(
        message=message,
        kind=kind,
        label=label,
        connection_name=attempts[-1].connection_name if attempts else connection.values.name if connection else "",
        diagnosis=_diagnosis(session, attempts[-1], connection) if attempts else None,
        worker_seen_at=outbox.worker_seen_at(session),
    )


def _diagnosis(session: Session, attempt: AttemptView, connection: StoredConnection | None) -> Diagnosis | None:
    """What the table says of the attempt; None for a success, and where the outbox has its own reason."""
    if not attempt.code or attempt.reason is not None or attempt.code not in dict(all_codes()):
        return None
    return diagnose(attempt.step, reply=attempt.reply, code=attempt.code, target=_target(session, connection))


def _target(session: Session, connection: StoredConnection | None) -> Target:
    if connection is None:
        return Target(host="", port=0, security="", auth="", username="", sender="")
    smtp, sender = connection.values.smtp, find_sender(session, connection.id)
    return Target(
        host=smtp.host,
        port=smtp.effective_port,
        security=smtp.security,
        auth=smtp.auth,
        username=smtp.username,
        sender=sender.envelope_from if sender else "",
    )
