"""Who is new gets mail and pages in the language of whoever brought them in, until they choose their own."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.accounts.models import User
from portal.transaction import unit_of_work
from tests.accounts.people_at_work import user_with
from tests.accounts.providing import ADA, go_through
from tests.accounts.providing import set_up as set_up_provider
from tests.accounts.test_setup import ROOT, new_token, set_up
from tests.admin_browser import Browser
from tests.outside.oidc_provider import OIDCProvider

GERMAN = "de-CH, de;q=0.9, en;q=0.5"


def test_the_first_administrator_goes_on_in_the_language_of_the_set_up(app: Flask, client: FlaskClient) -> None:
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = GERMAN

    set_up(client, new_token(app) or "")

    assert user_with(app, ROOT).language == "de"


def test_who_comes_by_the_provider_goes_on_in_the_language_of_the_browser(
    app: Flask, provider: OIDCProvider, client: FlaskClient
) -> None:
    set_up_provider(app, provider, adds_people=True)
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = GERMAN

    go_through(client, provider)

    assert user_with(app, ADA).language == "de"


@pytest.mark.parametrize("path", ["/users/new", "/users/import"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_the_language_of_who_invites_is_offered_first(app: Flask, path: str, language: str) -> None:
    admin = Browser(app, "admin")
    with app.app_context(), unit_of_work() as session:
        session.query(User).update({"language": language})

    page = admin.get(path).text

    assert page.count(" selected>Deutsch") == (language == "de")
    assert page.count(" selected>English") == (language == "en")
