"""Consent in Chromium: in a window of its own that the provider cuts off, or in the same one, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect
from sqlalchemy import update

from portal import connections, create_app
from portal.accounts.models import User, UserSession
from portal.accounts.passwords import hash_password
from portal.config import load_config
from portal.connections.values import Method
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.admin_browser import PASSWORD, Browser
from tests.browser.running import free_port
from tests.browser.windows import Watched
from tests.conftest import copied
from tests.connections.consenting import (
    ADA_ADDRESS,
    CONSENT_METHODS,
    GOOGLE_ID,
    GOOGLE_SECRET,
    PORTAL,
    TOO_OLD,
    Outside,
    create,
    flows,
    grants,
    let_time_pass,
    provider_values,
)
from tests.connections.making import stored, wait_for_checks
from tests.wsgi_server import serving

pytestmark = pytest.mark.browser
EACH_METHOD = pytest.mark.parametrize("method", CONSENT_METHODS)
YES = {Method.GOOGLE: "Allow", Method.MICROSOFT: "Accept"}
CALLED_BACK = re.compile(r"/oauth/\w+/callback\?")
Open = Callable[..., Page]


@pytest.fixture
def served(tmp_path: Path, outside: Outside, migrated_sqlite: Path) -> Iterator[Flask]:
    """A portal on a port of its own, which both providers know."""
    port = free_port()
    environ = {
        "PORTAL_INSTANCE": str(tmp_path),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PORTAL_DATABASE_URL": copied(migrated_sqlite, tmp_path),
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8",
        **outside.environment,
    }
    outside.register(f"http://127.0.0.1:{port}")
    app = create_app(load_config(environ))
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    with serving(app, port):
        yield app
    wait_for_checks()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def open_page(served: Flask, browser: Chromium) -> Iterator[Open]:
    """`open_page(path, script=False, before="…")` as an administrator; what a page complains of fails the test."""
    faults: list[str] = []
    url = served.config["PORTAL"].public_url
    contexts = []

    def opening(path: str, *, script: bool = True, before: str = "") -> Page:
        token = Browser(served).client.get_cookie("portal-session", domain="127.0.0.1")
        assert token is not None
        context = browser.new_context(java_script_enabled=script, ignore_https_errors=True)
        contexts.append(context)
        context.set_default_timeout(10_000)
        context.add_cookies([{"name": "portal-session", "value": token.value, "url": url}])
        if before:
            context.add_init_script(before)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        # That an answer was 400 is noted by the browser; all else that it complains of is a mistake.
        context.on(
            "console",
            lambda message: (
                message.type == "error" and "status of 4" not in message.text and faults.append(message.text)
            ),
        )
        page = context.new_page()
        page.goto(url + path)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert faults == []


def connect_in_popup(page: Page, button: str = "Connect") -> Page:
    """Choose Connect; the window that opens, at the provider."""
    with page.expect_popup() as opened:
        page.get_by_role("button", name=button, exact=True).click()
    popup = opened.value
    popup.wait_for_url(re.compile(r"^https://"))
    return popup


def agree(window: Page, method: Method, *, account: str = PORTAL) -> None:
    """Say yes on the provider's pages, whichever it shows."""
    chooser = window.get_by_role("button", name=account)
    if chooser.count():
        chooser.click()
    window.get_by_role("button", name=YES[method]).click()


def connection_page(connection_id: UUID) -> str:
    return f"/connections/{connection_id}"


@EACH_METHOD
def test_a_stored_connection_is_connected_in_a_window_of_its_own(
    served: Flask, open_page: Open, method: Method
) -> None:
    page = open_page(connection_page(create(served, provider_values(method))))
    expect(page.get_by_text("Nobody has consented yet. Connect opens")).to_be_visible()

    popup = connect_in_popup(page)
    expect(page.get_by_text("Go on in the window that has opened")).to_be_visible()
    assert popup.evaluate("window.opener === null") is True
    with popup.expect_event("close"):
        agree(popup, method)

    expect(page.get_by_text("Connected as portal@contoso.test")).to_be_visible()
    assert not stored(served).lacks_consent


