"""The tables of a list of people to invite: who gave it when, and what became of each line."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

_WAITING = text("state = 'waiting'")


class ImportRun(Model):
    """One list. Until it is confirmed nobody of it is added. The actor is a snapshot: a run outlives an account."""

    __tablename__ = "import_run"
    __table_args__ = (CheckConstraint("state in ('draft', 'confirmed', 'done')", name="state"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    state: Mapped[str] = mapped_column(String(16), default="draft", index=True)
    actor_id: Mapped[UUID] = mapped_column(Uuid)
    actor_name: Mapped[str] = mapped_column(String(320))
    actor_address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ImportLine(Model):
    """One line of a list. `reason` is the stored form of the sentence that says why nobody was added."""

    __tablename__ = "import_line"
    __table_args__ = (
        CheckConstraint("state in ('waiting', 'invited', 'known', 'refused')", name="state"),
        Index("ix_import_line_waiting", "run_id", "number", sqlite_where=_WAITING, postgresql_where=_WAITING),
    )

    run_id: Mapped[UUID] = mapped_column(ForeignKey("import_run.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # of the line as it was given, from 1
    state: Mapped[str] = mapped_column(String(16))
    email: Mapped[str] = mapped_column(String(320))  # what was given, at most so much of it
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    phone: Mapped[str] = mapped_column(String(40))
    user_name: Mapped[str] = mapped_column(String(100))
    language: Mapped[str] = mapped_column(String(16))
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
