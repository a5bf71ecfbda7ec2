"""The section `email` of the settings file."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from portal import audit, email_settings, settings_file
from portal.email_settings import EmailSettings, section
from portal.extensions import db
from portal.settings_file import SettingsFileError
from portal.transaction import unit_of_work

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
EXAMPLE = """\
email: {enabled: true, notifications_enabled: true, from_address: portal@contoso.test, display_name: Contoso Portal}
"""


def plan(app: Flask, text: str) -> list[str]:
    node = settings_file.read(text.encode(), follow=settings_file.refuse_references)
    with app.app_context():
        return [str(change) for change in settings_file.plan(db.session(), node, [section])]


def apply(app: Flask, text: str) -> list[str]:
    node = settings_file.read(text.encode(), follow=settings_file.refuse_references)
    with app.app_context(), unit_of_work() as session:
        changes = settings_file.apply(session, node, [section], actor=audit.COMMAND_LINE, now=NOW)
        return [str(change) for change in changes]


def load(app: Flask) -> EmailSettings:
    with app.app_context():
        return email_settings.load(db.session())


def test_a_plan_says_what_would_change_and_changes_nothing(app: Flask) -> None:
    changes = plan(app, EXAMPLE)

    assert changes == [
        "email.from_address: portal@contoso.test (new)",
        "email.display_name: Contoso Portal (new)",
    ]
    assert load(app) == EmailSettings()


def test_applying_twice_changes_nothing_the_second_time(app: Flask) -> None:
    apply(app, EXAMPLE)

    assert apply(app, EXAMPLE) == []
    assert load(app) == EmailSettings(from_address="portal@contoso.test", display_name="Contoso Portal")


def test_what_the_file_does_not_name_is_left_alone(app: Flask) -> None:
    apply(app, EXAMPLE)

    apply(app, "email: {format: text, display_name: }")

    assert load(app) == EmailSettings(from_address="portal@contoso.test", format="text")


def test_a_name_may_stand_with_the_from_address(app: Flask) -> None:
    apply(app, "email: {from_address: 'Contoso <portal@contoso.test>'}")

    assert load(app).display_name == "Contoso"
    assert load(app).from_address == "portal@contoso.test"


def test_an_export_is_a_file_that_changes_nothing(app: Flask) -> None:
    apply(app, EXAMPLE)
    with app.app_context():
        text = settings_file.export(db.session(), [section])

    assert plan(app, text) == []
    assert "portal@contoso.test" in text


def test_where_people_are_written_to_is_a_setting_of_the_file(app: Flask) -> None:
    text = "email: {people_identifier: user_name, people_domain: People.TEST, custom_attribute: Service address}"

    assert plan(app, text) == [
        "email.people_identifier: primary -> user_name",
        "email.people_domain: people.test (new)",
        "email.custom_attribute: Service address (new)",
    ]
    apply(app, text)
    assert apply(app, text) == []
    assert load(app).people_domain == "people.test"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("email:\n  colour: blue\n", "line 2, email.colour"),
        ("email:\n  enabled: maybe\n", "line 2, email.enabled"),
        ("email:\n  format: pdf\n", "line 2, email.format"),
        ("email:\n  enabled: true\n  reply_to: nobody\n", "line 3, email.reply_to"),
        ("email:\n  people_identifier: shoe size\n", "line 2, email.people_identifier"),
        ("email:\n  people_domain: no domain\n", "line 2, email.people_domain"),
        ("email:\n  enabled: true\n  people_identifier: user_name\n", "line 3, email.people_identifier"),
        ("email:\n  from_address: 'a@b.test, c@d.test'\n", "line 2, email.from_address"),
    ],
)
def test_bad_values_are_refused_at_their_line(app: Flask, text: str, where: str) -> None:
    with pytest.raises(SettingsFileError) as error:
        plan(app, text)

    assert str(error.value).startswith(where)


def test_a_placeholder_stands_for_an_address_alone(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_FROM", "portal@contoso.test")

    with pytest.raises(SettingsFileError, match="stand for an address alone"):
        apply(app, "email: {from_address: 'Contoso Portal <%env:MAIL_FROM%>'}")
    apply(app, "email: {from_address: '%env:MAIL_FROM%'}")

    assert load(app).from_address == "portal@contoso.test"
