"""add(): a prepared message becomes rows, in the transaction of its cause; store(): many do, as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal.outbox import bodies, wakeup
from portal.outbox.models import Delivery, Message, MessageBody
from portal.outbox.prepared import PreparedMessage
from portal.outbox.ready_statements import ReadyInsert
from portal.outbox.row_locks import locked
from portal.outbox.states import HeldReason, State, may_become
from portal.secret_box import SecretBox

_MESSAGES = ReadyInsert(Message)
_BODIES = ReadyInsert(MessageBody)
_DELIVERIES = ReadyInsert(Delivery)
_UNTRIED = {
    "lease_owner": None,
    "lease_until": None,
    "lost_leases": 0,
    "lost_replies": 0,
    "attempt_number": 0,
    "is_part": False,
    "is_captured": False,
    "ended_at": None,
}


def add(session: Session, prepared: PreparedMessage, *, box: SecretBox) -> UUID:
    """Store a message in the caller's transaction; the worker sees it when that commits. Returns its id.

    Waiting messages with the same `replaces` mark are cancelled. Raises ValueError without recipients.
    """
    store(session.connection(), [pack(prepared, box=box)])
    return prepared.id


class Packed(NamedTuple):
    """A message whose content is ready to be stored."""

    prepared: PreparedMessage
    body: Mapping[str, str | bytes]  # the columns of `bodies.pack`

    @property
    def first_status(self) -> State:
        return State.HELD if self.prepared.held else State.QUEUED


def pack(prepared: PreparedMessage, *, box: SecretBox) -> Packed:
    """Compress and seal, which needs no transaction. Raises ValueError without recipients."""
    if not prepared.rcpt_to:
        raise ValueError("a message without recipients cannot be queued")
    body = bodies.pack(prepared.content, message_id=prepared.id, is_secret=prepared.is_secret, box=box)
    return Packed(prepared, body)


def store(connection: Connection, messages: Sequence[Packed]) -> None:
    """Store messages in this order, and wake the worker when this transaction commits."""
    together: list[Packed] = []
    for message in messages:
        if message.prepared.replaces is not None:
            _insert(connection, together)
            together = []
            _cancel_replaced(connection, message.prepared)
        together.append(message)
    _insert(connection, together)
    wakeup.notify(connection)


def _insert(connection: Connection, messages: Sequence[Packed]) -> None:
    _MESSAGES.add(connection, [_message(one.prepared) for one in messages])
    _BODIES.add(connection, [{"message_id": one.prepared.id, "erase_after": None, **one.body} for one in messages])
    _DELIVERIES.add(connection, [_delivery(one) for one in messages])


def _message(prepared: PreparedMessage) -> dict[str, Any]:
    mailbox = prepared.from_mailbox
    return {
        "id": prepared.id,
        "kind": prepared.kind,
        "is_secret": prepared.is_secret,
        "schedule": prepared.schedule,
        "route": prepared.route,
        "from_address": mailbox.address if mailbox else None,
        "from_name": mailbox.display_name if mailbox else None,
        "mail_from": prepared.mail_from,
        "rcpt_to": list(prepared.rcpt_to),
        "subject": prepared.subject,
        "message_id": prepared.message_id,
        "needs_smtputf8": prepared.needs_smtputf8,
        "replaces": prepared.replaces,
        "requested_by": prepared.requested_by,
        "server_id": prepared.server_id,
        "server_name": prepared.server_name or None,
        "key_id": prepared.key_id,
        "created_at": prepared.created_at,
        "expires_at": prepared.expires_at,
    }


def _delivery(message: Packed) -> dict[str, Any]:
    prepared = message.prepared
    sender = prepared.mail_from
    if sender is None and prepared.from_mailbox is not None:
        sender = prepared.from_mailbox.address
    return {
        "message_id": prepared.id,
        "state": message.first_status,
        "held_reason": HeldReason.SWITCHED_OFF if prepared.held else None,
        "route": prepared.route,
        "priority": prepared.priority,
        "sender": sender,
        "rcpt_to": list(prepared.rcpt_to),
        "size": len(prepared.content),
        "due_at": prepared.created_at,
        "deliver_by": prepared.deliver_by,
        **_UNTRIED,
    }


def _cancel_replaced(connection: Connection, prepared: PreparedMessage) -> None:
    """A newer reset mail makes the older ones worthless: their links are void."""
    same_mark = select(Message.id).where(Message.replaces == prepared.replaces)
    cancelled = connection.execute(
        update(Delivery)
        .where(locked(Delivery.message_id.in_(same_mark), Delivery.state.in_(may_become(State.CANCELLED))))
        .values(
            state=State.CANCELLED,
            held_reason=None,
            lease_owner=None,
            lease_until=None,
            ended_at=prepared.created_at,
        )
        .returning(Delivery.message_id)
    )
    bodies.erase_secrets(connection, {row.message_id for row in cancelled})
