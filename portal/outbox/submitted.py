"""What became of the messages that one server submitted: nobody else's, in pages by key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from portal.outbox import history
from portal.outbox.message_view import MessageSummary, MessageView
from portal.outbox.models import HAS_ENDED, Delivery, Message
from portal.outbox.states import State, status_of

LOOKED_AT_ONCE = 5000  # messages that one page looks at, however few of them it is asked for


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which messages: of all recipients one is `to`, some of them in `status`; since a moment."""

    status: State | None = None
    to: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class Page:
    """The newest first. `next` is where the next page begins, None where there is none; a page may be empty before."""

    messages: tuple[MessageSummary, ...]
    next: UUID | None


def find(session: Session, server_id: UUID, message_id: UUID) -> MessageView | None:
    """The server's message with all that became of it; None where it has no such message."""
    is_own = exists().where(Message.id == message_id, Message.server_id == server_id)
    return history.find(session, message_id) if session.scalar(select(is_own)) else None


def page(
    session: Session, server_id: UUID, asked: Asked, *, before: UUID | None, limit: int, look_at: int = LOOKED_AT_ONCE
) -> Page | None:
    """A page of the server's messages; None where `before` is none of them."""
    key = (Message.created_at, Message.id)
    of_server: list[ColumnElement[bool]] = [Message.server_id == server_id]
    if asked.since is not None:
        of_server.append(Message.created_at >= asked.since)
    if before is not None:
        start = session.execute(select(*key).where(Message.id == before, Message.server_id == server_id)).one_or_none()
        if start is None:
            return None
        of_server.append(or_(key[0] < start[0], and_(key[0] == start[0], key[1] < start[1])))
    newest_first = [column.desc() for column in key]
    conditions = _conditions(session, asked)
    looked_at = select(Message.id).where(*of_server).order_by(*newest_first).limit(look_at)
    found = session.execute(
        select(Message.__table__).where(Message.id.in_(looked_at), *conditions).order_by(*newest_first).limit(limit + 1)
    ).all()
    shown = found[:limit]
    if len(found) > limit:
        return Page(_summaries(session, shown), shown[-1].id)
    seen = session.scalars(looked_at).all() if conditions else ()
    return Page(_summaries(session, shown), seen[-1] if len(seen) == look_at else None)


def _summaries(session: Session, rows: Sequence[Any]) -> tuple[MessageSummary, ...]:
    return tuple(history.summaries(session, rows)) if rows else ()


def _conditions(session: Session, asked: Asked) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if asked.status is not None:
        found.append(exists().where(Delivery.message_id == Message.id, Delivery.state == asked.status))
    if asked.to:
        found.append(_is_to(session, asked.to))
    return found


def _is_to(session: Session, address: str) -> ColumnElement[bool]:
    if session.connection().dialect.name == "postgresql":
        each = func.jsonb_array_elements_text(cast(Message.rcpt_to, JSONB)).table_valued("value")
    else:
        each = func.json_each(Message.rcpt_to).table_valued("value")
    return exists(select(each.c.value).where(func.lower(each.c.value) == address.lower()).correlate(Message))


@dataclass(frozen=True, kw_only=True)
class End:
    """How a message of a server ended, as a whole."""

    message_id: UUID
    server_id: UUID
    status: State
    subject: str
    to: tuple[str, ...]
    recipients: tuple[tuple[str, State], ...]
    ended_at: datetime


def ends_of(
    session: Session,
    *,
    servers: Collection[UUID],
    message_ids: Sequence[UUID] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[End]:
    """How the named messages of these servers ended, or all of which a recipient's end came since a moment.

    With `until` only those of which such an end came before it.
    """
    is_asked = [Message.server_id.in_(servers)]
    if message_ids is not None:
        is_asked.append(Message.id.in_(message_ids))
    if since is not None:
        ended = select(Delivery.message_id).where(HAS_ENDED, Delivery.ended_at >= since)
        is_asked.append(Message.id.in_(ended if until is None else ended.where(Delivery.ended_at < until)))
    columns = (Message.id, Message.server_id, Message.subject, Message.rcpt_to)
    query = select(*columns, Delivery.state, Delivery.rcpt_to.label("part"), Delivery.ended_at)
    rows: dict[UUID, list[Any]] = {}
    for row in session.execute(query.join(Delivery, Delivery.message_id == Message.id).where(*is_asked)):
        rows.setdefault(row.id, []).append(row)
    return [_end(parts) for parts in rows.values() if all(part.ended_at is not None for part in parts)]


def _end(parts: Sequence[Any]) -> End:
    first = parts[0]
    return End(
        message_id=first.id,
        server_id=first.server_id,
        status=status_of(State(part.state) for part in parts),
        subject=first.subject,
        to=tuple(first.rcpt_to),
        recipients=tuple((address, State(part.state)) for part in parts for address in part.part),
        ended_at=max(part.ended_at for part in parts),
    )
