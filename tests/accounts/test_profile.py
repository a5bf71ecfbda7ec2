from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal.accounts.models import User
from portal.audit.models import AuditEntry
from portal.outbox.models import Message
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
