"""How people get back in and what a new password must be, as one frozen value: load it, save it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts.password_patterns import Pattern
from portal.accounts.password_rules import SHORTEST
from portal.accounts.recovery_models import ONLY_ROW, RecoverySettingsRow
from portal.wording import N_, Text

MEANS = ("link", "code", "both")
IDENTIFIERS = ("address", "user_name", "custom")
MOST_ATTEMPTS = 999
MOST_QUESTIONS = 10
LEAST_SHORTEST, MOST_SHORTEST = 8, 64  # characters; NIST SP 800-63B 3.1.1.2 asks for no less than 8
MOST_PATTERNS = 5
MOST_KEPT = 24
LONGEST_LINK_TEXT = 100  # characters
LONGEST_TEXT = 1000
LONGEST_URL = 500
SUBJECT = "recovery settings"  # what audit rows call it


@dataclass(frozen=True, kw_only=True)
class RecoverySettings:
    """An empty text means the shipped wording, or nothing where there is none."""

    identifiers: tuple[str, ...] = ("address",)  # of IDENTIFIERS: what people may type
    means: str = "link"  # one of MEANS: what the mail brings
    attempts: int = 5  # in an hour, at a code and at the answers
    questions: int = 0  # that must be answered; 0 switches them off
    captcha: bool = False
    shortest: int = SHORTEST  # characters of a new password
    patterns: tuple[Pattern, ...] = ()  # each must be found in a new password
    kept_passwords: int = 0  # former passwords that may not come back
    redirect_url: str = ""  # after success; "" is the sign-in page
    instructions: str = ""  # at /forgot-password
    link_text: str = ""  # on the sign-in page
    success_text: str = ""

    @property
    def wants_code(self) -> bool:
        return self.means != "link"


@dataclass(frozen=True)
class SavedSettings:
    """The stored settings and their version; version 0 means that nothing was saved yet."""

    settings: RecoverySettings
    version: int
    changed_at: datetime | None
    changed_by: str


class ChangedMeanwhile(Exception):
    """Somebody saved after the version that a change started from; `present` is what stands now."""

    def __init__(self, present: SavedSettings) -> None:
        super().__init__(f"the recovery settings are at version {present.version}")
        self.present = present


class BadRedirect(ValueError):
    """The address leads elsewhere; `reason` says what is taken."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def load(session: Session) -> RecoverySettings:
    """The settings that hold now: the defaults until the first save."""
    return load_saved(session).settings


def load_saved(session: Session) -> SavedSettings:
    """The settings with their version and last change."""
    row = session.get(RecoverySettingsRow, ONLY_ROW)
    return SavedSettings(RecoverySettings(), 0, None, "") if row is None else _saved(row)


def save(
    session: Session,
    settings: RecoverySettings,
    *,
    actor: audit.Actor,
    now: datetime,
    expected_version: int | None = None,
) -> None:
    """Store `settings` with an audit row; what is equal already is not a change.

    Raises ChangedMeanwhile when `expected_version` is given and is not the stored one.
    """
    row = _row_for_change(session, now)
    present = _saved(row)
    changes = differences(present.settings, settings)
    if not changes:
        return
    if expected_version is not None and expected_version != present.version:
        raise ChangedMeanwhile(present)
    for name, value in _stored(settings).items():
        setattr(row, name, value)
    row.version += 1
    row.changed_at = now
    row.changed_by = actor.name
    noted = {name: (shown(old), shown(new)) for name, (old, new) in changes.items()}
    audit.record(session, action="recovery_settings.changed", actor=actor, subject=SUBJECT, changes=noted, now=now)


def differences(old: RecoverySettings, new: RecoverySettings) -> dict[str, tuple[Any, Any]]:
    """Field name -> old and new value, for what differs."""
    pairs = {field.name: (getattr(old, field.name), getattr(new, field.name)) for field in fields(RecoverySettings)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def shown(value: Any) -> Any:
    """A value of a setting as the audit log and the settings file show it: a text, a number, true or false."""
    if isinstance(value, tuple):
        return ", ".join(one.expression if isinstance(one, Pattern) else str(one) for one in value)
    return value


def check_redirect(text: str, *, public_url: str) -> str:
    """Where people go after success: a path of this portal, or an address on its host. Raises BadRedirect."""
    text, own = text.strip(), urlsplit(public_url)
    if text and (len(text) > LONGEST_URL or not _leads_here(text, own)):
        raise BadRedirect(
            N_(
                "Only addresses of this host are taken: a path such as /welcome, or an address that begins with "
                "%(own)s.",
                own=f"{own.scheme}://{own.hostname}",
            )
        )
    return text


def _leads_here(text: str, own: SplitResult) -> bool:
    """Browsers take a backslash for a slash, and any number of slashes at the start for two."""
    if not text.isprintable() or " " in text or "\\" in text or text.startswith("//"):
        return False
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port  # the port is read only so that an impossible one is found
    except ValueError:
        return False
    is_path = not parts.scheme and not parts.netloc and parts.path.startswith("/")
    is_own = parts.scheme == own.scheme and host == own.hostname and "@" not in parts.netloc
    return (is_path or is_own) and "//" not in parts.path


def _saved(row: RecoverySettingsRow) -> SavedSettings:
    values = {field.name: getattr(row, field.name) for field in fields(RecoverySettings)}
    values["identifiers"] = tuple(row.identifiers)
    values["patterns"] = tuple(Pattern(*pair) for pair in row.patterns)
    return SavedSettings(RecoverySettings(**values), row.version, row.changed_at, row.changed_by)


def _stored(settings: RecoverySettings) -> dict[str, Any]:
    values = {field.name: getattr(settings, field.name) for field in fields(RecoverySettings)}
    values["identifiers"] = [kind for kind in IDENTIFIERS if kind in settings.identifiers]
    values["patterns"] = [[one.expression, one.message] for one in settings.patterns]
    return values


def _row_for_change(session: Session, now: datetime) -> RecoverySettingsRow:
    """The row, locked; made with the defaults where it is missing, once even when two save first."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        insert(RecoverySettingsRow)
        .values(id=ONLY_ROW, version=0, changed_at=now, changed_by="", **_stored(RecoverySettings()))
        .on_conflict_do_nothing()
    )
    locked = select(RecoverySettingsRow).where(RecoverySettingsRow.id == ONLY_ROW).with_for_update()
    return session.scalars(locked.execution_options(populate_existing=True)).one()
