"""The table of the audit log. Rows are only added: once sealed, none is changed or removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Identity, Index, Integer, LargeBinary, String, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

_UNSEALED = text("place is null")


class AuditEntry(Model):
    """One act. The actor is an id without a foreign key and a snapshot of the name: entries outlive people."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_subject", "subject"),
        Index("ix_audit_entry_at", "at"),
        Index("ix_audit_entry_actor_id", "actor_id"),
        Index("ix_audit_entry_action", "action", "id"),
        Index("ix_audit_entry_unsealed", "id", sqlite_where=_UNSEALED, postgresql_where=_UNSEALED),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    action: Mapped[str] = mapped_column(String(80))
    actor_id: Mapped[UUID | None] = mapped_column(Uuid)
    actor_name: Mapped[str] = mapped_column(String(320))
    actor_address: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(Text)
    changes: Mapped[dict[str, Any]] = mapped_column(JSON)
    place: Mapped[int | None] = mapped_column(
        BigInteger, unique=True, index=True
    )  # in the chain, from 1; None: not sealed yet
    sealed_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))  # SHA-256 of the hash before it and this entry
