"""Message contents at rest: compressed when large, sealed for secret kinds, erased when nobody may need them.

`coding` says how the bytes are stored: `plain`, `zlib`, `sealed` or `sealed+zlib`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update
from sqlalchemy.engine import Connection

from portal.outbox import chunks
from portal.outbox.models import Delivery, Message, MessageBody
from portal.outbox.states import ENDED
from portal.secret_box import SecretBox, Unreadable

COMPRESS_ABOVE = 8 * 1024  # octets; below it compressing costs more than it saves
KEEP_CAPTURED_FOR = timedelta(days=7)
LARGEST_CONTENT = 256 * 1024 * 1024  # octets; more than any relay takes, so a damaged row cannot fill the memory
_ENDED = tuple(sorted(ENDED))


def pack(content: bytes, *, message_id: UUID, is_secret: bool, box: SecretBox) -> dict[str, str | bytes]:
    """The columns `coding` and `content` of a body."""
    stored, coding = content, "plain"
    if len(content) > COMPRESS_ABOVE:
        stored, coding = zlib.compress(content, 6), "zlib"
    if is_secret:
        stored = box.seal(stored, context_of(message_id)).encode()
        coding = "sealed" if coding == "plain" else "sealed+zlib"
    return {"coding": coding, "content": stored}


def unpack(stored: bytes, coding: str, *, message_id: UUID, box: SecretBox) -> bytes | Unreadable:
    """The content that `pack` was given, or why it cannot be read. Never raises."""
    if coding == "plain":
        return stored
    opened: bytes | Unreadable = stored
    if coding.startswith("sealed"):
        opened = box.open_bytes(stored.decode("ascii", "replace"), context_of(message_id))
    if isinstance(opened, Unreadable) or not coding.endswith("zlib"):
        return opened
    try:
        return _decompress(opened)
    except (zlib.error, ValueError) as error:
        return Unreadable(f"damaged: {error}")


def _decompress(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(packed, LARGEST_CONTENT)
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError("it is cut off or too large")
    return content


def context_of(message_id: UUID) -> str:
    """What the content of a message is sealed for."""
    return f"message_body.content:{message_id}"


def erase_secrets(connection: Connection, message_ids: Iterable[UUID]) -> None:
    """Erase the bodies of those of the messages that are of a secret kind and have wholly ended.

    A body that is kept for a while (captured mail) has its own end and stays until then.
    """
    ids = tuple(message_ids)
    if not ids:
        return
    is_secret = exists().where(Message.id == MessageBody.message_id, Message.is_secret)
    is_needed = exists().where(Delivery.message_id == MessageBody.message_id, Delivery.state.not_in(_ENDED))
    of_secret_kinds = and_(MessageBody.message_id.in_(ids), MessageBody.erase_after.is_(None), is_secret, ~is_needed)
    _erase(connection, of_secret_kinds)


def _erase(connection: Connection, which: ColumnElement[bool]) -> int:
    erased = connection.scalars(delete(MessageBody).where(which).returning(MessageBody.message_id)).all()
    if erased:
        chunks.drop(connection, erased)
    return len(erased)


def keep_captured(
    connection: Connection, message_id: UUID, complete: bytes, *, is_secret: bool, box: SecretBox, now: datetime
) -> None:
    """Keep what would have left, From line included, for the page of captured mail."""
    packed = pack(complete, message_id=message_id, is_secret=is_secret, box=box)
    connection.execute(
        update(MessageBody)
        .where(MessageBody.message_id == message_id)
        .values(**packed, erase_after=now + KEEP_CAPTURED_FOR)
    )
    chunks.drop(connection, [message_id])


def erase_overdue(connection: Connection, now: datetime, *, at_most: int = 1000) -> int:
    """Erase the bodies whose time is over, and of secret kinds all that can never be sent; returns how many.

    The latter are left by messages that are uncertain when they expire.
    """
    is_over = MessageBody.erase_after <= now
    is_useless = and_(MessageBody.erase_after.is_(None), Message.is_secret, Message.expires_at <= now)
    overdue = (
        select(MessageBody.message_id)
        .join(Message, Message.id == MessageBody.message_id)
        .where(or_(is_over, is_useless))
        .limit(at_most)
    )
    return _erase(connection, MessageBody.message_id.in_(overdue))
