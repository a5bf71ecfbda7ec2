"""The table `installation`: one row, which says where this database was at home when its mail was last let go."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, String, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model


class InstallationRow(Model):
    """There is none until the first worker looks: what it finds is taken for the original."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # 1: there is one
    uuid: Mapped[UUID] = mapped_column(Uuid)  # on SQLite in the instance folder, too
    public_url: Mapped[str] = mapped_column(Text)
    database: Mapped[str] = mapped_column(Text)  # place.Place.database
    machine: Mapped[str] = mapped_column(String(64))  # "" where it is not known
    restored_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # since then everything is held
    redirect_to: Mapped[str | None] = mapped_column(String(320))
