"""The organisation's email settings as one frozen value: load it, save it, see who was there in between."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal import audit
from portal.email_settings.models import ONLY_ROW, EmailSettingsRow
from portal.mail.header_text import check_header_text

FORMATS = ("html", "text")
LONGEST_CONTACT = 300  # characters
SUBJECT = "email settings"  # what audit rows call it


@dataclass(frozen=True, kw_only=True)
class EmailSettings:
    """What every connection and message inherits. An empty text means "not set"."""

    enabled: bool = True  # off: messages wait as `held`
    notifications_enabled: bool = True
    from_address: str = ""
    display_name: str = ""
    reply_to: str = ""
    automatic_bcc: str = ""  # for mail of applications and events; never secret kinds, tests or alerts
    administrator_contact: str = ""  # shown to people where mail cannot help them
    format: str = "html"  # one of FORMATS


@dataclass(frozen=True)
class SavedSettings:
    """The stored settings and their version; version 0 means that nothing was saved yet."""

    settings: EmailSettings
    version: int
    changed_at: datetime | None
    changed_by: str


class ChangedMeanwhile(Exception):
    """Somebody saved after the version that a change started from; `present` is what stands now."""

    def __init__(self, present: SavedSettings) -> None:
        super().__init__(f"the email settings are at version {present.version}")
        self.present = present


def load(session: Session) -> EmailSettings:
    """The settings that hold now: the defaults until the first save."""
    return load_saved(session).settings


def load_saved(session: Session) -> SavedSettings:
    """The settings with their version and last change."""
    row = session.get(EmailSettingsRow, ONLY_ROW)
    if row is None:
        return SavedSettings(EmailSettings(), 0, None, "")
    return SavedSettings(_settings_of(row), row.version, row.changed_at, row.changed_by)


def save(
    session: Session,
    settings: EmailSettings,
    *,
    actor: audit.Actor,
    now: datetime,
    expected_version: int | None = None,
) -> None:
    """Store `settings` with an audit row; what is equal already is not a change.

    Raises ChangedMeanwhile when `expected_version` is given and is not the stored one.
    """
    row = _row_for_change(session, now)
    present = SavedSettings(_settings_of(row), row.version, row.changed_at, row.changed_by)
    changes = differences(present.settings, settings)
    if not changes:
        return
    if expected_version is not None and expected_version != present.version:
        raise ChangedMeanwhile(present)
    for name, (_old, new) in changes.items():
        setattr(row, name, new)
    row.version += 1
    row.changed_at = now
    row.changed_by = actor.name
    audit.record(session, action="email_settings.changed", actor=actor, subject=SUBJECT, changes=changes, now=now)


def differences(old: EmailSettings, new: EmailSettings) -> dict[str, tuple[Any, Any]]:
    """Field name -> old and new value, for what differs."""
    pairs = {field.name: (getattr(old, field.name), getattr(new, field.name)) for field in fields(EmailSettings)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def check_contact(text: str) -> str:
    """How people reach an administrator, in their own words. Raises HeaderTextError."""
    return check_header_text(text, limit=LONGEST_CONTACT)


def _settings_of(row: EmailSettingsRow) -> EmailSettings:
    return EmailSettings(**{field.name: getattr(row, field.name) for field in fields(EmailSettings)})


def _row_for_change(session: Session, now: datetime) -> EmailSettingsRow:
    """The row, locked; made with the defaults where it is missing, once even when two save first."""
    defaults = {field.name: field.default for field in fields(EmailSettings)}
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        insert(EmailSettingsRow)
        .values(id=ONLY_ROW, version=0, changed_at=now, changed_by="", **defaults)
        .on_conflict_do_nothing()
    )
    locked = select(EmailSettingsRow).where(EmailSettingsRow.id == ONLY_ROW).with_for_update()
    return session.scalars(locked.execution_options(populate_existing=True)).one()
