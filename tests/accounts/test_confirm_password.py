from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from portal.accounts.models import UserSession
from portal.database import writing
from portal.web.access import confirm_password, signed_in
from tests.accounts.browsing import PASSWORD, submit


@pytest.fixture
def app(app: Flask) -> Flask:
    """The portal with two pages that ask for the password again."""

    @app.route("/sensitive", methods=["GET", "POST"])
    @signed_in
    @confirm_password()
    def sensitive() -> str:
        return "opened"

    @app.get("/very-sensitive")
    @signed_in
    @confirm_password(always=True)
    def very_sensitive() -> str:
        return "opened"

    return app


@pytest.fixture
def signed_in_long_ago(ada_client: FlaskClient, engine: Engine) -> FlaskClient:
    with writing(engine).begin() as connection:
        connection.execute(update(UserSession).values(confirmed_at=datetime.now(UTC) - timedelta(minutes=16)))
    return ada_client


def test_a_fresh_sign_in_counts_as_given(ada_client: FlaskClient) -> None:
    assert ada_client.get("/sensitive").status_code == 200


def test_after_a_quarter_of_an_hour_the_password_is_asked_for_again(
    signed_in_long_ago: FlaskClient, engine: Engine
) -> None:
    client = signed_in_long_ago
    asked = client.get("/sensitive")

    given = submit(client, asked.location, {"password": PASSWORD, "next": "/sensitive"}, to="/confirm-password")

    assert asked.location == "/confirm-password?next=%2Fsensitive"
    assert (given.status_code, given.location) == (303, "/sensitive")
    assert client.get("/sensitive").get_data(as_text=True) == "opened"
    with engine.connect() as connection:
        confirmed_at = connection.scalar(select(UserSession.confirmed_at))
    assert confirmed_at is not None
    assert datetime.now(UTC) - confirmed_at < timedelta(minutes=1)


def test_a_wrong_password_opens_nothing_and_cannot_be_guessed_for_long(signed_in_long_ago: FlaskClient) -> None:
    client = signed_in_long_ago

    answers = [submit(client, "/confirm-password", {"password": "wrong"}).status_code for _ in range(11)]

    assert answers == [422] * 10 + [429]
    assert client.get("/sensitive").status_code == 303


def test_the_most_sensitive_pages_ask_every_time(ada_client: FlaskClient) -> None:
    form = {"password": PASSWORD, "next": "/very-sensitive"}
    first = ada_client.get("/very-sensitive").status_code

    submit(ada_client, "/confirm-password", form)
    answers = [ada_client.get("/very-sensitive").status_code for _ in range(2)]

    assert first == 303
    assert answers == [200, 303]


def test_a_password_given_for_one_page_opens_no_other(ada_client: FlaskClient) -> None:
    submit(ada_client, "/confirm-password", {"password": PASSWORD, "next": "/sensitive"})

    assert ada_client.get("/very-sensitive").status_code == 303


@pytest.mark.parametrize(("seconds_ago", "status"), [(290, 200), (301, 303)])
def test_a_password_given_some_time_ago_opens_nothing(
    ada_client: FlaskClient, engine: Engine, seconds_ago: int, status: int
) -> None:
    given_at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    with writing(engine).begin() as connection:
        connection.execute(update(UserSession).values(confirmed_at=given_at))
    with ada_client.session_transaction() as session:
        session["confirmed_for"] = ("/very-sensitive", given_at.isoformat())

    assert ada_client.get("/very-sensitive").status_code == status


def test_a_cookie_kept_from_before_opens_no_page_a_second_time(app: Flask, ada_client: FlaskClient) -> None:
    name = app.config["SESSION_COOKIE_NAME"]
    submit(ada_client, "/confirm-password", {"password": PASSWORD, "next": "/very-sensitive"})
    kept = ada_client.get_cookie(name)
    assert kept is not None

    answers = []
    for _ in range(3):
        ada_client.set_cookie(name, kept.value)
        answers.append(ada_client.get("/very-sensitive").status_code)

    assert answers == [200, 303, 303]


def test_strangers_are_sent_to_sign_in(app: Flask) -> None:
    response = app.test_client().get("/confirm-password?next=/sensitive")

    assert response.status_code == 303
    assert response.location.startswith("/sign-in?next=")


def test_the_confirmation_leads_to_no_other_site(ada_client: FlaskClient) -> None:
    response = submit(ada_client, "/confirm-password", {"password": PASSWORD, "next": "//evil.test"})

    assert response.location == "/"
