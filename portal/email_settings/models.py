"""The one row of organisation-wide email settings."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

ONLY_ROW = 1


class EmailSettingsRow(Model):
    """Missing until the first save; every empty text means "not set"."""

    __tablename__ = "email_settings"
    __table_args__ = (
        CheckConstraint(f"id = {ONLY_ROW}", name="only_row"),
        CheckConstraint("format in ('html', 'text')", name="format"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    enabled: Mapped[bool]
    notifications_enabled: Mapped[bool]
    from_address: Mapped[str] = mapped_column(String(320))
    display_name: Mapped[str] = mapped_column(String(200))
    reply_to: Mapped[str] = mapped_column(String(320))
    automatic_bcc: Mapped[str] = mapped_column(String(320))
    administrator_contact: Mapped[str] = mapped_column(Text)
    format: Mapped[str] = mapped_column(String(4))
    people_identifier: Mapped[str] = mapped_column(String(16), default="primary", server_default="primary")
    people_domain: Mapped[str] = mapped_column(String(255), default="", server_default="")  # behind a user name
    custom_attribute: Mapped[str] = mapped_column(String(60), default="", server_default="")  # what it is called
    version: Mapped[int]  # counts saves from 1
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(Text)  # the actor's name as it was then
