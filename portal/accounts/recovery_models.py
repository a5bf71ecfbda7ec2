"""The tables of recovery: how people may get back in, what they answered, which passwords they had."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Integer, String, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

ONLY_ROW = 1


class RecoverySettingsRow(Model):
    """Missing until the first save: the defaults hold then."""

    __tablename__ = "recovery_settings"
    __table_args__ = (
        CheckConstraint(f"id = {ONLY_ROW}", name="only_row"),
        CheckConstraint("means in ('link', 'code', 'both')", name="means"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    identifiers: Mapped[list[str]] = mapped_column(JSON)  # of `address`, `user_name`, `custom`
    means: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int]  # 1 to 999, for a code and for the answers
    questions: Mapped[int]  # that must be answered; 0 switches them off
    captcha: Mapped[bool]
    shortest: Mapped[int]  # characters of a new password
    patterns: Mapped[list[Any]] = mapped_column(JSON)  # [[regular expression, message], …] that each must match
    kept_passwords: Mapped[int]  # former passwords that may not come back; 0 forgets them
    redirect_url: Mapped[str] = mapped_column(Text)  # after success; "" is the sign-in page
    instructions: Mapped[str] = mapped_column(Text)  # shown at /forgot-password
    link_text: Mapped[str] = mapped_column(String(200))  # on the sign-in page; "" is the shipped wording
    success_text: Mapped[str] = mapped_column(Text)
    version: Mapped[int]  # counts saves from 1
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(Text)  # the actor's name as it was then


class SecurityAnswer(Model):
    """A question that a person chose or wrote, and the hash of its answer."""

    __tablename__ = "security_answer"
    __table_args__ = (UniqueConstraint("user_id", "place"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    place: Mapped[int]  # from 1
    question: Mapped[str] = mapped_column(String(300))
    answer_hash: Mapped[str] = mapped_column(String(200))
    answered_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FormerPassword(Model):
    """The hash of a password that a person had before."""

    __tablename__ = "former_password"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    replaced_at: Mapped[datetime] = mapped_column(UtcDateTime)
