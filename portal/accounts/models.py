"""The tables of this room. No secret stands in them: of passwords and tokens they hold only hashes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

_WAITING = text("state = 'waiting'")


class User(Model):
    """A person. `email` is as it was typed and where mail goes; `email_key` is what addresses are compared by."""

    __tablename__ = "user"
    __table_args__ = (CheckConstraint("role in ('admin', 'helpdesk', 'user')", name="role"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(String(320))
    email_key: Mapped[str] = mapped_column(String(640), unique=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    role: Mapped[str] = mapped_column(String(16))
    phone: Mapped[str] = mapped_column(String(40), default="")
    is_disabled: Mapped[bool] = mapped_column(default=False)
    password_hash: Mapped[str | None] = mapped_column(String(200))  # None: nobody can sign in with a password
    password_changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    language: Mapped[str] = mapped_column(String(16), default="en")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class UserSession(Model):
    """One signed-in browser; its cookie holds a random token, this row the token's SHA-256."""

    __tablename__ = "user_session"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    confirmed_at: Mapped[datetime] = mapped_column(UtcDateTime)  # when the password was last given
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(300))


class ResetRequest(Model):
    """Somebody asked for a new password; once answered, also the link that was mailed.

    `email_key` and `role` are the account's when the link was made: a link dies when either has changed.
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


class Setup(Model):
    """The one set-up of this portal: the token printed at the start, and when the set-up was closed for good."""

    __tablename__ = "setup"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
