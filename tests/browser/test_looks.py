"""Every page in a real browser: axe-core finds nothing in light and dark, and nothing has to be scrolled sideways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.running import ServedPortal
from tests.browser.windows import Watched, window
from tests.furnished import IDENTITIES, PASSWORD

pytestmark = pytest.mark.browser

SETTINGS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))


@dataclass(frozen=True)
class Look:
    """A page in one state: who opens it where, and what is done there first."""

    identity: str
    path: str
    heading: str
    act: Callable[[Page], None] = lambda _page: None


def press(name: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("main").get_by_role("button", name=name, exact=True).click()


def _spoil_token(page: Page) -> None:
    page.locator("main [name=csrf_token]").evaluate("field => { field.value = 'spoilt'; field.form.submit(); }")


def _sign_in_wrongly(page: Page) -> None:
    page.locator("[name=email]").fill("eve@contoso.test")
    page.locator("[name=password]").fill("not her password")
    press("Sign in")(page)


def _confirm(page: Page) -> None:
    page.locator("[name=password]").fill(PASSWORD)
    press("Continue")(page)


def _save_an_old_version(page: Page) -> None:
    page.locator("[name=from_address]").fill("it@contoso.test")
    page.locator("[name=version]").evaluate("field => field.value = 7")
    press("Save")(page)


def _send_to_nobody(page: Page) -> None:
    page.locator("[name=to]").fill("")
    press("Send test email")(page)


def _show_rare_fields(page: Page) -> None:
    for summary in page.locator("main summary:visible").all():
        summary.click()


LOOKS = {
    "sign-in": Look("stranger", "/sign-in", "Sign in"),
    "sign-in, refused": Look("stranger", "/sign-in", "Sign in", _sign_in_wrongly),
    "forgotten password": Look("stranger", "/forgot-password", "Forgot your password?"),
    "forgotten password, sent": Look("stranger", "/forgot-password?sent=1", "No mail can reach you yet"),
    "new password": Look("stranger", "/reset-password/{token}", "Choose a new password"),
    "new password, refused": Look(
        "stranger", "/reset-password/{token}", "Choose a new password", press("Change password")
    ),
    "a dead link": Look("stranger", "/reset-password/nonsense", "This link no longer works"),
    "set-up, closed": Look("stranger", "/setup?token=nonsense", "This set-up address does not work"),
    "no such page": Look("stranger", "/nowhere", "There is no such page"),
    "a spoilt token": Look("stranger", "/sign-in", "This form could not be verified", _spoil_token),
    "overview of a user": Look("user", "/", "Overview"),
    "profile": Look("user", "/profile", "Profile"),
    "profile, refused": Look("user", "/profile", "Profile", press("Change password")),
    "overview of the helpdesk": Look("helpdesk", "/", "Overview"),
    "not open to the helpdesk": Look("helpdesk", "/connections", "This page is not open to you"),
    "overview": Look("admin", "/", "Overview"),
    "the wrong way": Look("admin", "/sign-out", "This address does not work that way"),
    "password again": Look("admin", "/confirm-password?next=/", "Give your password again"),
    "email settings": Look("admin", "/email-settings", "Email settings"),
    "email settings, changed meanwhile": Look("admin", "/email-settings", "Email settings", _save_an_old_version),
    "connections": Look("admin", "/connections", "Connections"),
    "new connection": Look("admin", "/connections/new", "New connection", _show_rare_fields),
    "new connection, refused": Look("admin", "/connections/new", "New connection", press("Save")),
    "new connection by a preset": Look("admin", "/connections/new?preset=microsoft365", "New connection"),
    "connection": Look("admin", "/connections/{connection}", "Main", _show_rare_fields),
    "connection that keeps mail": Look("admin", "/connections/{default}", "Kept here"),
    "deletion": Look("admin", "/connections/{connection}/deletion", "Delete Main"),
    "deletion of the default": Look("admin", "/connections/{default}/deletion", "Delete Kept here"),
    "check that passed": Look("admin", "/connection-checks/{check}", "Check of Main", _show_rare_fields),
    "check that failed": Look("admin", "/connection-checks/{failed_check}", "Check of Main", _show_rare_fields),
    "check under way": Look("admin", "/connection-checks/{waiting_check}", "Check of Another"),
    "new test message": Look("helpdesk", "/test-messages/new", "Test email"),
    "new test message, refused": Look(
        "helpdesk", "/test-messages/new?connection={draft}", "Test email", _send_to_nobody
    ),
    "test message, kept": Look("admin", "/test-messages/{message}", "Test email to grace@contoso.test"),
    "test message, failed": Look("helpdesk", "/test-messages/{failed_message}", "Test email to grace@contoso.test"),
    "test message, waiting": Look("helpdesk", "/test-messages/{waiting_message}", "Test email to grace@contoso.test"),
    "captured mail": Look("admin", "/captured-mail", "Captured mail"),
    "captured message": Look("admin", "/captured-mail/{message}", "Test message from", _show_rare_fields),
    "captured message of a secret kind": Look("admin", "/captured-mail/{secret_message}", "Reset", _confirm),
}


@pytest.fixture(scope="module")
def windows(browser: Browser, served: ServedPortal) -> Iterator[dict[str, Watched]]:
    """A window for each identity; it keeps the style sheets that it has fetched."""
    with ExitStack() as stack:
        tokens = served.things.tokens
        yield {
            identity: stack.enter_context(window(browser, served.url, session=tokens.get(identity)))
            for identity in IDENTITIES
        }


@pytest.mark.parametrize("name", LOOKS)
def test_a_page_is_styled_accessible_and_fits(served: ServedPortal, windows: dict[str, Watched], name: str) -> None:
    look = LOOKS[name]
    watched, page = windows[look.identity], windows[look.identity].page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(served.url + look.path.format(**served.things.ids))
    look.act(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text(look.heading)

    watched.styled()
    for scheme, width in SETTINGS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        watched.accessible()
        watched.fits()
    _zoom_to_200_percent(page)
    watched.fits()

    assert watched.faults == []


def _zoom_to_200_percent(page: Page) -> None:
    """What a window of 1280 pixels becomes: 640 of them, each twice as large (WCAG 2.2, 1.4.4)."""
    metrics = {"width": 640, "height": 450, "deviceScaleFactor": 2, "mobile": False}
    page.context.new_cdp_session(page).send("Emulation.setDeviceMetricsOverride", metrics)
