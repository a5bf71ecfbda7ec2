"""The administrator's first page: switches, sender, and the default connection with its state."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import update

from portal import audit, connections, email_settings
from portal.accounts.models import User
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.admin_browser import HTMX, Browser

PAGE = "/email-settings"


@pytest.fixture
def admin(app: Flask) -> Browser:
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    return Browser(app)


def load(app: Flask) -> EmailSettings:
    with app.app_context():
        return email_settings.load(db.session())


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_saved_settings_are_shown_by_the_page_that_follows(app: Flask, admin: Browser, headers: dict[str, str]) -> None:
    changes = {"from_address": "Contoso Portal <portal@contoso.test>", "administrator_contact": "Extension 1234"}

    answer = admin.fill(PAGE, changes, headers=headers)

    assert answer.status_code == 303
    assert answer.headers["Location"] == PAGE
    assert load(app) == EmailSettings(
        from_address="portal@contoso.test", display_name="Contoso Portal", administrator_contact="Extension 1234"
    )
    shown = admin.get(PAGE, headers=headers).text
    assert 'value="portal@contoso.test"' in shown
    assert ("<html" in shown) is (not headers)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_bad_address_is_explained_beside_its_field(admin: Browser, headers: dict[str, str]) -> None:
    answer = admin.fill(PAGE, {"from_address": "portal at contoso"}, headers=headers)

    assert answer.status_code == 422
    assert 'id="from_address-error"' in answer.text
    assert 'value="portal at contoso"' in answer.text
    assert ("<html" in answer.text) is (not headers)


def test_switching_off_and_plain_text_are_kept(app: Flask, admin: Browser) -> None:
    admin.fill(PAGE, {"enabled": None, "format": "text"})

    assert load(app).enabled is False
    assert load(app).format == "text"


def test_what_the_page_does_not_show_is_left_alone(app: Flask, admin: Browser) -> None:
    with app.app_context(), unit_of_work() as session:
        hidden = EmailSettings(notifications_enabled=False, automatic_bcc="archive@contoso.test")
        email_settings.save(session, hidden, actor=audit.COMMAND_LINE, now=datetime.now(UTC))

    admin.fill(PAGE, {"display_name": "Contoso"})

    assert load(app).notifications_enabled is False
    assert load(app).automatic_bcc == "archive@contoso.test"


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_the_second_saver_sees_both_values_and_may_still_save(
    app: Flask, admin: Browser, headers: dict[str, str]
) -> None:
    ben = Browser(app)
    admin.fill(PAGE, {"display_name": "From Ada", "version": "0"})

    refused = ben.fill(PAGE, {"display_name": "From Ben", "version": "0"}, headers=headers)

    assert refused.status_code == 409
    assert "From Ada" in refused.text
    assert "From Ben" in refused.text
    assert "Admin Ada saved these settings" in refused.text
    assert load(app).display_name == "From Ada"
    ben.post(PAGE, {"version": "1", "enabled": "y", "display_name": "From Ben", "format": "html"})
    assert load(app).display_name == "From Ben"


@pytest.mark.parametrize(
    ("language", "changed", "saved"),
    [
        ("en", "Last changed by somebody on the command line,", "Somebody on the command line saved these settings"),
        (
            "de",
            "Zuletzt geändert von jemandem auf der Befehlszeile,",
            "Jemand auf der Befehlszeile hat diese Einstellungen gespeichert",
        ),
    ],
)
def test_what_was_changed_on_the_command_line_is_told_in_a_sentence(
    app: Flask, admin: Browser, language: str, changed: str, saved: str
) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.id == admin.user_id).values(language=language))
        by_hand = EmailSettings(display_name="By hand")
        email_settings.save(session, by_hand, actor=audit.COMMAND_LINE, now=datetime.now(UTC))

    shown = admin.get(PAGE)
    refused = admin.fill(PAGE, {"display_name": "From Ada", "version": "0"})

    assert changed in shown.text
    assert refused.status_code == 409
    assert saved in refused.text
    assert changed.split(" ", 2)[2].rstrip(",") in refused.text  # at the head of the column


@pytest.mark.parametrize(("role", "status"), [("helpdesk", 403), ("user", 403)])
def test_only_administrators_open_and_change_it(app: Flask, admin: Browser, role: str, status: int) -> None:
    other = Browser(app, role)

    assert other.get(PAGE).status_code == status
    assert other.get(PAGE, headers=HTMX).status_code == status
    assert other.post(PAGE, {"enabled": "y", "from_address": "x@y.test"}, page="/profile").status_code == status
    assert load(app).from_address == ""


def test_a_fresh_portal_says_that_mail_stays_here_and_offers_to_connect(admin: Browser) -> None:
    page = admin.get(PAGE).text

    assert "built-in" in page
    assert "Mail does not leave yet" in page
    assert 'href="/connections/new"' in page
    assert 'href="/test-messages/new"' in page


def test_without_a_default_connection_the_page_says_so(app: Flask) -> None:
    page = Browser(app).get(PAGE).text

    assert "No connection is the default, so mail waits." in page


def test_extra_fields_change_nothing(app: Flask, admin: Browser) -> None:
    admin.fill(PAGE, {"display_name": "Contoso"})
    before = load(app)

    answer = admin.post(
        PAGE,
        {"version": "1", "enabled": "y", "display_name": "Contoso", "format": "html", "automatic_bcc": "evil@x.test"},
    )

    assert answer.status_code == 303
    assert load(app) == before


def test_a_placeholder_stands_for_an_address_and_a_name_has_its_own_field(
    app: Flask, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_FROM", "portal@contoso.test")

    refused = admin.fill(PAGE, {"from_address": "Contoso Portal <%env:MAIL_FROM%>"})
    saved = admin.fill(PAGE, {"from_address": "%env:MAIL_FROM%", "display_name": "Contoso Portal"})

    assert refused.status_code == 422
    assert "must stand for an address alone here. Type the name under Display name." in refused.text
    assert saved.status_code == 303
    assert (load(app).from_address, load(app).display_name) == ("portal@contoso.test", "Contoso Portal")