def test_what_is_typed_is_connected_checked_and_saved_in_the_window_that_opened(served: Flask, open_page: Open) -> None:
    page = open_page("/connections/new")
    page.get_by_label("Google", exact=False).first.check(force=True)
    page.locator("#name").fill("Typed")
    page.locator("#client_id").fill(GOOGLE_ID)
    page.locator("#client_secret").fill(GOOGLE_SECRET)
    page.get_by_label("From address").fill(PORTAL)

    popup = connect_in_popup(page)
    with popup.expect_event("close"):
        agree(popup, Method.GOOGLE)

    page.wait_for_url(re.compile(r"/connection-checks/"))
    expect(page.locator("#verdict")).to_contain_text("Typed is saved")
    assert not stored(served, "Typed").lacks_consent


@EACH_METHOD
def test_without_script_the_same_window_goes_there_and_back(served: Flask, open_page: Open, method: Method) -> None:
    page = open_page(connection_page(create(served, provider_values(method))), script=False)

    page.get_by_role("button", name="Connect", exact=True).click()
    agree(page, method)

    expect(page.get_by_role("heading", name="Connected as portal@contoso.test")).to_be_visible()
    assert re.search(r"/consents-under-way/[0-9a-f-]{36}$", page.url)
    page.get_by_role("link", name="Go to the connection").click()
    expect(page.get_by_text("Connected as portal@contoso.test")).to_be_visible()


def test_where_windows_are_blocked_the_same_window_goes_there_and_back(served: Flask, open_page: Open) -> None:
    path = connection_page(create(served, provider_values(Method.GOOGLE)))
    page = open_page(path, before="window.open = () => null")

    page.get_by_role("button", name="Connect", exact=True).click()
    page.wait_for_url(re.compile(r"^https://"))
    agree(page, Method.GOOGLE)

    expect(page.get_by_role("heading", name="Connected as portal@contoso.test")).to_be_visible()
    assert page.evaluate("history.length") > 1
    assert len(page.context.pages) == 1


def test_a_window_closed_half_way_is_no_error_and_the_next_one_counts(served: Flask, open_page: Open) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.GOOGLE))))
    connect_in_popup(page).close()
    page.wait_for_timeout(2000)
    expect(page.get_by_text("No window, or closed it?")).to_be_visible()
    expect(page.get_by_text("Nothing was connected")).to_be_hidden()

    popup = connect_in_popup(page)
    with popup.expect_event("close"):
        agree(popup, Method.GOOGLE)

    expect(page.get_by_text("Connected as portal@contoso.test")).to_be_visible()
    assert [flow.state for flow in flows(served)] == ["cancelled", "stored"]


@EACH_METHOD
def test_who_declines_is_told_in_both_windows(served: Flask, open_page: Open, method: Method) -> None:
    page = open_page(connection_page(create(served, provider_values(method))))
    popup = connect_in_popup(page)
    if method is Method.MICROSOFT:
        chooser = popup.get_by_role("button", name=PORTAL)
        if chooser.count():
            chooser.click()

    popup.get_by_role("button", name="Cancel").click()

    expect(popup.get_by_role("heading", name="Nothing was connected")).to_be_visible()
    expect(page.locator("#consent-state")).to_contain_text("Nothing was connected")
    expect(page.locator("#consent-outcome")).to_contain_text("Nothing was connected")
    popup.get_by_role("button", name="Try again").click()
    with popup.expect_event("close"):
        agree(popup, method)
    expect(page.get_by_text("Connected as portal@contoso.test")).to_be_visible()
    assert not stored(served).lacks_consent


def test_the_password_is_given_in_the_window_that_asks_for_it(served: Flask, open_page: Open) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.GOOGLE))))
    with served.app_context(), unit_of_work() as session:
        session.execute(update(User).values(password_hash=hash_password(PASSWORD)))
        session.execute(update(UserSession).values(confirmed_at=datetime.now(UTC) - timedelta(minutes=16)))
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Connect", exact=True).click()
    popup = opened.value
    popup.get_by_label("Password", exact=True).fill(PASSWORD)
    popup.get_by_role("button", name="Continue").click()

    popup.get_by_role("button", name="Connect", exact=True).click()
    popup.wait_for_url(re.compile(r"^https://"))
    with popup.expect_event("close"):
        agree(popup, Method.GOOGLE)

    expect(page.get_by_text("Connected as portal@contoso.test")).to_be_visible()
    assert len(page.context.pages) == 1


