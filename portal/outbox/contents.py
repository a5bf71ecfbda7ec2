"""What a sender needs of the deliveries in its hand, envelope, From line and content: read as they begin to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.engine import Connection

from portal.mail.addresses import Mailbox, same_address_key
from portal.mail.message import complete
from portal.outbox import bodies, chunks, reasons, slices
from portal.outbox.claim import Claimed
from portal.outbox.id_lists import id_list, is_among
from portal.outbox.models import Delivery, Message, MessageBody
from portal.outbox.prepared import Schedule, SenderFate, WayOut
from portal.outbox.ready_statements import ReadyQuery
from portal.secret_box import SecretBox, Unreadable
from portal.transports import ConnectionFault, OutgoingMessage, Step, TransientError


class Loaded(NamedTuple):
    """A claimed delivery with its message. `content` has no From line yet."""

    claimed: Claimed
    kind: str
    is_secret: bool
    schedule: Schedule
    from_address: str | None
    from_name: str | None
    rcpt_to: tuple[str, ...]
    needs_smtputf8: bool
    attempt_number: int  # of the attempts before this one, those that count
    lost_replies: int
    is_part: bool
    content: bytes | Unreadable | None  # None: it was erased

    def __repr__(self) -> str:
        return f"Loaded({self.claimed!r})"  # never the content

    @property
    def is_tried_once(self) -> bool:
        return self.schedule is Schedule.ONCE


_COLUMNS = (
    Delivery.id,
    Message.kind,
    Message.is_secret,
    Message.schedule,
    Message.from_address,
    Message.from_name,
    Delivery.rcpt_to,
    Message.needs_smtputf8,
    Delivery.attempt_number,
    Delivery.lost_replies,
    Delivery.is_part,
    MessageBody.coding,
    MessageBody.content,
)


_STARTING = ReadyQuery(
    lambda dialect: (
        select(*_COLUMNS)
        .join_from(Delivery, Message, Message.id == Delivery.message_id)
        .outerjoin(MessageBody, MessageBody.message_id == Delivery.message_id)
        .where(is_among(Delivery.id, dialect), *slices.MAY_START)
        .order_by(Delivery.id)
        .with_for_update(of=Delivery, key_share=True)
    )
)


Fetched = list[tuple[Claimed, tuple[Any, ...]]]


def start(
    connection: Connection, claimed: Sequence[Claimed], *, owner: str, now: datetime, lease: timedelta
) -> Fetched:
    """Those of the deliveries that may begin to be sent do; with their messages as stored, in the order given."""
    if not claimed:
        return []
    values = {"ids": id_list((one.id for one in claimed), connection.dialect.name), "owner": owner, "now": now}
    rows = {row[0]: row for row in _STARTING.rows(connection, values)}
    slices.start(connection, list(rows), owner=owner, now=now, lease=lease)
    return [(one, _with_chunks(connection, one, rows[one.id])) for one in claimed if one.id in rows]


def _with_chunks(connection: Connection, one: Claimed, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row if row[12] != b"" else (*row[:12], chunks.whole(connection, one.message_id))


def unpack(fetched: Fetched, *, box: SecretBox) -> list[Loaded]:
    """The same with their contents opened; needs no transaction."""
    loaded = []
    for one, row in fetched:
        content: bytes | Unreadable | None = None
        if row[11] is not None:
            content = bodies.unpack(row[12], row[11], message_id=one.message_id, box=box)
        loaded.append(_loaded(one, row, content))
    return loaded


def _loaded(one: Claimed, row: tuple[Any, ...], content: bytes | Unreadable | None) -> Loaded:
    return Loaded(
        claimed=one,
        kind=row[1],
        is_secret=row[2],
        schedule=Schedule(row[3]),
        from_address=row[4],
        from_name=row[5],
        rcpt_to=tuple(row[6]),
        needs_smtputf8=row[7],
        attempt_number=row[8],
        lost_replies=row[9],
        is_part=row[10],
        content=content,
    )


def envelope_sender(claimed: Claimed, way_out: WayOut) -> str:
    """The envelope sender that a delivery has on this way out; "" when neither names one, and for bounces."""
    own = way_out.from_mailbox.address if way_out.from_mailbox else ""
    usual = way_out.envelope_from or own
    if claimed.sender is None:
        return usual
    is_other = bool(claimed.sender) and not _is_any_of(claimed.sender, own, usual)
    if is_other and way_out.sender_fate(claimed.sender, claimed.route) is SenderFate.REPLACED:
        return usual
    return claimed.sender


def outgoing(loaded: Loaded, content: bytes, way_out: WayOut) -> OutgoingMessage:
    """The message as it leaves by this way out. Raises ConnectionFault when nothing says whom it is from.

    What names a sender in whose place the way out's own stands leaves as that, and answers go to whom it named.
    Raises TransientError for a sender that is known to be refused: it waits, since people may change what is known.
    """
    author, replaced = way_out.from_mailbox, None
    if loaded.from_address is not None:
        named = _mailbox(loaded.from_address, loaded.from_name or "")
        match way_out.sender_fate(named.address, loaded.claimed.route):
            case SenderFate.REFUSED:
                raise TransientError(Step.SENDER, code=reasons.SENDER_REFUSED, seen="not tried")
            case SenderFate.REPLACED:
                replaced = named
            case SenderFate.KEPT:
                author = named
    if author is None:
        raise ConnectionFault(Step.SETTINGS, code="settings.incomplete", seen="no From address is set")
    return OutgoingMessage(
        mail_from=envelope_sender(loaded.claimed, way_out),
        rcpt_to=loaded.rcpt_to,
        content=complete(content, from_mailbox=author, original_from=replaced),
        needs_smtputf8=loaded.needs_smtputf8,
    )


def _is_any_of(address: str, *others: str) -> bool:
    key = same_address_key(address)
    return bool(key) and key in map(same_address_key, others)


@lru_cache(maxsize=256)
def _mailbox(address: str, name: str) -> Mailbox:
    return Mailbox(address, name)
