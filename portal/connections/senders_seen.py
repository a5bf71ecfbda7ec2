"""What checks saw of a connection's senders: of its From address, and of those that Gmail lists.

It holds until a later check sees anew, and says nothing once the connection is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from portal.connections.models import Connection, SenderSeen
from portal.transports.gmail_senders import ListedSender

Source = Literal["check", "gmail"]
_SAY_SO = frozenset({"sender", "mailbox"})  # the steps that try it


@dataclass(frozen=True)
class SeenSender:
    """`source` is the dry run of a check, or Gmail's own list."""

    address: str
    is_allowed: bool
    source: Source


def senders_seen(session: Session, connection_id: UUID) -> list[SeenSender]:
    """What is known of the connection as it stands; the later in the list counts."""
    found = session.execute(
        select(SenderSeen.address, SenderSeen.is_allowed, SenderSeen.source)
        .join(Connection, Connection.id == SenderSeen.connection_id)
        .where(SenderSeen.connection_id == connection_id, SenderSeen.version == Connection.version)
        .order_by(SenderSeen.source, SenderSeen.address)
    )
    return [SeenSender(address, is_allowed, cast("Source", source)) for address, is_allowed, source in found]


def learn(
    session: Session,
    connection_id: UUID,
    *,
    tried: str,
    steps: Sequence[dict[str, Any]],
    listed: Sequence[ListedSender] | None = None,
) -> None:
    """Keep what the check of a connection, as it stands in this unit of work, saw of the address that it tried.

    `steps` are as they are stored. `listed` is None where nobody was asked, or did not answer: what was known stays.
    """
    said = [step["status"] for step in steps if step["step"] in _SAY_SO]
    if tried and said and said[-1] in {"pass", "fail"}:
        _replace(session, connection_id, "check", {tried: said[-1] == "pass"}.items())
    if listed is not None:
        _replace(session, connection_id, "gmail", {one.address: one.is_allowed for one in listed}.items())


def forget(session: Session, connection_id: UUID) -> None:
    """The consent by which it was seen is gone."""
    session.execute(delete(SenderSeen).where(SenderSeen.connection_id == connection_id))


def _replace(session: Session, connection_id: UUID, source: Source, seen: Iterable[tuple[str, bool]]) -> None:
    version = session.scalar(select(Connection.version).where(Connection.id == connection_id))
    if version is None:  # it was deleted meanwhile
        return
    whose = {"connection_id": connection_id, "source": source}
    session.execute(delete(SenderSeen).filter_by(**whose))
    rows = [whose | {"address": address, "is_allowed": is_allowed, "version": version} for address, is_allowed in seen]
    if rows:
        session.execute(insert(SenderSeen), rows)
