"""Tables: a server, its keys, log-ins and use, the routing rules, the sender matrix, and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_HAS_NOT_ENDED = text("ended_at IS NULL")


class Server(Model):
    """An application or device that sends through the portal. What is empty or null is inherited."""

    __tablename__ = "server"
    __table_args__ = (
        CheckConstraint("format in ('', 'html', 'text')", name="format"),
        CheckConstraint("unlisted_sender in ('rewrite', 'refuse')", name="unlisted_sender"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(100))
    name_key: Mapped[str] = mapped_column(String(200), unique=True)  # the name, folded: "Wiki" and "wiki" are one
    description: Mapped[str] = mapped_column(Text)
    is_enabled: Mapped[bool]
    is_exempt: Mapped[bool]  # leaves though the organisation's switch is off
    from_address: Mapped[str] = mapped_column(String(320))
    display_name: Mapped[str] = mapped_column(String(200))
    reply_to: Mapped[str] = mapped_column(String(320))
    automatic_bcc: Mapped[str] = mapped_column(String(320))
    format: Mapped[str] = mapped_column(String(4))
    connection_id: Mapped[UUID | None] = mapped_column(ForeignKey("connection.id", ondelete="SET NULL"))
    fallback_ids: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # of connections, in their order
    messages_per_minute: Mapped[int | None]
    messages_per_day: Mapped[int | None]
    largest_message: Mapped[int | None]  # octets
    most_recipients: Mapped[int | None]
    allowed_senders: Mapped[list[str]] = mapped_column(JSON)  # addresses or @domains besides its own From
    unlisted_sender: Mapped[str] = mapped_column(String(8))  # what becomes of another From
    networks: Mapped[list[str]] = mapped_column(JSON)  # that send without a log-in
    legacy_networks: Mapped[list[str]] = mapped_column(JSON)  # that may use TLS 1.0 and sign in in clear text
    allows_cram_md5: Mapped[bool]
    variables: Mapped[dict[str, str]] = mapped_column(JSON)
    version: Mapped[int]  # counts changes from 1
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(Text)  # the actor's name as it was then
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServerKey(Model):
    """An API key, kept as its SHA-256. A revoked one stays, so that the page tells of it."""

    __tablename__ = "server_key"
    __table_args__ = (
        CheckConstraint("kind in ('live', 'test', 'team')", name="kind"),
        Index("ix_server_key_server_id", "server_id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    server_id: Mapped[UUID] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    shown_start: Mapped[str] = mapped_column(String(16))  # of the key, so that people can tell which it is
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    kind: Mapped[str] = mapped_column(String(8))
    allowed_senders: Mapped[list[str]] = mapped_column(JSON)
    allowed_recipients: Mapped[list[str]] = mapped_column(JSON)
    successor_id: Mapped[UUID | None] = mapped_column(Uuid)  # the key that takes its place
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServerLogin(Model):
    """A relay log-in: a user name and a password, both made by the portal."""

    __tablename__ = "server_login"
    __table_args__ = (Index("ix_server_login_server_id", "server_id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    server_id: Mapped[UUID] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"))
    username: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256 of a password of 100 random bits
    sealed: Mapped[str | None] = mapped_column(Text)  # the password itself, for CRAM-MD5 alone
    allowed_senders: Mapped[list[str]] = mapped_column(JSON)
    allowed_recipients: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(Text)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServerUse(Model):
    """How much of a limit is used up in the window that runs."""

    __tablename__ = "server_use"

    server_id: Mapped[UUID] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"), primary_key=True)
    period: Mapped[str] = mapped_column(String(6), primary_key=True)  # "minute" or "day"
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    taken: Mapped[int]


class RoutingRule(Model):
    """Which connection mail takes that matches; the first rule that matches decides."""

    __tablename__ = "routing_rule"
    __table_args__ = (
        Index("ix_routing_rule_position", "position"),
        {"sqlite_autoincrement": True},  # a number is never given twice: waiting messages name it
    )

    id: Mapped[int] = mapped_column(_NUMBER, Identity(), primary_key=True)
    position: Mapped[int]
    server_id: Mapped[UUID | None] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"))  # None: whichever
    sender: Mapped[str] = mapped_column(String(320))  # an address or @domain; "": whichever
    kind: Mapped[str] = mapped_column(String(40))  # "": whichever
    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SenderPermission(Model):
    """What a person knows of a From address or @domain on a connection; what the portal sees itself is not stored."""

    __tablename__ = "sender_permission"
    __table_args__ = (CheckConstraint("verdict in ('allowed', 'rewritten', 'refused')", name="verdict"),)

    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id", ondelete="CASCADE"), primary_key=True)
    sender: Mapped[str] = mapped_column(String(320), primary_key=True)
    verdict: Mapped[str] = mapped_column(String(10))
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_by: Mapped[str] = mapped_column(Text)


class Webhook(Model):
    """Where a server is told what became of its messages."""

    __tablename__ = "webhook"
    __table_args__ = (Index("ix_webhook_server_id", "server_id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    server_id: Mapped[UUID] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(Text)
    sealed_secret: Mapped[str] = mapped_column(Text)
    is_enabled: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(Text)
    last_success_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_failure_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str] = mapped_column(Text)


class WebhookEvent(Model):
    """One thing to tell one webhook; tried until it was taken or its time is over."""

    __tablename__ = "webhook_event"
    __table_args__ = (
        Index("ix_webhook_event_webhook_id", "webhook_id"),
        Index("ix_webhook_event_due", "due_at", sqlite_where=_HAS_NOT_ENDED, postgresql_where=_HAS_NOT_ENDED),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(40))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int]
    was_taken: Mapped[bool]
    last_error: Mapped[str] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
