from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from portal import audit, settings_file
from portal.accounts import recovery_settings
from portal.accounts.password_patterns import Pattern
from portal.accounts.recovery_section import make_section
from portal.accounts.recovery_settings import RecoverySettings
from portal.extensions import db
from portal.settings_file import SettingsFileError
from portal.transaction import unit_of_work

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECTION = make_section("https://portal.contoso.test")
EXAMPLE = """\
recovery:
  identifiers: [custom, address]
  means: both
  attempts: 9
  captcha: true
  patterns:
    - {pattern: "[0-9]", message: Use a digit.}
  redirect_url: https://portal.contoso.test/home
"""


def plan(app: Flask, text: str) -> list[str]:
    node = settings_file.read(text.encode(), follow=settings_file.refuse_references)
    with app.app_context():
        return [str(change) for change in settings_file.plan(db.session(), node, [SECTION])]


def apply(app: Flask, text: str) -> list[str]:
    node = settings_file.read(text.encode(), follow=settings_file.refuse_references)
    with app.app_context(), unit_of_work() as session:
        changes = settings_file.apply(session, node, [SECTION], actor=audit.COMMAND_LINE, now=NOW)
        return [str(change) for change in changes]


def load(app: Flask) -> RecoverySettings:
    with app.app_context():
        return recovery_settings.load(db.session())


def test_a_plan_says_what_would_change_and_changes_nothing(app: Flask) -> None:
    assert plan(app, EXAMPLE) == [
        "recovery.identifiers: address -> address, custom",
        "recovery.means: link -> both",
        "recovery.attempts: 5 -> 9",
        "recovery.captcha: false -> true",
        "recovery.patterns: [0-9] (new)",
        "recovery.redirect_url: https://portal.contoso.test/home (new)",
    ]
    assert load(app) == RecoverySettings()


def test_applying_twice_changes_nothing_the_second_time_and_nothing_that_is_not_named(app: Flask) -> None:
    apply(app, EXAMPLE)

    assert apply(app, EXAMPLE) == []
    assert apply(app, "recovery: {means: code}") == ["recovery.means: both -> code"]
    assert load(app).patterns == (Pattern("[0-9]", "Use a digit."),)


def test_what_is_exported_can_be_applied(app: Flask) -> None:
    apply(app, EXAMPLE)
    with app.app_context():
        exported = settings_file.export(db.session(), [SECTION])

    assert apply(app, exported) == []


@pytest.mark.parametrize(
    "bad",
    [
        "{attempts: 0}",
        "{means: pigeon}",
        "{identifiers: []}",
        "{identifiers: [shoe]}",
        "{unknown: 1}",
        "{redirect_url: 'https://evil.test'}",
        "{patterns: [{pattern: '(a+)+', message: x}]}",
        "{patterns: [{pattern: '[0-9]'}]}",
        "{shortest: 7}",
    ],
)
def test_what_cannot_be_is_refused_with_its_line(app: Flask, bad: str) -> None:
    with pytest.raises(SettingsFileError) as refusal:
        apply(app, f"\nrecovery: {bad}")

    assert refusal.value.line == 2
    assert load(app) == RecoverySettings()
