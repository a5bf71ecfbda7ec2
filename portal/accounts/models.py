"""The tables of this room. No secret stands in them: of passwords and tokens they hold only hashes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import KeptByDatabase, UtcDateTime
from portal.extensions import Model

_WAITING = text("state = 'waiting'")
_SEARCHED = "lower(email_key || ' ' || name || ' ' || user_name)"


class User(Model):
    """A person. `email` is as it was typed and where mail goes; `email_key` is what addresses are compared by."""

    __tablename__ = "user"
    __table_args__ = (
        CheckConstraint("role in ('admin', 'helpdesk', 'user')", name="role"),
        Index("ix_user_name", "name"),
        Index("ix_user_role", "role"),
        Index("ix_user_search", "email_key", "search_key"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(String(320))
    email_key: Mapped[str] = mapped_column(String(640), unique=True)
    user_name: Mapped[str] = mapped_column(String(100), default="", server_default="")
    user_name_key: Mapped[str | None] = mapped_column(
        String(200), unique=True, index=True
    )  # None: there is no user name
    custom_value: Mapped[str] = mapped_column(
        String(320), default="", server_default=""
    )  # of the organisation's own attribute
    custom_key: Mapped[str | None] = mapped_column(String(640), unique=True, index=True)  # None: it has no value
    name: Mapped[str] = mapped_column(String(200), default="")
    role: Mapped[str] = mapped_column(String(16))
    phone: Mapped[str] = mapped_column(String(40), default="")
    is_disabled: Mapped[bool] = mapped_column(default=False)
    password_hash: Mapped[str | None] = mapped_column(String(200))  # None: nobody can sign in with a password
    password_changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    must_reset: Mapped[bool] = mapped_column(
        default=False, server_default=false()
    )  # the password opens nothing until another one is set
    language: Mapped[str] = mapped_column(String(16), default="en")
    time_zone: Mapped[str] = mapped_column(String(64), default="", server_default="")  # of the IANA database; "" is UTC
    last_sign_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    search_key: Mapped[str] = mapped_column(Text, KeptByDatabase(_SEARCHED))  # kept by the database


class UserAddress(Model):
    """Another address of a person besides `user.email`. Until it is validated it is used for nothing.

    A validated address belongs to one person; what is only claimed keeps nobody else from claiming it.
    """

    __tablename__ = "user_address"
    __table_args__ = (
        Index(
            "uq_user_address_validated",
            "address_key",
            unique=True,
            sqlite_where=text("validated_at is not null"),
            postgresql_where=text("validated_at is not null"),
        ),
        UniqueConstraint("user_id", "address_key"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    address: Mapped[str] = mapped_column(String(320))
    address_key: Mapped[str] = mapped_column(String(640))
    becomes_primary: Mapped[bool] = mapped_column(default=False)  # as soon as it is validated
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)
    validated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)  # of the link that validates it
    token_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Invitation(Model):
    """A link by which somebody who was added chooses the first password. One works at a time for each account.

    `email_key` and `role` are the account's when the link was made: it dies when either has changed. So it does when
    its owner is written to at another address than `mailed_to_key`.
    """

    __tablename__ = "invitation"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), unique=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    email_key: Mapped[str] = mapped_column(String(640))
    role: Mapped[str] = mapped_column(String(16))
    invited_by: Mapped[str] = mapped_column(String(320))  # the actor's name as it was then
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    was_mailed: Mapped[bool] = mapped_column(default=False)
    mailed_to_key: Mapped[str | None] = mapped_column(String(640))  # of the address that it was mailed to, if it was


class UserSession(Model):
    """One signed-in browser; its cookie holds a random token, this row the token's SHA-256."""

    __tablename__ = "user_session"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    confirmed_at: Mapped[datetime] = mapped_column(UtcDateTime)  # when the password or a passkey was last given
    signed_in_with: Mapped[str] = mapped_column(
        String(16), default="password", server_default="password"
    )  # password, passkey, provider
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(300))


class ResetRequest(Model):
    """Somebody asked for a new password; once answered, also the link that was mailed.

    `email_key` and `role` are the account's when the link was made: a link dies when either has changed. So it does
    when its owner is written to at another address than `mailed_to_key`.
    """

    __tablename__ = "reset_request"
    __table_args__ = (
        CheckConstraint("state in ('waiting', 'answered', 'refused')", name="state"),
        Index("ix_reset_request_waiting", "requested_at", sqlite_where=_WAITING, postgresql_where=_WAITING),
        Index("ix_reset_request_answered_at", "answered_at"),
        Index("ix_reset_request_user_id_answered_at", "user_id", "answered_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    identifier: Mapped[str] = mapped_column(String(320))  # as typed
    address: Mapped[str] = mapped_column(String(64))  # of the client
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    reason: Mapped[str] = mapped_column(String(32), default="")  # why it was refused
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    email_key: Mapped[str | None] = mapped_column(String(640))
    role: Mapped[str | None] = mapped_column(String(16))
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    void_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    browser_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))  # of the cookie of the browser that asked
    code_mac: Mapped[bytes | None] = mapped_column(LargeBinary(32))  # HMAC-SHA256 of the code, with the request's id
    mailed_to_key: Mapped[str | None] = mapped_column(String(640))  # of the address that the mail went to


class Setup(Model):
    """The one set-up of this portal: the token printed at the start, and when the set-up was closed for good."""

    __tablename__ = "setup"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
