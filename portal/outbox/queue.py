"""add(): a prepared message becomes rows, in the transaction of its cause."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal.outbox import bodies, wakeup
from portal.outbox.models import Delivery, Message, MessageBody
from portal.outbox.prepared import PreparedMessage
from portal.outbox.states import HeldReason, State, may_become
from portal.secret_box import SecretBox


def add(session: Session, prepared: PreparedMessage, *, box: SecretBox) -> UUID:
    """Store a message in the caller's transaction; the worker sees it when that commits. Returns its id.

    Waiting messages with the same `replaces` mark are cancelled. Raises ValueError without recipients.
    """
    if not prepared.rcpt_to:
        raise ValueError("a message without recipients cannot be queued")
    connection = session.connection()
    if prepared.replaces is not None:
        _cancel_replaced(connection, prepared)
    body = bodies.pack(prepared.content, message_id=prepared.id, is_secret=prepared.is_secret, box=box)
    connection.execute(insert(Message), [_message(prepared)])
    connection.execute(insert(MessageBody), [{"message_id": prepared.id, **body}])
    connection.execute(insert(Delivery), [_delivery(prepared)])
    wakeup.notify(connection)
    return prepared.id


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
        "created_at": prepared.created_at,
        "expires_at": prepared.expires_at,
    }


def _delivery(prepared: PreparedMessage) -> dict[str, Any]:
    sender = prepared.mail_from
    if sender is None and prepared.from_mailbox is not None:
        sender = prepared.from_mailbox.address
    return {
        "message_id": prepared.id,
        "state": State.HELD if prepared.held else State.QUEUED,
        "held_reason": HeldReason.SWITCHED_OFF if prepared.held else None,
        "route": prepared.route,
        "priority": prepared.priority,
        "sender": sender,
        "rcpt_to": list(prepared.rcpt_to),
        "size": len(prepared.content),
        "due_at": prepared.created_at,
        "deliver_by": prepared.deliver_by,
    }


def _cancel_replaced(connection: Connection, prepared: PreparedMessage) -> None:
    """A newer reset mail makes the older ones worthless: their links are void."""
    same_mark = select(Message.id).where(Message.replaces == prepared.replaces)
    cancelled = connection.execute(
        update(Delivery)
        .where(Delivery.message_id.in_(same_mark), Delivery.state.in_(may_become(State.CANCELLED)))
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
