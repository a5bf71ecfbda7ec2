"""What signing in asks for, organisation-wide. The row is missing until the first save."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts.provider_models import ONLY_ROW, SignInSettingsRow

SUBJECT = "sign-in settings"  # what audit rows call it


@dataclass(frozen=True, kw_only=True)
class SignInSettings:
    """The rules. What is known of the organisation's provider is kept in the same row, by its own module."""

    requires_second_factor: bool = False  # of administrators


def load(session: Session) -> SignInSettings:
    """The rules that hold now: the defaults until the first save."""
    row = session.get(SignInSettingsRow, ONLY_ROW)
    return SignInSettings(requires_second_factor=row.requires_second_factor) if row else SignInSettings()


def save(session: Session, settings: SignInSettings, *, actor: audit.Actor, now: datetime) -> None:
    """Store the rules with an audit row; what is equal already is not a change."""
    row = row_for_change(session, now)
    changes = {"requires_second_factor": (row.requires_second_factor, settings.requires_second_factor)}
    if row.requires_second_factor == settings.requires_second_factor:
        return
    row.requires_second_factor = settings.requires_second_factor
    row.version += 1
    row.changed_at, row.changed_by = now, actor.name
    audit.record(session, action="sign_in_settings.changed", actor=actor, subject=SUBJECT, changes=changes, now=now)


def requires_second_factor() -> ColumnElement[bool]:
    """Whether administrators must have a second factor, as a part of a statement."""
    return exists().where(SignInSettingsRow.id == ONLY_ROW, SignInSettingsRow.requires_second_factor)


def row_for_change(session: Session, now: datetime) -> SignInSettingsRow:
    """The row, locked; made with the defaults where it is missing, once even when two save first."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    missing = insert(SignInSettingsRow).values(id=ONLY_ROW, version=0, changed_at=now, changed_by="")
    session.execute(missing.on_conflict_do_nothing())
    locked = select(SignInSettingsRow).where(SignInSettingsRow.id == ONLY_ROW).with_for_update()
    return session.scalars(locked.execution_options(populate_existing=True)).one()
