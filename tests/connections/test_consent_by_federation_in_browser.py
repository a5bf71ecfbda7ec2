"""Consent in Chromium where the provider sends the browser on at once to an organisation's own sign-in page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from portal.connections.values import Method
from tests.connections import test_consent_in_browser as consent_windows
from tests.connections.consenting import Outside, create, provider_values
from tests.connections.making import stored
from tests.connections.test_consent_in_browser import Open, agree, connection_page
from tests.outside.certificates import ServerCertificate
from tests.outside.https_server import HTTPSServer, ReceivedRequest, Reply

pytestmark = pytest.mark.browser
served, open_page = consent_windows.served, consent_windows.open_page
SIGN_IN = "/adfs/ls/"


@pytest.fixture
def company(certificate: ServerCertificate, outside: Outside) -> Iterator[HTTPSServer]:
    """An organisation's AD FS on an origin of its own: Microsoft redirects there before it shows anything itself."""

    def page(_: ReceivedRequest) -> Reply:
        asked = next(one for one in reversed(outside.microsoft.requests) if one.path.endswith("/authorize"))
        back = f"{outside.microsoft.login_url}{asked.path}?{urlencode(asked.query)}".replace("&", "&amp;")
        content = f'<!doctype html><title>Contoso</title><link rel="icon" href="data:,"><a href="{back}">Sign in</a>'
        return Reply(200, content.encode(), {"Content-Type": "text/html"})

    with HTTPSServer(certificate) as company:
        company.on(SIGN_IN, answer=page)
        outside.microsoft.on("authorize", status=302, headers={"Location": company.url(SIGN_IN)}, times=1)
        yield company


def sign_in_at(company: HTTPSServer, window: Page) -> None:
    """Where the window must have come by redirects alone."""
    window.wait_for_url(company.url(SIGN_IN))
    window.get_by_role("link", name="Sign in").click()


def test_the_window_that_opened_comes_to_an_organisations_own_sign_in_page(
    served: Flask, open_page: Open, company: HTTPSServer
) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.MICROSOFT))))

    with page.expect_popup() as opened:
        page.get_by_role("button", name="Connect", exact=True).click()
    popup = opened.value
    sign_in_at(company, popup)
    with popup.expect_event("close"):
        agree(popup, Method.MICROSOFT)

    expect(page.get_by_text("Connected as portal@contoso.test")).to_be_visible()
    assert not stored(served).lacks_consent


def test_without_script_the_same_window_comes_to_an_organisations_own_sign_in_page(
    served: Flask, open_page: Open, company: HTTPSServer
) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.MICROSOFT))), script=False)

    page.get_by_role("button", name="Connect", exact=True).click()
    sign_in_at(company, page)
    agree(page, Method.MICROSOFT)

    expect(page.get_by_role("heading", name="Connected as portal@contoso.test")).to_be_visible()


def test_an_invited_owner_comes_to_an_organisations_own_sign_in_page(
    served: Flask, open_page: Open, browser: Chromium, company: HTTPSServer
) -> None:
    connection_id = create(served, provider_values(Method.MICROSOFT))
    page = open_page(f"/connections/{connection_id}/consent-invitations")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Link", exact=True).input_value()
    owner = browser.new_context(ignore_https_errors=True)
    owner.set_default_timeout(10_000)
    window = owner.new_page()
    window.goto(link)

    window.get_by_role("button", name=re.compile("^Go to")).click()
    sign_in_at(company, window)
    agree(window, Method.MICROSOFT)

    expect(window.get_by_role("heading", name="Thank you")).to_be_visible()
    owner.close()
