"""Signing in with the organisation's provider, in Chromium, with script and without; and with a provider of others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect

from portal import audit, connections, create_app
from portal.accounts import provider_settings
from portal.accounts.provider_settings import ProviderSettings
from portal.config import load_config
from portal.connections.values import SecretAction, SecretChange
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import NOW, PASSWORD, add_person
from tests.accounts.people_at_work import user_with
from tests.accounts.providing import ADA, set_up, start
from tests.browser.running import free_port
from tests.browser.windows import Watched, window
from tests.conftest import copied
from tests.connections.oauth.test_other_peoples_provider import wait_for
from tests.outside.oidc_provider import OIDCProvider
from tests.wsgi_server import serving


@pytest.fixture
def plain_provider() -> Iterator[OIDCProvider]:
    """Without TLS, which a browser of the tests would not trust."""
    with OIDCProvider() as provider:
        yield provider
    provider.raise_mistakes("the provider")


@pytest.fixture
def served(tmp_path: Path, migrated_sqlite: Path, plain_provider: OIDCProvider) -> Iterator[Flask]:
    """A portal on a port of its own, which knows the provider; Root is its administrator."""
    port = free_port()
    environ = {
        "PORTAL_INSTANCE": str(tmp_path),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PORTAL_DATABASE_URL": copied(migrated_sqlite, tmp_path),
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8,::1/128",
    }
    app = create_app(load_config(environ))
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    add_person(app, "root@contoso.test", role="admin", name="Root")
    set_up(app, plain_provider, adds_people=True)
    plain_provider.redirect_uris = [f"http://127.0.0.1:{port}/sign-in/oidc/callback"]
    with serving(app, port):
        yield app
    with app.app_context():
        db.engine.dispose()


def look(watched: Watched) -> None:
    watched.styled()
    watched.accessible()
    watched.fits()


def only_there(watched: Watched, provider: OIDCProvider) -> list[str]:
    """What went wrong; that the browser went to the provider is what was wanted."""
    return [fault for fault in watched.faults if not fault.startswith(f"asked for {provider.issuer}/authorize")]


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_somebody_new_signs_in_with_the_provider(
    served: Flask, plain_provider: OIDCProvider, browser: Browser, script: bool
) -> None:
    url = served.config["PORTAL"].public_url
    with window(browser, url, script=script, viewport={"width": 360, "height": 800}) as watched:
        page = watched.page
        page.goto(url + "/profile")
        look(watched)
        page.get_by_role("button", name="Sign in with Contoso").click()
        page.get_by_role("link", name="Sign in as Ada").click()

        expect(page.get_by_role("heading", name="Profile")).to_be_visible()
        expect(page.get_by_text("Linked", exact=True)).to_be_visible()
        look(watched)
        assert page.url == url + "/profile"
        assert only_there(watched, plain_provider) == []
    assert user_with(served, ADA).role == "user"


@pytest.mark.browser
def test_the_settings_are_filled_in_and_saved(served: Flask, plain_provider: OIDCProvider, browser: Browser) -> None:
    url = served.config["PORTAL"].public_url
    with window(browser, url) as watched:
        page = watched.page
        page.goto(url + "/sign-in-settings")
        page.get_by_label("Email address").fill("root@contoso.test")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        look(watched)
        page.get_by_label("Claim with the role").fill("groups")
        page.get_by_label("Roles", exact=True).fill("ops = king")
        page.get_by_role("button", name="Check and save").click()
        expect(page.get_by_role("alert")).to_contain_text("Line 1 is not of the form")
        look(watched)
        page.get_by_label("Roles", exact=True).fill("ops = helpdesk")
        page.get_by_role("button", name="Check and save").click()

        expect(page.get_by_text("Sign-in settings saved.")).to_be_visible()
        assert watched.faults == []


@pytest.fixture(scope="module")
def other_peoples() -> Iterator[str]:
    """oidc-provider-mock as a process of its own, since it warns of what it imports; its address."""
    port = free_port()
    claims = json.dumps({"sub": "1001", "email": ADA, "email_verified": True, "name": "Ada"})
    arguments = ["--port", str(port), "--user-claims", claims]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def agree(there: str) -> str:
    """Somebody signs in at that provider: the path that the browser is sent back to."""
    parts = urlsplit(there)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"{parts.path}?{parts.query}", urlencode({"sub": "1001"}), form)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{urlencode(parse_qsl(back.query))}"


def test_a_provider_that_others_wrote_signs_people_in(app: Flask, client: FlaskClient, other_peoples: str) -> None:
    settings = ProviderSettings(issuer=other_peoples, client_id="portal", adds_people=True)
    with app.app_context(), unit_of_work() as session:
        provider_settings.save(
            session,
            settings,
            secret=SecretChange(SecretAction.REPLACE, "geheim"),
            box=app.extensions["secret_box"],
            actor=audit.COMMAND_LINE,
            expected_version=0,
            now=NOW,
        )

    answer = client.get(agree(start(client, next_path="/profile")))

    assert answer.location == "/profile"
    assert client.get("/profile").status_code == 200
    assert user_with(app, ADA).name == "Ada"
