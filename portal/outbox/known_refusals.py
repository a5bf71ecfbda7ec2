"""What waits because its From was known to be refused on a connection: it is due once people know better."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.outbox import wakeup
from portal.outbox.id_lists import id_list, is_among
from portal.outbox.last_attempts import last_attempt_id
from portal.outbox.models import IS_UNCLAIMED, Attempt, Delivery, Message
from portal.outbox.reasons import SENDER_REFUSED
from portal.outbox.row_locks import locked


def let_go_refused(
    session: Session, connection_id: UUID, is_let_through: Callable[[str], bool], *, now: datetime
) -> None:
    """What this connection was not asked to take is due at once where it now lets the From address through."""
    waiting = (
        select(Delivery.id, Message.from_address)
        .join(Message, Message.id == Delivery.message_id)
        .join(Attempt, Attempt.id == last_attempt_id())
        .where(IS_UNCLAIMED, Delivery.due_at > now)
        .where(Attempt.code == SENDER_REFUSED, Attempt.connection_id == connection_id)
    )
    ids = [number for number, address in session.execute(waiting) if address and is_let_through(address)]
    if not ids:
        return
    connection = session.connection()
    dialect = connection.dialect.name
    due = update(Delivery).where(locked(is_among(Delivery.id, dialect), IS_UNCLAIMED)).values(due_at=now)
    connection.execute(due, {"ids": id_list(ids, dialect)})
    wakeup.wake(session)