def test_another_account_is_asked_about_and_taken_on_request(served: Flask, open_page: Open) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.MICROSOFT))))
    popup = connect_in_popup(page)
    agree(popup, Method.MICROSOFT, account=ADA_ADDRESS)

    expect(popup.get_by_role("heading", name="Another account consented")).to_be_visible()
    expect(page.locator("#consent-state")).to_contain_text("ada@contoso.test consented, another account than expected")
    assert grants(served) == []
    popup.get_by_role("button", name="Use ada@contoso.test").click()
    expect(popup.get_by_text("You may close this window")).to_be_visible()

    page.wait_for_url(re.compile(r"/connection-checks/"))
    expect(page.locator("#verdict")).to_contain_text("Main is saved")


def test_a_flow_that_took_too_long_says_so(served: Flask, open_page: Open) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.GOOGLE))))
    popup = connect_in_popup(page)
    let_time_pass(served, TOO_OLD)

    expect(page.locator("#consent-state")).to_contain_text("The time is over")
    agree(popup, Method.GOOGLE)

    expect(popup.get_by_role("heading", name="The time is over")).to_be_visible()
    assert grants(served) == []


def test_a_callback_is_not_taken_twice(served: Flask, open_page: Open) -> None:
    path = connection_page(create(served, provider_values(Method.GOOGLE)))
    page = open_page(path, before="window.open = () => null")
    called_back: list[str] = []
    page.on("request", lambda request: CALLED_BACK.search(request.url) and called_back.append(request.url))
    page.get_by_role("button", name="Connect", exact=True).click()
    page.wait_for_url(re.compile(r"^https://"))
    agree(page, Method.GOOGLE)
    expect(page.get_by_role("heading", name="Connected as portal@contoso.test")).to_be_visible()

    page.goto(called_back[0])

    expect(page.get_by_role("heading", name="This answer was used already")).to_be_visible()
    page.get_by_role("link", name="See what it came to").click()
    expect(page.get_by_role("heading", name="Connected as portal@contoso.test")).to_be_visible()


def test_a_link_that_carries_another_sessions_consent_does_nothing(
    served: Flask, open_page: Open, outside: Outside
) -> None:
    path = connection_page(create(served, provider_values(Method.GOOGLE)))
    attacker = connect_in_popup(open_page(path))
    link = outside.consent(attacker.url, ADA_ADDRESS) if "/o/oauth2/" in attacker.url else ""
    victim = open_page(path)

    victim.goto(link)

    expect(victim.get_by_role("heading", name="This consent was started elsewhere")).to_be_visible()
    assert [flow.state for flow in flows(served)] == ["started"]


def test_an_error_page_that_leads_nowhere_is_explained(served: Flask, open_page: Open, outside: Outside) -> None:
    outside.register("https://elsewhere.contoso.test")
    page = open_page(connection_page(create(served, provider_values(Method.MICROSOFT))))
    popup = connect_in_popup(page)
    shown = popup.get_by_role("main").inner_text()
    let_time_pass(served, timedelta(seconds=20))

    page.get_by_role("link", name="The provider shows an error").click()
    page.get_by_label("Did the provider show an error?").fill(shown)
    page.get_by_role("button", name="Explain it").click()

    assert "AADSTS50011" in shown
    expect(page.locator(".diagnosis dt").first).to_have_text("What happened")
    expect(page.get_by_text("AADSTS50011").first).to_be_visible()
    assert [(flow.state, flow.code) for flow in flows(served)] == [("started", "microsoft.redirect_uri_mismatch")]


def test_axe_finds_nothing_and_nothing_overflows(served: Flask, open_page: Open) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.MICROSOFT))))
    watched = Watched(page, served.config["PORTAL"].public_url, has_script=True)
    popup = connect_in_popup(page)
    agree(popup, Method.MICROSOFT, account=ADA_ADDRESS)
    expect(popup.get_by_role("heading", name="Another account consented")).to_be_visible()
    form, mismatch = page.url, popup.url
    popup.close()
    path = connection_page(create(served, provider_values(Method.GOOGLE, name="Other")))
    connect_in_popup(open_page(path)).close()

    for url in (
        page.url,
        mismatch,
        f"{watched.url}/oauth/google/callback",
        f"{watched.url}/connections/consents/latest",
    ):
        page.goto(url)
        for scheme, width in (("light", 1280), ("dark", 360)):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            watched.accessible()
            watched.fits()
            watched.styled() if url != form else None
