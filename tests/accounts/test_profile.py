from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from portal.accounts.models import User
from portal.audit.models import AuditEntry
from portal.outbox.models import Message
from portal.transaction import unit_of_work
from tests.accounts.browsing import (
    HTMX,
    OTHER_PASSWORD,
    PASSWORD,
    is_signed_in,
    name_organisation,
    sign_in,
    submit,
)

CHANGE = {"current_password": PASSWORD, "password": OTHER_PASSWORD, "password_again": OTHER_PASSWORD}


def test_the_name_is_saved_and_recorded(ada_client: FlaskClient, engine: Engine) -> None:
    response = submit(ada_client, "/profile", {"name": " Ada Lovelace ", "role": "admin", "email": "x@contoso.test"})

    with engine.connect() as connection:
        user = connection.execute(select(User.__table__)).one()
        entry = connection.execute(select(AuditEntry.__table__).where(AuditEntry.action == "user.changed")).one()
    assert (response.status_code, response.location) == (303, "/profile")
    assert (user.name, user.role, user.email) == ("Ada Lovelace", "user", "ada@contoso.test")
    assert entry.changes == {"name": ["Ada", "Ada Lovelace"]}
    assert "Ada Lovelace" in ada_client.get("/profile").get_data(as_text=True)


def test_a_name_that_no_header_can_carry_is_refused(ada_client: FlaskClient, engine: Engine) -> None:
    for name in ("Ada\r\nBcc: x@y.test", "Ada\u2028x", "x" * 201):
        assert submit(ada_client, "/profile", {"name": name}).status_code == 422

    with engine.connect() as connection:
        assert connection.scalar(select(User.name)) == "Ada"


def test_a_new_password_ends_every_other_session_and_tells_the_owner(
    app: Flask, ada_client: FlaskClient, engine: Engine
) -> None:
    elsewhere = app.test_client()
    sign_in(elsewhere)
    before = ada_client.get_cookie("portal-session")

    response = submit(ada_client, "/profile", CHANGE, to="/profile/password")

    assert (response.status_code, response.location) == (303, "/profile")
    assert is_signed_in(ada_client)
    assert ada_client.get_cookie("portal-session") != before
    assert not is_signed_in(elsewhere)
    assert sign_in(elsewhere).status_code == 422
    assert sign_in(elsewhere, password=OTHER_PASSWORD).status_code == 303
    with engine.connect() as connection:
        assert connection.scalars(select(Message.kind)).all() == ["password_changed"]


def test_a_change_that_does_not_fit_changes_nothing(app: Flask, ada_client: FlaskClient) -> None:
    tries: dict[str, dict[str, str]] = {
        "This is not your current password.": {"current_password": "wrong"},
        "Type your current password.": {"current_password": ""},
        "The two passwords differ.": {"password_again": "something else"},
        "Use at least 12 characters:": {"password": "short", "password_again": ""},
        "the password that you have already": {"password": PASSWORD, "password_again": ""},
    }

    for said, values in tries.items():
        for headers in ({}, HTMX):
            response = submit(ada_client, "/profile", CHANGE | values, to="/profile/password", headers=headers)
            page = response.get_data(as_text=True)

            assert response.status_code == 422
            assert said in page
            assert PASSWORD not in page
            assert OTHER_PASSWORD not in page

    assert sign_in(app.test_client()).status_code == 303


def test_the_name_of_the_organisation_makes_no_password(app: Flask, ada_client: FlaskClient) -> None:
    name_organisation(app, "Fabrikam Widgets")
    weak = {"password": "Fabrikam-Widgets-7q", "password_again": ""}

    response = submit(ada_client, "/profile", CHANGE | weak, to="/profile/password")

    assert response.status_code == 422
    assert "the name of the organisation" in response.text


def test_the_present_password_cannot_be_guessed_in_a_session_that_was_left_open(ada_client: FlaskClient) -> None:
    answers = [
        submit(ada_client, "/profile", CHANGE | {"current_password": "wrong"}, to="/profile/password").status_code
        for _ in range(11)
    ]

    assert answers == [422] * 10 + [429]


def test_phone_language_and_time_zone_are_saved_and_recorded(ada_client: FlaskClient, engine: Engine) -> None:
    given = {"name": "Ada", "phone": "+49 (30) 90-1820", "language": "en", "time_zone": "Asia/Kolkata"}

    response = submit(ada_client, "/profile", given)

    with engine.connect() as connection:
        user = connection.execute(select(User.__table__)).one()
        entry = connection.execute(select(AuditEntry.__table__).where(AuditEntry.action == "user.changed")).one()
    assert (response.status_code, user.phone, user.time_zone) == (303, "+4930901820", "Asia/Kolkata")
    assert entry.changes == {"phone": ["", "+4930901820"], "time_zone": ["", "Asia/Kolkata"]}
    assert 'value="+49 30 901820"' in ada_client.get("/profile").text


@pytest.mark.parametrize(
    "phone", ["030 901820", "+49", "+", "+999 1234567", "+49 30 901820 ext. 12", "call me", "+1" * 30]
)
def test_what_is_no_phone_number_is_refused_at_its_field(ada_client: FlaskClient, engine: Engine, phone: str) -> None:
    response = submit(ada_client, "/profile", {"name": "Countess", "phone": phone})

    assert response.status_code == 422
    assert 'id="phone-error"' in response.text
    with engine.connect() as connection:
        assert connection.execute(select(User.name, User.phone)).one() == ("Ada", "")


def test_a_phone_number_that_an_administrator_wrote_otherwise_may_stay(
    app: Flask, ada_client: FlaskClient, engine: Engine
) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(phone="room 12"))

    assert submit(ada_client, "/profile", {"name": "Countess", "phone": "room 12"}).status_code == 303
    assert submit(ada_client, "/profile", {"name": "Countess", "phone": ""}).status_code == 303

    with engine.connect() as connection:
        assert connection.execute(select(User.name, User.phone)).one() == ("Countess", "")


@pytest.mark.parametrize("wrong", [{"language": "tlh"}, {"time_zone": "Mars/Base"}, {"time_zone": "../etc/passwd"}])
def test_what_is_not_offered_is_refused(ada_client: FlaskClient, wrong: dict[str, str]) -> None:
    assert submit(ada_client, "/profile", {"name": "Ada", **wrong}).status_code == 422


def test_a_language_that_the_portal_does_not_speak_stays_chosen(
    app: Flask, ada_client: FlaskClient, engine: Engine
) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(language="fi"))

    page = ada_client.get("/profile").text
    saved = submit(ada_client, "/profile", {"name": "Ada", "language": "fi"})

    assert '<html lang="en"' in page
    assert '<option value="fi" selected>' in page
    assert saved.status_code == 303
    with engine.connect() as connection:
        assert connection.scalar(select(User.language)) == "fi"


def test_times_are_shown_in_the_persons_time_zone_which_is_said(ada_client: FlaskClient) -> None:
    def seen() -> list[tuple[str, str]]:
        return re.findall(
            r'<time datetime="[^"]*T(\d\d:\d\d)[^"]*">[^<]*, (\d\d:\d\d [^<]*)</time>', ada_client.get("/profile").text
        )

    utc = seen()
    submit(ada_client, "/profile", {"name": "Ada", "time_zone": "Asia/Kolkata"})
    here = seen()

    assert utc
    assert all(local == f"{moment} UTC" for moment, local in utc)
    assert here
    assert all(local.endswith(" +0530") and not local.startswith(moment) for moment, local in here)
