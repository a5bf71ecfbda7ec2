from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal.accounts import people, setup
from portal.accounts.models import User
from portal.accounts.password_rules import require_good
from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import (
    NOW,
    OTHER_PASSWORD,
    PASSWORD,
    add_person,
    csrf_token,
    is_signed_in,
    name_organisation,
    no_hashing,
    statements,
    submit,
    writing_ones,
)

ROOT = "root@contoso.test"


def new_token(app: Flask) -> str | None:
    with app.app_context(), unit_of_work() as session:
        return setup.ensure_setup_token(session, NOW)


@pytest.fixture
def token(app: Flask) -> str:
    made = new_token(app)
    assert made is not None
    return made


def set_up(client: FlaskClient, token: str, **values: str) -> TestResponse:
    data = {"email": ROOT, "name": "Root", "password": PASSWORD, "token": token} | values
    return submit(client, f"/setup?token={token}", data, to="/setup")


def administrators(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(User.email, User.name, User.role).where(User.role == "admin"))
        return [(row.email, row.name, row.role) for row in rows]


def test_the_printed_address_makes_the_first_administrator_and_leads_to_the_first_connection(
    token: str, client: FlaskClient, engine: Engine
) -> None:
    response = set_up(client, token)

    assert (response.status_code, response.location) == (303, "/email-settings")
    assert administrators(engine) == [(ROOT, "Root", "admin")]
    assert is_signed_in(client)
    with engine.connect() as connection:
        entry = connection.execute(select(AuditEntry.__table__).where(AuditEntry.action == "user.added")).one()
    assert (entry.actor_name, entry.actor_address, entry.subject) == ("set-up", "127.0.0.1", ROOT)


def test_the_token_counts_in_the_query_of_the_form_too(token: str, client: FlaskClient, engine: Engine) -> None:
    address = f"/setup?token={token}"

    response = submit(client, address, {"email": ROOT, "name": "", "password": PASSWORD})

    assert response.status_code == 303
    assert administrators(engine) == [(ROOT, "", "admin")]


def test_the_set_up_is_closed_for_good_by_its_first_administrator(
    app: Flask, token: str, client: FlaskClient, engine: Engine
) -> None:
    set_up(client, token)
    other = app.test_client()

    page = other.get(f"/setup?token={token}")
    posted = submit(other, "/sign-in", {"email": "b@contoso.test", "password": PASSWORD, "token": token}, to="/setup")

    assert (page.status_code, posted.status_code) == (404, 404)
    assert "has been set up" in page.get_data(as_text=True)
    assert new_token(app) is None
    assert administrators(engine) == [(ROOT, "Root", "admin")]


def test_an_administrator_added_by_command_closes_the_set_up(app: Flask, token: str, client: FlaskClient) -> None:
    add_person(app, ROOT, role="admin")

    assert client.get(f"/setup?token={token}").status_code == 404
    assert new_token(app) is None


def test_without_the_printed_token_nothing_can_be_set_up(
    app: Flask, token: str, client: FlaskClient, engine: Engine
) -> None:
    for guess in ("", "x", "A" * 43, "ü", token[:-1]):
        page = client.get("/setup", query_string={"token": guess})
        posted = submit(client, "/sign-in", {"email": ROOT, "password": PASSWORD, "token": guess}, to="/setup")

        assert (page.status_code, posted.status_code) == (404, 404)
        assert "printed last" in page.get_data(as_text=True)

    assert administrators(engine) == []


def test_each_start_prints_a_new_token_and_the_former_is_void(app: Flask, token: str, client: FlaskClient) -> None:
    newer = new_token(app)

    assert client.get(f"/setup?token={token}").status_code == 404
    assert client.get(f"/setup?token={newer}").status_code == 200


def test_two_first_administrators_cannot_both_get_in(app: Flask, token: str, engine: Engine) -> None:
    clients = [app.test_client() for _ in range(4)]
    forms = [csrf_token(client, f"/setup?token={token}") for client in clients]

    def post(number: int) -> int:
        data = {"email": f"root{number}@contoso.test", "password": PASSWORD, "token": token}
        return clients[number].post("/setup", data={"csrf_token": forms[number], **data}).status_code

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(post, range(4)))

    assert answers == [303, 404, 404, 404]
    assert len(administrators(engine)) == 1


