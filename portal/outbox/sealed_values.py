"""The sealed contents of secret kinds, for whoever seals them anew with another key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_, func, or_, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import LargeBinary

from portal.outbox import bodies, chunks
from portal.outbox.models import MessageBody
from portal.sealed_columns import CannotOpen, Reseal, SealedTable

_BODY: Table = MessageBody.__table__  # type: ignore[assignment]


def _body(session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    """A content in pieces becomes one piece."""
    if not row.coding.startswith("sealed"):
        return {}
    stored = row.content or chunks.whole(session.connection(), row.message_id)
    try:
        anew = reseal(stored.decode("ascii"), bodies.context_of(row.message_id)).encode()
    except UnicodeDecodeError:
        raise CannotOpen("damaged") from None
    return {"content": anew}


def _drop_pieces(session: Session, row: Row[Any]) -> None:
    if not row.content:
        chunks.drop(session.connection(), [row.message_id])


def _is_stale(key_id: str) -> ColumnElement[bool]:
    start = f"v1.{key_id}.".encode()
    begins = type_coerce(func.substr(_BODY.c.content, 1, len(start)), LargeBinary)
    stands_in_pieces = func.length(_BODY.c.content) == 0
    return and_(_BODY.c.coding.like("sealed%"), or_(stands_in_pieces, begins != start))


SEALED = (
    SealedTable(
        table=_BODY, columns=("content",), sealed_anew=_body, is_stale=_is_stale, on_sealed_anew=_drop_pieces, at_once=4
    ),
)
