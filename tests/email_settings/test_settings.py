"""The organisation's settings: loaded, saved with an audit row, never overwritten unseen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import select

from portal import audit, email_settings
from portal.audit.models import AuditEntry
from portal.email_settings import ChangedMeanwhile, EmailSettings
from portal.extensions import db
from portal.transaction import unit_of_work

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ADA = audit.Actor(None, "Ada", "192.0.2.7")
CONTOSO = EmailSettings(from_address="portal@contoso.test", display_name="Contoso Portal")


def save(app: Flask, settings: EmailSettings, *, by: audit.Actor = ADA, seen: int | None = None) -> None:
    with app.app_context(), unit_of_work() as session:
        email_settings.save(session, settings, actor=by, now=NOW, expected_version=seen)


def load(app: Flask) -> EmailSettings:
    with app.app_context():
        return email_settings.load(db.session())


def audit_entries(app: Flask) -> list[AuditEntry]:
    with app.app_context():
        return list(db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


def test_a_fresh_portal_sends_html_and_names_no_sender(app: Flask) -> None:
    settings = load(app)

    assert settings == EmailSettings(enabled=True, notifications_enabled=True, from_address="", format="html")


def test_what_was_saved_is_loaded(app: Flask) -> None:
    save(app, CONTOSO)

    assert load(app) == CONTOSO


def test_a_save_is_audited_with_old_and_new_values(app: Flask) -> None:
    save(app, CONTOSO)

    [entry] = audit_entries(app)
    assert entry.action == "email_settings.changed"
    assert entry.actor_name == "Ada"
    assert entry.changes == {
        "from_address": ["", "portal@contoso.test"],
        "display_name": ["", "Contoso Portal"],
    }


def test_saving_the_same_again_changes_and_audits_nothing(app: Flask) -> None:
    save(app, CONTOSO)

    save(app, CONTOSO, seen=0)

    assert len(audit_entries(app)) == 1


def test_the_second_saver_is_refused_and_told_who_was_there(app: Flask) -> None:
    save(app, CONTOSO, seen=0)

    with pytest.raises(ChangedMeanwhile) as conflict:
        save(app, replace(CONTOSO, format="text"), by=audit.Actor(None, "Ben", ""), seen=0)

    assert conflict.value.present.changed_by == "Ada"
    assert conflict.value.present.settings == CONTOSO
    assert load(app).format == "html"


def test_a_saver_who_saw_the_latest_version_is_let_in(app: Flask) -> None:
    save(app, CONTOSO, seen=0)

    save(app, replace(CONTOSO, enabled=False), seen=1)

    assert load(app).enabled is False
