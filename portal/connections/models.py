"""Tables: a connection, its sealed secrets and grant, checks of connections, and consents under way."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

_IS_DEFAULT = text("role = 'default'")


class Connection(Model):
    """One way out. Every empty text means "not set" and is inherited where there is something to inherit."""

    __tablename__ = "connection"
    __table_args__ = (
        CheckConstraint("role in ('default', 'fallback', 'available', 'draft')", name="role"),
        Index("uq_connection_one_default", "role", unique=True, sqlite_where=_IS_DEFAULT, postgresql_where=_IS_DEFAULT),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(100))
    name_key: Mapped[str] = mapped_column(String(200), unique=True)  # the name, folded: "Main" and "main" are one
    method: Mapped[str] = mapped_column(String(40))
    role: Mapped[str] = mapped_column(String(20))
    fallback_order: Mapped[int | None]
    version: Mapped[int]  # counts changes from 1; pooled conversations belong to one version
    from_address: Mapped[str] = mapped_column(String(320))
    display_name: Mapped[str] = mapped_column(String(200))
    reply_to: Mapped[str] = mapped_column(String(320))
    envelope_from: Mapped[str] = mapped_column(String(320))
    messages_per_minute: Mapped[int | None]
    max_connections: Mapped[int | None]
    method_values: Mapped[dict[str, Any]] = mapped_column(JSON)  # by method, so that switching drops nothing
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(Text)  # the actor's name as it was then


class ConnectionSecret(Model):
    """A sealed secret. It opens only for the row that it stands in and the destination that it was given for."""

    __tablename__ = "connection_secret"
    __table_args__ = (UniqueConstraint("connection_id", "method", "field"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id", ondelete="CASCADE"))
    method: Mapped[str] = mapped_column(String(40))
    field: Mapped[str] = mapped_column(String(40))  # "password", "client_secret"
    sealed: Mapped[str] = mapped_column(Text)
    stored_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ConnectionGrant(Model):
    """What a provider granted: an access token and what renews it. One for each method, as with secrets.

    Whoever needs a token renews it under the lease, so that many workers ask the provider once.
    """

    __tablename__ = "connection_grant"

    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id", ondelete="CASCADE"), primary_key=True)
    method: Mapped[str] = mapped_column(String(40), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    account: Mapped[str] = mapped_column(String(320))  # who consented; "" for an application's own token
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)  # of the access token
    obtained_at: Mapped[datetime] = mapped_column(UtcDateTime)  # by consent
    renewed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    secret_slot: Mapped[int]  # which of the two secrets the provider took last; 0: none was needed
    dead_code: Mapped[str] = mapped_column(String(100))  # "" while it is good; then why it is not
    dead_said: Mapped[str] = mapped_column(Text)
    dead_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    dead_for: Mapped[str | None] = mapped_column(Text)  # what was asked for then; None: it is dead whatever is asked
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when administrators were told that it is dead
    wait_until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the provider asked not to be asked before


class SecretExpiryWarning(Model):
    """How near the end of an application's secret or certificate was when administrators were last told of it."""

    __tablename__ = "secret_expiry_warning"

    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id", ondelete="CASCADE"), primary_key=True)
    credential: Mapped[str] = mapped_column(String(20), primary_key=True)  # "secret" or "certificate"
    expires_on: Mapped[str] = mapped_column(String(10), primary_key=True)  # RFC 3339 full-date
    days: Mapped[int]  # 30, 14, 7, 1; 0: it has expired
    told_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SenderSeen(Model):
    """A sender that a check saw let through or not, or that the provider lists."""

    __tablename__ = "sender_seen"

    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str] = mapped_column(String(10), primary_key=True)  # "check" or "gmail"
    address: Mapped[str] = mapped_column(String(320), primary_key=True)
    is_allowed: Mapped[bool]
    version: Mapped[int]  # of the connection then: with another one it says nothing