def test_two_first_administrators_with_one_address_both_get_a_page(app: Flask, token: str, engine: Engine) -> None:
    clients = [app.test_client() for _ in range(4)]
    forms = [csrf_token(client, f"/setup?token={token}") for client in clients]

    def post(number: int) -> int:
        data = {"email": ROOT, "password": PASSWORD, "token": token}
        return clients[number].post("/setup", data={"csrf_token": forms[number], **data}).status_code

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(post, range(4)))

    assert answers.count(303) == 1
    assert set(answers) <= {303, 404, 422}
    assert len(administrators(engine)) == 1


def test_an_address_that_somebody_adds_at_the_same_moment_is_said_on_the_page(
    app: Flask, token: str, client: FlaskClient, engine: Engine
) -> None:
    form = csrf_token(client, f"/setup?token={token}")
    with app.app_context():
        same = people.prepare_user(db.session(), email=ROOT, role="user", password=PASSWORD, public_host="localhost")

    def post() -> TestResponse:
        data = {"csrf_token": form, "token": token, "email": ROOT, "name": "Root", "password": PASSWORD}
        return client.post("/setup", data=data)

    with ThreadPoolExecutor(1) as thread:
        with app.app_context(), unit_of_work() as session:
            people.add_user(session, same, actor=None, now=NOW)
            posted = thread.submit(post)
            time.sleep(0.7)  # until the set-up waits for this transaction
            assert not posted.done()
        answer = posted.result()

    assert answer.status_code == 422
    assert "There is an account with the address root@contoso.test already." in answer.text
    assert administrators(engine) == []
    assert set_up(client, token, email="other@contoso.test").status_code == 303


def test_a_password_is_hashed_before_anything_is_locked(token: str, client: FlaskClient, engine: Engine) -> None:
    form = csrf_token(client, f"/setup?token={token}")
    data = {"csrf_token": form, "token": token, "email": ROOT, "name": "Root", "password": PASSWORD}
    require_good(PASSWORD, about=())  # the words that it is judged by are read once

    with no_hashing(), statements(engine) as seen:
        busy = client.post("/setup", data=data)

    assert busy.status_code == 429
    assert [one for one in seen if one == "BEGIN IMMEDIATE"] == writing_ones(seen) == []
    assert client.post("/setup", data=data).status_code == 303


def test_the_name_of_the_organisation_or_of_its_host_makes_no_password(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["PORTAL_PUBLIC_URL"] = "http://wxkvbqzj.contoso.test"
    app = request.getfixturevalue("app")
    there = {"base_url": "http://wxkvbqzj.contoso.test"}
    name_organisation(app, "Fabrikam Widgets")
    client, token = app.test_client(), new_token(app)
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(f"/setup?token={token}", **there).text)
    data = {"csrf_token": found and found[1], "token": token, "email": ROOT}

    answers = [
        client.post("/setup", data={**data, "password": password}, **there)
        for password in ("wxkvbqzj-2026-q", "Fabrikam-Widgets-7q", PASSWORD)
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 303]
    assert "the name of the organisation" in answers[0].text
    assert "the name of the organisation" in answers[1].text


def test_what_does_not_fit_is_said_and_the_token_works_on(token: str, client: FlaskClient, engine: Engine) -> None:
    tries: dict[str, dict[str, str]] = {
        "An address contains an @": {"email": "root"},
        "Type your email address.": {"email": ""},
        "Use at least 12 characters:": {"password": "short"},
        "close to a very common one": {"password": "password12345!"},
        "little more than your name": {"password": "root@contoso.test1"},
        "line break": {"name": "Root\u2028Bcc: x"},
    }

    for said, values in tries.items():
        response = set_up(client, token, **values)

        assert response.status_code == 422
        assert said in response.get_data(as_text=True)

    assert administrators(engine) == []
    assert set_up(client, token).status_code == 303


def test_the_environment_can_name_the_first_administrator_once(app: Flask, engine: Engine) -> None:
    def create(email: str, password: str) -> UUID | None:
        asked_for = setup.FirstAdministrator(email, "", password)
        with app.app_context():
            person = setup.prepare(db.session(), asked_for, public_host="localhost")
            with unit_of_work() as session:
                return setup.create_first_admin(session, person, NOW)

    first, second = create(ROOT, PASSWORD), create("other@contoso.test", OTHER_PASSWORD)

    assert first is not None
    assert second is None
    assert administrators(engine) == [(ROOT, "", "admin")]


def test_fields_that_the_form_does_not_have_change_nothing(token: str, client: FlaskClient, engine: Engine) -> None:
    set_up(client, token, id="0" * 32, is_disabled="1", role="user", created_at="2000-01-01")

    assert administrators(engine) == [(ROOT, "Root", "admin")]
