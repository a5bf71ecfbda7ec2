"""`/sign-in-settings`, and administrators who must have a second factor."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal.accounts.provider_models import SignInSettingsRow
from tests.accounts.browsing import HTMX, add_person, sign_in, submit
from tests.accounts.factors import OWN, actions, add_app, add_codes, give_code, give_password, shown_codes
from tests.accounts.test_second_factor import APP, begin

PAGE = "/sign-in-settings"
ROOT, OTHER = "root@contoso.test", "other@contoso.test"


@pytest.fixture
def root(app: Flask) -> UUID:
    """An administrator, root@contoso.test, with an authenticator app."""
    root = add_person(app, ROOT, role="admin", name="Root")
    add_app(app, root)
    return root


@pytest.fixture
def root_client(app: Flask, root: UUID) -> FlaskClient:
    client = give_password(app, ROOT)
    assert give_code(client, add_codes(app, root)[0]).status_code == 303
    return client


@pytest.fixture
def required(root_client: FlaskClient) -> None:
    """Administrators must have a second factor from now on."""
    assert submit(root_client, PAGE, {"requires_second_factor": "y"}).status_code == 303


def test_the_switch_is_saved_with_an_audit_row(root_client: FlaskClient, engine: Engine) -> None:
    before = 'name="requires_second_factor" value="y" checked' in root_client.get(PAGE).text

    saved = submit(root_client, PAGE, {"requires_second_factor": "y"})
    submit(root_client, PAGE, {"requires_second_factor": "y"})

    assert not before
    assert (saved.status_code, saved.location) == (303, PAGE)
    assert 'name="requires_second_factor" value="y" checked' in root_client.get(PAGE).text
    assert actions(engine).count("sign_in_settings.changed") == 1


def test_an_administrator_without_a_second_factor_cannot_ask_others_for_one(app: Flask, engine: Engine) -> None:
    add_person(app, OTHER, role="admin")
    client = app.test_client()
    sign_in(client, OTHER)

    refused = submit(client, PAGE, {"requires_second_factor": "y"})

    assert refused.status_code == 422
    assert "Set up your own second factor first" in refused.text
    with engine.connect() as connection:
        assert connection.scalar(select(SignInSettingsRow.requires_second_factor)) in (None, False)


@pytest.mark.usefixtures("required")
def test_an_administrator_without_one_can_do_nothing_but_set_one_up(app: Flask) -> None:
    add_person(app, OTHER, role="admin")
    client = app.test_client()
    sign_in(client, OTHER)

    led = [client.get(path).location for path in ("/", "/connections", "/profile", "/email-settings", PAGE)]
    fragment = client.get("/email-settings", headers=HTMX)
    posted = submit(client, OWN, {"enabled": "y"}, to="/email-settings")

    assert led == [OWN] * 5
    assert (fragment.status_code, fragment.headers["HX-Redirect"]) == (401, OWN)
    assert (posted.status_code, posted.location) == (303, OWN)
    assert "Set up a second factor to go on" in client.get(OWN).text
    assert client.get("/forgot-password").status_code == 200


@pytest.mark.usefixtures("required")
def test_once_it_is_set_up_everything_opens(app: Flask) -> None:
    add_person(app, OTHER, role="admin")
    client = app.test_client()
    sign_in(client, OTHER)
    codes = begin(client)

    done = submit(client, APP, {"code": codes.now()})

    assert len(shown_codes(done.text)) == 10
    assert client.get("/connections").status_code == 200


@pytest.mark.usefixtures("required")
def test_an_administrator_without_one_can_sign_out(app: Flask) -> None:
    add_person(app, OTHER, role="admin")
    client = app.test_client()
    sign_in(client, OTHER)

    assert submit(client, OWN, {}, to="/sign-out").location == "/sign-in"


@pytest.mark.usefixtures("required")
def test_who_is_no_administrator_is_not_asked(app: Flask) -> None:
    for role in ("user", "helpdesk"):
        add_person(app, f"{role}@contoso.test", role=role)
        client = app.test_client()
        sign_in(client, f"{role}@contoso.test")

        assert client.get("/profile").status_code == 200


@pytest.mark.usefixtures("required")
def test_the_last_second_factor_of_an_administrator_stays(root_client: FlaskClient) -> None:
    kept = submit(root_client, f"{APP}/removal", {})

    assert (kept.status_code, kept.location) == (303, OWN)
    assert "Add another one first" in root_client.get(OWN).text
    assert root_client.get(f"{APP}/removal").status_code == 200
