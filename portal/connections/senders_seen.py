"""What the newest check of a connection says of senders: of its From address, and of those that Gmail lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.models import Connection, ConnectionCheck
from portal.connections.senders import find_settings, sender_of
from portal.transports.gmail_senders import ListedSender

_SAY_SO = frozenset({"sender", "mailbox"})  # the steps that try it


@dataclass(frozen=True)
class SeenSender:
    """`source` is the dry run of a check, or Gmail's own list."""

    address: str
    is_allowed: bool
    source: Literal["check", "gmail"]


def senders_seen(session: Session, connection_id: UUID) -> list[SeenSender]:
    """What the newest check saw, which says nothing once the connection is changed; the later in the list counts."""
    newest = session.scalars(
        select(ConnectionCheck).where(
            ConnectionCheck.connection_id == connection_id, ConnectionCheck.id.in_(newest_checks())
        )
    ).one_or_none()
    if newest is None:
        return []
    return [*_tried(session, connection_id, newest.steps), *_listed(newest.steps)]


def newest_checks() -> Select[tuple[UUID]]:
    """The ids of the checks that say something of a connection as it stands: one of each, for as long as it stands."""
    place = func.row_number().over(
        partition_by=ConnectionCheck.connection_id, order_by=ConnectionCheck.created_at.desc()
    )
    ended = (
        select(ConnectionCheck.id, place.label("place"))
        .join(Connection, Connection.id == ConnectionCheck.connection_id)
        .where(ConnectionCheck.ended_at.is_not(None), _IS_OF_WHAT_STANDS)
        .subquery()
    )
    return select(ended.c.id).where(ended.c.place == 1)


def with_listed(steps: Sequence[dict[str, Any]], senders: Sequence[ListedSender]) -> list[dict[str, Any]]:
    """A check's stored steps, the last of those that try a sender with what the provider lists."""
    kept = [dict(step) for step in steps]
    tried = [step for step in kept if step["step"] in _SAY_SO]
    if tried and senders:
        tried[-1]["senders"] = [[sender.address, sender.is_allowed] for sender in senders]
    return kept


def _tried(session: Session, connection_id: UUID, steps: Sequence[dict[str, Any]]) -> list[SeenSender]:
    values = find_settings(session, connection_id)
    said = [step["status"] for step in steps if step["step"] in _SAY_SO]
    if values is None or not said or said[-1] not in {"pass", "fail"}:
        return []
    address = sender_of(values, email_settings.load(session)).from_address
    return [SeenSender(address, said[-1] == "pass", "check")] if address else []


def _listed(steps: Sequence[dict[str, Any]]) -> list[SeenSender]:
    return [
        SeenSender(address, is_allowed, "gmail") for step in steps for address, is_allowed in step.get("senders", ())
    ]


# A check that began before the connection was changed saw what was there before, but for the one that changed it.
_IS_OF_WHAT_STANDS = or_(
    ConnectionCheck.created_at >= Connection.changed_at,
    and_(ConnectionCheck.saved == "saved", ConnectionCheck.ended_at >= Connection.changed_at),
)
