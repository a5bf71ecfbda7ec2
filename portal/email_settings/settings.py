"""The organisation's email settings as one frozen value: load it, save it, see who was there in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal import audit
from portal.email_settings.models import ONLY_ROW, EmailSettingsRow
from portal.mail.addresses import parse_address, same_address_key
from portal.mail.header_text import check_header_text
from portal.placeholders import PORTAL_AS_SERVER, filled_in_or_empty, has_placeholder
from portal.wording import N_, Text

FORMATS = ("html", "text")
PEOPLE_IDENTIFIERS = ("primary", "alternative", "user_name", "custom")
LONGEST_CONTACT = 300  # characters
LONGEST_ATTRIBUTE = 60
_ADDRESSES = frozenset({"from_address", "reply_to", "automatic_bcc"})
_WITH_PLACEHOLDERS = ("from_address", "display_name", "reply_to", "automatic_bcc", "administrator_contact")
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
    people_identifier: str = "primary"  # one of PEOPLE_IDENTIFIERS: at which of their addresses people are written to
    people_domain: str = ""  # stands behind the user name
    custom_attribute: str = ""  # what the organisation calls its own attribute of a person


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
    """The settings that hold now, their placeholders filled in: the defaults until the first save."""
    return with_placeholders(load_saved(session).settings)


def with_placeholders(settings: EmailSettings, server: Mapping[str, str] = PORTAL_AS_SERVER) -> EmailSettings:
    """What the settings say where this server sends; what stands for nothing any more counts as not set."""
    typed = {name: getattr(settings, name) for name in _WITH_PLACEHOLDERS}
    filled: dict[str, Any] = {
        name: filled_in_or_empty(text, server) for name, text in typed.items() if has_placeholder(text)
    }
    for name in _ADDRESSES & filled.keys():
        filled[name] = filled[name] if same_address_key(filled[name]) else ""
    return replace(settings, **filled) if filled else settings


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


def check_people_domain(text: str) -> str:
    """The domain in its canonical form; an @ before it may be typed. Raises AddressError."""
    return parse_address(f"name@{text.strip().removeprefix('@')}").rpartition("@")[2]


def check_attribute(text: str) -> str:
    """What an attribute is called. Raises HeaderTextError."""
    return check_header_text(text, limit=LONGEST_ATTRIBUTE)


def why_incomplete(settings: EmailSettings) -> tuple[str, Text] | None:
    """The field that the chosen attribute of a person needs besides, and why; None where it is there."""
    if settings.people_identifier == "user_name" and not settings.people_domain:
        return "people_domain", N_("Type the domain that stands behind the user name, as in contoso.com.")
    if settings.people_identifier == "custom" and not settings.custom_attribute:
        return "custom_attribute", N_("Type what your own attribute is called, as in “Personal number”.")
    return None


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
