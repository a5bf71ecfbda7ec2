from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal import audit
from portal.accounts import recovery_settings
from portal.accounts.password_patterns import Pattern
from portal.accounts.recovery_settings import BadRedirect, RecoverySettings, check_redirect
from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import NOW, add_person, sign_in, submit

PAGE = "/recovery-settings"
FORM = {
    "by_address": "y",
    "means": "link",
    "attempts": "5",
    "questions": "0",
    "shortest": "12",
    "kept_passwords": "0",
    "version": "0",
}


@pytest.fixture
def admin(app: Flask, client: FlaskClient) -> FlaskClient:
    add_person(app, "root@contoso.test", role="admin", name="Root")
    assert sign_in(client, "root@contoso.test").status_code == 303
    return client


def saved(app: Flask) -> RecoverySettings:
    with app.app_context():
        return recovery_settings.load(db.session())


def send(client: FlaskClient, **changes: str) -> TestResponse:
    return submit(client, PAGE, FORM | changes)


def test_the_defaults_are_link_only_no_captcha_and_no_questions(app: Flask) -> None:
    assert saved(app) == RecoverySettings(
        identifiers=("address",), means="link", attempts=5, questions=0, captcha=False, shortest=12, kept_passwords=0
    )


def test_what_is_saved_is_shown_again_and_audited(app: Flask, engine: Engine, admin: FlaskClient) -> None:
    response = send(
        admin,
        by_user_name="y",
        means="both",
        attempts="999",
        questions="2",
        captcha="y",
        shortest="16",
        kept_passwords="24",
        pattern_2="[0-9]",
        message_2="Use a digit.",
        redirect_url="/welcome",
        instructions="First line\r\nSecond line",
        link_text="Lost your key?",
        success_text="Done.",
    )

    page = admin.get(PAGE).get_data(as_text=True)
    assert (response.status_code, response.location) == (303, PAGE)
    assert saved(app) == RecoverySettings(
        identifiers=("address", "user_name"),
        means="both",
        attempts=999,
        questions=2,
        captcha=True,
        shortest=16,
        patterns=(Pattern("[0-9]", "Use a digit."),),
        kept_passwords=24,
        redirect_url="/welcome",
        instructions="First line\nSecond line",
        link_text="Lost your key?",
        success_text="Done.",
    )
    assert [f'value="{value}"' in page for value in ("999", "16", "24", "/welcome", "[0-9]")] == [True] * 5
    with engine.connect() as connection:
        entry = connection.execute(
            select(AuditEntry.__table__).where(AuditEntry.action == "recovery_settings.changed")
        ).one()
    assert entry.changes["means"] == ["link", "both"]
    assert entry.changes["patterns"] == ["", "[0-9]"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attempts": "0"}, "Type a whole number from 1 to 999."),
        ({"attempts": "1000"}, "Type a whole number from 1 to 999."),
        ({"attempts": "many"}, "Type a whole number from 1 to 999."),
        ({"questions": "11"}, "Type a whole number from 0 to 10."),
        ({"shortest": "7"}, "Type a whole number from 8 to 64."),
        ({"kept_passwords": "25"}, "Type a whole number from 0 to 24."),
        ({"means": "pigeon"}, "Not a valid choice"),
        ({"by_address": ""}, "Choose at least one"),
        ({"pattern_1": "(a+)+$", "message_1": "x"}, "could take very long"),
        ({"pattern_1": "[0-9"}, "This is no regular expression"),
        ({"pattern_1": "[0-9]"}, "Say what a password must contain"),
        ({"redirect_url": "https://evil.test/"}, "Only addresses of this host are taken"),
        ({"redirect_url": "http://["}, "Only addresses of this host are taken"),
        ({"link_text": "two\nlines"}, "line break"),
        ({"instructions": "invisible \u202e text"}, "invisible character"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    app: Flask, admin: FlaskClient, changes: dict[str, str], said: str
) -> None:
    form = {name: value for name, value in (FORM | changes).items() if value}

    response = submit(admin, PAGE, form)

    assert response.status_code == 422
    assert said in response.get_data(as_text=True)
    assert saved(app) == RecoverySettings()


def test_who_saves_second_compares_first(app: Flask, admin: FlaskClient) -> None:
    with app.app_context(), unit_of_work() as session:
        settings = RecoverySettings(attempts=7)
        recovery_settings.save(session, settings, actor=audit.Actor(None, "Grace", ""), now=NOW)

    conflict = send(admin, attempts="9", questions="3", by_custom="y", message_3="kept")
    page = conflict.get_data(as_text=True)
    again = admin.post(PAGE, data=hidden_fields(page))

    assert conflict.status_code == 409
    assert "Grace saved these settings after you opened them" in page
    assert (again.status_code, saved(app).attempts, saved(app).questions) == (303, 9, 3)
    assert saved(app).identifiers == ("address", "custom")


def hidden_fields(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.partition("<form")[2]))


@pytest.mark.parametrize(
    "address",
    ["", "/", "/welcome?x=1#top", "https://portal.contoso.test/home", "https://portal.contoso.test:8443/home"],
)
def test_own_addresses_may_follow_success(address: str) -> None:
    assert check_redirect(address, public_url="https://portal.contoso.test") == address


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.test/",
        "http://portal.contoso.test/",
        "//evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "https:evil.test",
        "https://portal.contoso.test@evil.test/",
        "https://portal.contoso.test.evil.test/",
        "javascript:alert(1)",
        "/a\tb",
        "/a b",
        "welcome",
        "https://portal.contoso.test\\@evil.test",
        "/" + "x" * 500,
        "///evil.test",
        "/a//evil.test",
        "http://[",
        "https://portal.contoso.test:99999/",
    ],
)
def test_no_address_of_others_may_follow_success(address: str) -> None:
    with pytest.raises(BadRedirect):
        check_redirect(address, public_url="https://portal.contoso.test")


def settle(app: Flask, **changes: Any) -> None:
    with app.app_context(), unit_of_work() as session:
        settings = replace(recovery_settings.load(session), **changes)
        recovery_settings.save(session, settings, actor=audit.COMMAND_LINE, now=NOW)


def test_own_words_stand_where_people_ask(app: Flask, client: FlaskClient) -> None:
    settle(app, link_text="Lost your key?", instructions="Bring <cake>.\nTo room 7.", identifiers=("user_name",))

    sign_in_page = client.get("/sign-in").get_data(as_text=True)
    page = client.get("/forgot-password").get_data(as_text=True)

    assert "Lost your key?" in sign_in_page
    assert "Bring &lt;cake&gt;.</p>" in page
    assert "To room 7." in page
    assert "User name</label>" in page