class ConsentFlow(Model):
    """A consent under way: from the click to what the provider answered. Single use, ten minutes.

    `candidate_check_id` holds the values that it is for; the grant stays here, sealed, until it is stored.
    `session_id` is that of the administrator, or what marks the browser of an invited person without one.
    """

    __tablename__ = "consent_flow"
    __table_args__ = (
        CheckConstraint(
            "state in ('started', 'redeeming', 'granted', 'mismatch', 'failed', 'stored', 'cancelled')", name="state"
        ),
        CheckConstraint("purpose in ('connect', 'device', 'admin', 'invited')", name="purpose"),
        Index("ix_consent_flow_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    purpose: Mapped[str] = mapped_column(String(20))
    state_hash: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256 of the state that is in the address
    method: Mapped[str] = mapped_column(String(40))
    connection_id: Mapped[UUID | None] = mapped_column(Uuid)
    form_id: Mapped[UUID | None] = mapped_column(Uuid)  # of a new connection: which of several open forms began it
    candidate_check_id: Mapped[UUID] = mapped_column(Uuid)
    session_id: Mapped[UUID] = mapped_column(Uuid)
    actor_id: Mapped[UUID] = mapped_column(Uuid)
    actor_name: Mapped[str] = mapped_column(String(320))
    actor_address: Mapped[str] = mapped_column(String(64))
    redirect_uri: Mapped[str] = mapped_column(Text)
    sealed: Mapped[str | None] = mapped_column(Text)  # code verifier and nonce, until the callback
    sealed_grant: Mapped[str | None] = mapped_column(Text)
    account: Mapped[str] = mapped_column(String(320))  # who consented
    state: Mapped[str] = mapped_column(String(20))
    code: Mapped[str] = mapped_column(String(100))  # the diagnosis of a failure
    said: Mapped[str] = mapped_column(Text)  # what the provider said
    check_id: Mapped[UUID | None] = mapped_column(Uuid)  # the check that followed, which stores the connection
    invitation_id: Mapped[UUID | None] = mapped_column(Uuid)  # that an invited person came by; it may be gone by now
    next_poll_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # of a device code: not to be asked for before
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ConsentInvitation(Model):
    """A link for the owner of a connection's mailbox, who needs no account here. It goes with its first use.

    The key is the connection's: a new link takes the place of the one before.
    """

    __tablename__ = "consent_invitation"

    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(Uuid, unique=True, default=uuid4)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256 of the token that is in the link
    method: Mapped[str] = mapped_column(String(40))
    mailbox: Mapped[str] = mapped_column(String(320))  # whose owner is invited
    actor_id: Mapped[UUID] = mapped_column(Uuid)  # the administrator who asks
    actor_name: Mapped[str] = mapped_column(String(320))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ConnectionCheck(Model):
    """A check and its candidate: what was typed, saved or not. The candidate goes after use or 15 minutes."""

    __tablename__ = "connection_check"
    __table_args__ = (
        CheckConstraint(
            "state in ('waiting', 'running', 'passed', 'failed', 'cancelled', 'interrupted')", name="state"
        ),
        Index("ix_connection_check_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    connection_id: Mapped[UUID | None] = mapped_column(Uuid)  # None: a new connection; it may be gone by now
    started_from: Mapped[int]  # the connection's version, 0 for a new one
    name: Mapped[str] = mapped_column(String(100))  # of the candidate, which outlives it
    method: Mapped[str] = mapped_column(String(40))
    then: Mapped[str] = mapped_column(String(10))  # "show" or "save"
    candidate: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # None once it is gone
    session_id: Mapped[UUID] = mapped_column(Uuid)  # who asked: only this session may read it
    actor_id: Mapped[UUID] = mapped_column(Uuid)
    actor_name: Mapped[str] = mapped_column(String(320))
    actor_address: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # StepResults in the order in which they ended
    saved: Mapped[str] = mapped_column(String(20))  # "" not asked or not yet, "saved", "conflict", "refused"
    refusal: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # a Text: why it was not saved
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    secrets: Mapped[dict[str, dict[str, str]]] = mapped_column(JSON)  # by field: "action", and "sealed" to replace
    sealed_grant: Mapped[str | None] = mapped_column(Text)  # what somebody consented to for this candidate
