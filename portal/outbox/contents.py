"""What a sender needs of the deliveries in its hand: envelope, From line and content, read in one go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.engine import Connection

from portal.mail.addresses import Mailbox, same_address_key
from portal.mail.message import complete
from portal.outbox import bodies
from portal.outbox.claim import Claimed
from portal.outbox.id_lists import id_list, is_among
from portal.outbox.models import Delivery, Message, MessageBody
from portal.outbox.prepared import Schedule, WayOut
from portal.secret_box import SecretBox, Unreadable
from portal.transports import ConnectionFault, OutgoingMessage, Step


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


@lru_cache(maxsize=4)
def _query(dialect: str) -> Select[*tuple[Any, ...]]:
    return (
        select(*_COLUMNS)
        .join_from(Delivery, Message, Message.id == Delivery.message_id)
        .outerjoin(MessageBody, MessageBody.message_id == Delivery.message_id)
        .where(is_among(Delivery.id, dialect))
    )


Fetched = list[tuple[Claimed, tuple[Any, ...]]]


def fetch(connection: Connection, claimed: Sequence[Claimed]) -> Fetched:
    """The deliveries with their messages as they are stored, in the order given."""
    if not claimed:
        return []
    dialect = connection.dialect.name
    ids = {"ids": id_list((one.id for one in claimed), dialect)}
    rows: dict[int, tuple[Any, ...]] = {row[0]: tuple(row) for row in connection.execute(_query(dialect), ids).all()}
    return [(one, rows[one.id]) for one in claimed if one.id in rows]


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
    if claimed.sender and _stands_in(claimed, way_out) and not _is_any_of(claimed.sender, own, usual):
        return usual
    return claimed.sender


def outgoing(loaded: Loaded, content: bytes, way_out: WayOut) -> OutgoingMessage:
    """The message as it leaves by this way out. Raises ConnectionFault when nothing says whom it is from.

    A fallback may send as nobody but itself, as far as is known: what names another sender leaves as the fallback's
    own, and answers go to whom it named.
    """
    own = author = way_out.from_mailbox
    if loaded.from_address is not None:
        author = _mailbox(loaded.from_address, loaded.from_name or "")
    replaced = None
    if author and own and _stands_in(loaded.claimed, way_out) and not _is_any_of(author.address, own.address):
        author, replaced = own, author
    if author is None:
        raise ConnectionFault(Step.SETTINGS, code="settings.incomplete", seen="no From address is set")
    return OutgoingMessage(
        mail_from=envelope_sender(loaded.claimed, way_out),
        rcpt_to=loaded.rcpt_to,
        content=complete(content, from_mailbox=author, original_from=replaced),
        needs_smtputf8=loaded.needs_smtputf8,
    )


def _stands_in(claimed: Claimed, way_out: WayOut) -> bool:
    """Whether the way out takes the place of another one, rather than being the one that was asked for."""
    return way_out.is_fallback and claimed.route != f"connection:{way_out.connection_id}"


def _is_any_of(address: str, *others: str) -> bool:
    key = same_address_key(address)
    return bool(key) and key in map(same_address_key, others)


@lru_cache(maxsize=256)
def _mailbox(address: str, name: str) -> Mailbox:
    return Mailbox(address, name)
