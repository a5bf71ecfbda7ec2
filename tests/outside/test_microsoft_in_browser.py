"""The pages of the stand-in for Microsoft in a real browser: they can be clicked, and some lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from tests.outside.certificates import ServerCertificate
from tests.outside.microsoft import MicrosoftServer
from tests.outside.microsoft_application import (
    CALLBACK,
    CLIENT_ID,
    MAIL_SEND,
    PORTAL,
    TENANT,
    Application,
    at_contoso,
    parameters_of,
    registered,
)

pytestmark = pytest.mark.browser

PORTAL_PAGES = re.compile(r"^https://portal\.contoso\.test/")


@pytest.fixture
def microsoft(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    with at_contoso(certificate) as microsoft:
        yield microsoft


@pytest.fixture
def application(microsoft: MicrosoftServer, ca_file: Path) -> Iterator[Application]:
    with closing(Application(microsoft, ca_file)) as application:
        yield application


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A browser for which the portal is a plain page, so that the way back ends somewhere."""

    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type="text/html", body="<title>Portal</title><h1>Portal</h1>")

    context = browser.new_context(ignore_https_errors=True)
    context.route(PORTAL_PAGES, answer)
    yield context
    context.close()


def test_a_person_picks_an_account_and_accepts(window: BrowserContext, application: Application) -> None:
    page, client = window.new_page(), application.client()
    flow = application.flow(client=client, prompt="select_account")
    page.goto(flow["auth_uri"])

    page.get_by_role("button", name=PORTAL).click()
    page.get_by_role("button", name="Accept").click()
    page.wait_for_url(PORTAL_PAGES)

    tokens = client.acquire_token_by_auth_code_flow(flow, parameters_of(page.url))
    assert tokens["id_token_claims"]["preferred_username"] == PORTAL


def test_a_person_cancels(window: BrowserContext, application: Application) -> None:
    page = window.new_page()
    page.goto(application.authorization_url(login_hint=PORTAL))

    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(PORTAL_PAGES)

    assert parameters_of(page.url)["error"] == "access_denied"


def test_a_person_who_needs_approval_returns_without_it(window: BrowserContext, application: Application) -> None:
    page = window.new_page()
    page.goto(application.authorization_url(scope="https://graph.microsoft.com/Mail.ReadWrite", login_hint=PORTAL))

    heading = page.get_by_role("heading").inner_text()
    page.get_by_role("button", name="Return to the application").click()
    page.wait_for_url(PORTAL_PAGES)

    assert heading == "Need admin approval"
    assert parameters_of(page.url)["error_description"].startswith("AADSTS90094")


def test_a_wrong_redirect_address_leads_nowhere(window: BrowserContext, application: Application) -> None:
    page = window.new_page()

    page.goto(application.authorization_url(redirect_uri="https://portal.contoso.test/elsewhere"))

    assert "AADSTS50011" in page.get_by_role("main").inner_text()
    assert page.get_by_role("button").count() == 0


def test_an_administrator_accepts_for_the_organisation(window: BrowserContext, microsoft: MicrosoftServer) -> None:
    registered(microsoft, has_admin_consent=False)
    page = window.new_page()
    page.goto(
        f"{microsoft.login_url}/{TENANT}/v2.0/adminconsent?client_id={CLIENT_ID}&redirect_uri={CALLBACK}&state=state-1"
    )

    page.get_by_role("button", name="Accept").click()
    page.wait_for_url(PORTAL_PAGES)

    assert parameters_of(page.url) == {"admin_consent": "True", "tenant": TENANT, "state": "state-1"}


def test_a_person_types_a_devices_code(
    window: BrowserContext, microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, allows_public_flows=True)
    device, page = application.device(), window.new_page()
    flow = device.initiate_device_flow([MAIL_SEND])
    page.goto(flow["verification_uri"])

    page.get_by_label("Code").fill(flow["user_code"].lower())
    page.get_by_label("Account").select_option(PORTAL)
    page.get_by_role("button", name="Continue").click()

    tokens = device.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert "You have signed in to Mail Portal on your device." in page.get_by_role("main").inner_text()
    assert tokens["id_token_claims"]["preferred_username"] == PORTAL


def consented_in_a_popup(window: BrowserContext, url: str) -> Page:
    """The pop-up after its way through the provider and back to the portal."""
    opener = window.new_page()
    opener.goto("https://portal.contoso.test/connections")
    with opener.expect_popup() as opened:
        opener.evaluate("url => { window.popup = window.open(url, 'consent', 'width=500,height=700'); }", url)
    popup = opened.value
    popup.get_by_role("button", name="Accept").click()
    popup.wait_for_url(f"{CALLBACK}?**")
    return popup


@pytest.mark.parametrize("cuts_opener", [True, False])
def test_a_popup_that_comes_back_has_lost_its_opener_where_that_is_wanted(
    window: BrowserContext, certificate: ServerCertificate, ca_file: Path, *, cuts_opener: bool
) -> None:
    with (
        at_contoso(certificate, cuts_opener=cuts_opener) as microsoft,
        closing(Application(microsoft, ca_file)) as application,
    ):
        popup = consented_in_a_popup(window, application.authorization_url(login_hint=PORTAL))

    assert popup.evaluate("window.opener === null") is cuts_opener
