"""The outbox's tables. Changed by this room alone, by Core statements; nothing else writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model
from portal.outbox.states import State

# Written out, not bound: both engines use a partial index only when its condition is repeated literally.
IS_WAITING = text("state IN ('queued', 'deferred')")
IS_UNCLAIMED = text("state IN ('queued', 'deferred') AND lease_until IS NULL")
IS_LEASED = text("lease_until IS NOT NULL")
IS_SWITCHED_OFF = text("held_reason = 'switched_off'")
IS_CAPTURED = text("is_captured")
HAS_ENDED = text("ended_at IS NOT NULL")
IS_UNFINISHED = text("ended_at IS NULL")

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER
_STATES = ", ".join(f"'{state}'" for state in State)


def _partial(name: str, *columns: str, where: Any) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


class Message(Model):
    """What was asked. A row is never changed after it is written."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_created_at", "created_at"),
        _partial("ix_message_replaces", "replaces", where=text("replaces IS NOT NULL")),
        _partial("ix_message_server", "server_id", "created_at", "id", where=text("server_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    is_secret: Mapped[bool] = mapped_column(Boolean)
    schedule: Mapped[str] = mapped_column(String(10))
    route: Mapped[str] = mapped_column(String(60))
    from_address: Mapped[str | None] = mapped_column(String(320))
    from_name: Mapped[str | None] = mapped_column(String(320))
    mail_from: Mapped[str | None] = mapped_column(String(320))
    rcpt_to: Mapped[list[str]] = mapped_column(JSON)
    subject: Mapped[str] = mapped_column(Text)
    message_id: Mapped[str] = mapped_column(String(998))  # the header's, RFC 5322 3.6.4
    needs_smtputf8: Mapped[bool] = mapped_column(Boolean)
    replaces: Mapped[str | None] = mapped_column(String(120))
    requested_by: Mapped[UUID | None] = mapped_column(Uuid)  # a person of a higher room
    server_id: Mapped[UUID | None] = mapped_column(Uuid)  # of a higher room, with its name as it was
    server_name: Mapped[str | None] = mapped_column(String(200))
    key_id: Mapped[UUID | None] = mapped_column(Uuid)  # that submitted it
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class MessageBody(Model):
    """The content, apart, so that a change of state rewrites no bytes. The row goes when the body is erased."""

    __tablename__ = "message_body"
    __table_args__ = (_partial("ix_message_body_erase_after", "erase_after", where=text("erase_after IS NOT NULL")),)

    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id"), primary_key=True)
    coding: Mapped[str] = mapped_column(String(12))  # how `content` is stored: see bodies.py
    content: Mapped[bytes] = mapped_column(LargeBinary)  # empty: it stands in `message_body_chunk`
    erase_after: Mapped[datetime | None] = mapped_column(UtcDateTime)


class MessageBodyChunk(Model):
    """A piece of a large content, written before its message: see chunks.py."""

    __tablename__ = "message_body_chunk"

    message_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)  # from 0
    content: Mapped[bytes] = mapped_column(LargeBinary)


class UnfinishedBody(Model):
    """Says that chunks stand there whose message does not yet; it goes in the transaction that stores the message."""

    __tablename__ = "unfinished_body"
    __table_args__ = (Index("ix_unfinished_body_begun_at", "begun_at"),)

    message_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    begun_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IdempotencyKey(Model):
    """What was answered to a request that named a key, written with its messages: see idempotency.py."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index("ix_idempotency_key_created_at", "created_at"),)

    server_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)  # of a higher room
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256 of what was asked
    message_ids: Mapped[list[str]] = mapped_column(JSON)  # in the order in which they were asked for
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Delivery(Model):
    """The recipients of one message that share a fate; a message begins with one delivery."""

    __tablename__ = "delivery"
    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        Index("ix_delivery_message_id", "message_id"),
        _partial("ix_delivery_due", "route", "priority", "due_at", where=IS_UNCLAIMED),
        _partial("ix_delivery_lease_until", "lease_until", where=IS_LEASED),
        _partial("ix_delivery_deliver_by", "deliver_by", where=IS_UNFINISHED),
        _partial("ix_delivery_switched_off", "route", where=IS_SWITCHED_OFF),
        _partial("ix_delivery_captured", "ended_at", where=IS_CAPTURED),
        _partial("ix_delivery_ended_at", "ended_at", where=HAS_ENDED),
        {"postgresql_with": {"fillfactor": 80}, "sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_NUMBER, Identity(), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id"))
    state: Mapped[str] = mapped_column(String(10))
    route: Mapped[str] = mapped_column(String(60))
    priority: Mapped[int] = mapped_column(SmallInteger)  # prepared.Priority
    sender: Mapped[str | None] = mapped_column(String(320))  # envelope; None: the way out's own
    rcpt_to: Mapped[list[str]] = mapped_column(JSON)
    size: Mapped[int] = mapped_column(Integer)  # octets of the message's content
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deliver_by: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # of an uncertain one: when its rule acts
    lost_leases: Mapped[int] = mapped_column(SmallInteger, default=0)
    lost_replies: Mapped[int] = mapped_column(SmallInteger, default=0)
    attempt_number: Mapped[int] = mapped_column(Integer, default=0)  # attempts that count for the schedule
    held_reason: Mapped[str | None] = mapped_column(String(20))
    is_part: Mapped[bool] = mapped_column(Boolean, default=False)  # other deliveries of the message exist
    is_captured: Mapped[bool] = mapped_column(Boolean, default=False)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Attempt(Model):
    """One try at one delivery. Rows are only added."""

    __tablename__ = "attempt"
    __table_args__ = (Index("ix_attempt_delivery_id", "delivery_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(_NUMBER, Identity(), primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"))
    verdict: Mapped[str] = mapped_column(String(10))  # the state that it led to
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    elapsed_ms: Mapped[int] = mapped_column(Integer)
    step: Mapped[str] = mapped_column(String(16))
    reply_code: Mapped[int] = mapped_column(SmallInteger)  # 0: no reply came
    enhanced_status_code: Mapped[str | None] = mapped_column(String(12))
    reply_text: Mapped[str] = mapped_column(Text)  # at most 1,000 characters
    code: Mapped[str] = mapped_column(String(60))  # the diagnosis' stable name, "" for success
    # Of recipients whose reply differs from the one above: address -> [code, enhanced, text, diagnosis].
    other_replies: Mapped[dict[str, list[Any]] | None] = mapped_column(JSON(none_as_null=True))
    connection_id: Mapped[UUID | None] = mapped_column(Uuid)  # of a higher room, with its name as it was
    connection_name: Mapped[str] = mapped_column(String(200))


class WayOutRecord(Model):
    """Whether a connection may be used now; a row with a `sender` pauses that sender there alone.

    Without a row a way out is ready. `budget` is what all workers share: see pacing.py.
    """

    __tablename__ = "way_out_state"
    __table_args__ = (CheckConstraint("status IN ('ready', 'paused')", name="status"),)

    connection_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    sender: Mapped[str] = mapped_column(String(320), primary_key=True, default="")
    status: Mapped[str] = mapped_column(String(10), default="ready")
    cause: Mapped[str] = mapped_column(String(12), default="")  # pauses.Cause while paused
    code: Mapped[str] = mapped_column(String(60), default="")
    step: Mapped[str] = mapped_column(String(16), default="")
    said: Mapped[str] = mapped_column(Text, default="")  # the reply, or what was seen
    since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_probe_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(Integer, default=0)  # connection failures in a row
    budget: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class JobState(Model):
    """Periodic work, done once across all machines."""

    __tablename__ = "job"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_success_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str] = mapped_column(Text, default="")


class WorkerHeartbeat(Model):
    """One row for each worker that runs; it goes when the worker stops or has long been silent."""

    __tablename__ = "worker_heartbeat"

    owner: Mapped[str] = mapped_column(String(80), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
