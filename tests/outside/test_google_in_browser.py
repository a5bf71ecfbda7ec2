"""The stand-in's pages in a real browser: they can be clicked, and the window that opened them is out of reach."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from tests.outside.certificates import ServerCertificate
from tests.outside.google import EMAIL, SEND, GoogleServer
from tests.outside.google_application import CALLBACK, CLIENT_ID, CLIENT_SECRET, PORTAL, Application, parameters_of

pytestmark = pytest.mark.browser

PORTAL_PAGES = re.compile(r"https://portal\.contoso\.test/")


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A browser for which the portal is a plain page, so that the way back ends somewhere."""

    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type="text/html", body="<title>Portal</title><h1>Portal</h1>")

    context = browser.new_context(ignore_https_errors=True)
    context.route(PORTAL_PAGES, answer)
    yield context
    context.close()


def test_a_person_chooses_an_account_unticks_a_box_and_allows(
    window: BrowserContext, google: GoogleServer, application: Application
) -> None:
    page = window.new_page()
    page.goto(application.url(state="state-1", access_type="offline"))

    page.get_by_role("button", name="ada@contoso.test").click()
    page.get_by_role("checkbox", name="Send email on your behalf").uncheck()
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(PORTAL_PAGES)

    token = application.redeem(application.session(state="state-1"), page.url)
    assert set(token["scope"]) == {"openid", EMAIL}
    assert SEND not in token["scope"]


def test_a_person_cancels(window: BrowserContext, application: Application) -> None:
    page = window.new_page()
    page.goto(application.url(state="state-1", login_hint=PORTAL))

    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(PORTAL_PAGES)

    assert parameters_of(page.url) == {"state": "state-1", "error": "access_denied"}


def test_a_person_goes_past_the_warning(window: BrowserContext, google: GoogleServer, application: Application) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK], is_verified=False)
    page = window.new_page()
    page.goto(application.url(login_hint=PORTAL))

    page.get_by_text("Advanced").click()
    page.get_by_role("button", name="Go to Mail Portal").click()
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(PORTAL_PAGES)

    assert "code" in parameters_of(page.url)


def consented_in_a_popup(window: BrowserContext, url: str) -> Page:
    """The pop-up after its way through the provider and back to the portal."""
    opener = window.new_page()
    opener.goto("https://portal.contoso.test/connections")
    with opener.expect_popup() as opened:
        opener.evaluate("url => { window.popup = window.open(url, 'consent', 'width=500,height=700'); }", url)
    popup = opened.value
    popup.get_by_role("button", name="Allow").click()
    popup.wait_for_url(f"{CALLBACK}?**")
    return popup


def test_a_popup_that_comes_back_has_lost_its_opener(window: BrowserContext, application: Application) -> None:
    popup = consented_in_a_popup(window, application.url(login_hint=PORTAL))

    assert popup.evaluate("window.opener === null") is True


def test_a_popup_keeps_its_opener_where_that_is_wanted(
    window: BrowserContext, certificate: ServerCertificate, application: Application
) -> None:
    with GoogleServer(certificate=certificate, cuts_opener=False) as google:
        google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK])
        google.add_account(PORTAL)
        application.google = google
        popup = consented_in_a_popup(window, application.url(login_hint=PORTAL))

    assert popup.evaluate("window.opener === null") is False
