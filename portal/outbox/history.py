"""What became of messages, for pages and the command line: plain values, never a row, never a content but captured.

Contents are not read here, with the one exception of captured mail (`captured_content`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select, true
from sqlalchemy.orm import Session

from portal.outbox import bodies
from portal.outbox.message_view import AttemptView, DeliveryView, MessageSummary, MessageView, RecipientView
from portal.outbox.models import HAS_ENDED, IS_CAPTURED, IS_UNFINISHED, Attempt, Delivery, Message, MessageBody
from portal.outbox.reasons import reason_for, reason_for_hold
from portal.outbox.states import WAITING, State, status_of
from portal.secret_box import SecretBox, Unreadable
from portal.transports import Reply, Step


def find(session: Session, message_id: UUID) -> MessageView | None:
    """The message with its deliveries and attempts; None when there is no such message."""
    message = session.execute(select(Message.__table__).where(Message.id == message_id)).one_or_none()
    if message is None:
        return None
    deliveries = session.execute(
        select(Delivery.__table__).where(Delivery.message_id == message_id).order_by(Delivery.id)
    ).all()
    attempts: dict[int, list[Row[Any]]] = {}
    for attempt in session.execute(
        select(Attempt.__table__).where(Attempt.delivery_id.in_([row.id for row in deliveries])).order_by(Attempt.id)
    ):
        attempts.setdefault(attempt.delivery_id, []).append(attempt)
    return MessageView(
        id=message.id,
        kind=message.kind,
        is_secret=message.is_secret,
        subject=message.subject,
        to=tuple(message.rcpt_to),
        message_id=message.message_id,
        route=message.route,
        status=status_of(State(row.state) for row in deliveries),
        captured=any(row.is_captured for row in deliveries),
        created_at=message.created_at,
        expires_at=message.expires_at,
        requested_by=message.requested_by,
        deliveries=tuple(_delivery(row, attempts.get(row.id, [])) for row in deliveries),
    )


def recent(
    session: Session, *, before: UUID | None = None, limit: int = 50, status: State | None = None
) -> list[MessageSummary]:
    """The newest messages first; the next page begins after the message `before`.

    `status` picks the messages of which some recipients are in that state.
    """
    if status is None:
        return _page(session, true(), before=before, limit=limit)
    has_status = exists().where(Delivery.message_id == Message.id, Delivery.state == status)
    return _page(session, has_status, before=before, limit=limit)


def counts(session: Session, *, since: datetime) -> dict[State, int]:
    """Deliveries by state: all that have not ended, and those that ended at or after `since`."""
    found = {State(row[0]): row[1] for row in session.execute(_counted(IS_UNFINISHED))}
    ended = _counted(HAS_ENDED).where(Delivery.ended_at >= since)
    return found | {State(row[0]): row[1] for row in session.execute(ended)}


def sent_by_server(session: Session, *, since: datetime) -> dict[UUID, int]:
    """How many messages of each server were accepted at or after `since` and have been sent."""
    was_sent = exists().where(Delivery.message_id == Message.id, Delivery.state == State.SENT)
    query = select(Message.server_id, func.count()).where(Message.server_id.is_not(None), Message.created_at >= since)
    counted = session.execute(query.where(was_sent).group_by(Message.server_id))
    return {server_id: count for server_id, count in counted if server_id is not None}


def captured(session: Session, *, before: UUID | None = None, limit: int = 50) -> list[MessageSummary]:
    """Captured messages whose content is still kept, the newest first; pages as in `recent`."""
    kept = exists().where(MessageBody.message_id == Message.id)
    is_captured = Message.id.in_(select(Delivery.message_id).where(IS_CAPTURED))
    return _page(session, and_(is_captured, kept), before=before, limit=limit)


def captured_content(session: Session, message_id: UUID, *, box: SecretBox) -> bytes | Unreadable | None:
    """The complete captured message; None when it was not captured or is erased.

    The caller sees to it that a secret kind is shown only to whom it may be.
    """
    row = session.execute(
        select(MessageBody.coding, MessageBody.content).where(
            MessageBody.message_id == message_id,
            exists().where(Delivery.message_id == message_id, Delivery.is_captured),
        )
    ).one_or_none()
    return None if row is None else bodies.unpack(row.content, row.coding, message_id=message_id, box=box)


def _page(session: Session, which: ColumnElement[bool], *, before: UUID | None, limit: int) -> list[MessageSummary]:
    key = (Message.created_at, Message.id)
    query = select(Message.__table__).where(which).order_by(*(column.desc() for column in key)).limit(limit)
    if before is not None:
        start = session.execute(select(*key).where(Message.id == before)).one_or_none()
        if start is None:
            return []
        query = query.where(or_(key[0] < start[0], and_(key[0] == start[0], key[1] < start[1])))
    return summaries(session, session.execute(query).all())


def _counted(which: Any) -> Any:
    return select(Delivery.state, func.count()).where(which).group_by(Delivery.state)


def summaries(session: Session, messages: Sequence[Row[Any]]) -> list[MessageSummary]:
    """Rows of messages as a list shows them, in their order."""
    states: dict[UUID, list[State]] = {}
    are_captured: set[UUID] = set()
    for row in session.execute(
        select(Delivery.message_id, Delivery.state, Delivery.is_captured).where(
            Delivery.message_id.in_([message.id for message in messages])
        )
    ):
        states.setdefault(row.message_id, []).append(State(row.state))
        if row.is_captured:
            are_captured.add(row.message_id)
    return [
        MessageSummary(
            id=message.id,
            kind=message.kind,
            is_secret=message.is_secret,
            subject=message.subject,
            to=tuple(message.rcpt_to),
            status=status_of(states[message.id]),
            captured=message.id in are_captured,
            created_at=message.created_at,
        )
        for message in messages
    ]


def _delivery(row: Row[Any], attempts: Sequence[Row[Any]]) -> DeliveryView:
    state = State(row.state)
    return DeliveryView(
        status=state,
        recipients=tuple(_recipient(address, state, attempts) for address in row.rcpt_to),
        attempts=tuple(_attempt(attempt) for attempt in attempts),
        next_try_at=row.due_at if state in WAITING else None,
        held_because=reason_for_hold(row.held_reason) if row.held_reason else None,
        ended_at=row.ended_at,
    )


def _recipient(address: str, state: State, attempts: Iterable[Row[Any]]) -> RecipientView:
    reply, code = None, ""
    for attempt in attempts:
        own = (attempt.other_replies or {}).get(address)
        code = own[3] if own else attempt.code
        reply = Reply(own[0], own[2], own[1]) if own else _reply(attempt)
    return RecipientView(address, state, reply, code)


def _attempt(row: Row[Any]) -> AttemptView:
    reply = _reply(row)
    return AttemptView(
        at=row.started_at,
        elapsed_ms=row.elapsed_ms,
        status=State(row.verdict),
        step=Step(row.step),
        reply=reply,
        seen="" if reply else row.reply_text,
        code=row.code,
        reason=reason_for(row.code),
        connection_id=row.connection_id,
        connection_name=row.connection_name,
    )


def _reply(row: Row[Any]) -> Reply | None:
    if row.reply_code == 0:
        return None
    return Reply(row.reply_code, row.reply_text, row.enhanced_status_code)


def waiting_count(session: Session) -> int:
    """How many deliveries have not ended."""
    return session.scalar(select(func.count()).select_from(Delivery).where(IS_UNFINISHED)) or 0
