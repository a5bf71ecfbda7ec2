"""Second factors in a real Chromium: its own virtual authenticator for passkeys, codes with script and without."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pyotp
import pytest
from playwright.sync_api import Browser, CDPSession, Page, Route, expect

from tests.browser.running import RunningPortal, environment_at, free_port
from tests.browser.windows import Watched, window
from tests.conftest import copied

pytestmark = pytest.mark.browser

OWNER, PASSWORD = "ada@contoso.test", "seven quiet foxes drink tea"
OWN = "/profile/second-factor"
SETTINGS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))


@pytest.fixture
def at_localhost(tmp_path: Path, migrated_sqlite: Path) -> Iterator[RunningPortal]:
    """A portal with one administrator, reached by a host name: passkeys know no addresses of numbers."""
    port = free_port()
    environ = environment_at(port, tmp_path) | {
        "PORTAL_DATABASE_URL": copied(migrated_sqlite, tmp_path),
        "PORTAL_PUBLIC_URL": f"http://localhost:{port}",
        "PORTAL_ADMIN_EMAIL": OWNER,
        "PORTAL_ADMIN_PASSWORD": PASSWORD,
    }
    portal = RunningPortal(tmp_path, environ["PORTAL_PUBLIC_URL"], environ)
    portal.begin("run")
    portal.wait_until_ready()
    yield portal
    portal.end()


@pytest.fixture
def watched(browser: Browser, at_localhost: RunningPortal, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A window of a stranger; `params` may say {"script": False}."""
    with window(browser, at_localhost.url, **getattr(request, "param", {})) as watched:
        yield watched


def press(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()


def looks_well(watched: Watched) -> None:
    """Styled, accessible in light and dark, and nothing to be scrolled sideways; script off, what can be seen."""
    if not watched.has_script:
        return
    watched.styled()
    for scheme, width in SETTINGS:
        watched.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        watched.page.set_viewport_size({"width": width, "height": 900})
        watched.accessible()
        watched.fits()
    watched.page.set_viewport_size({"width": 1280, "height": 900})


def give_password(watched: Watched) -> None:
    page = watched.page
    page.goto(f"{watched.url}/sign-in")
    page.locator("[name=email]").fill(OWNER)
    page.locator("[name=password]").fill(PASSWORD)
    press(page, "Sign in")
    expect(page).not_to_have_url(re.compile("/sign-in$"))


def sign_out(watched: Watched) -> None:
    watched.page.goto(f"{watched.url}/profile")
    watched.page.locator("[popovertarget=user-menu]").click()
    watched.page.get_by_role("button", name="Sign out").click()
    expect(watched.page.get_by_role("heading", level=1)).to_have_text("Sign in")


@dataclass(frozen=True)
class Device:
    """Chromium's virtual authenticator; its owner is at hand, or away."""

    devtools: CDPSession
    id: str

    def is_touched(self, at_hand: bool) -> None:
        asked = {"authenticatorId": self.id, "enabled": at_hand}
        self.devtools.send("WebAuthn.setAutomaticPresenceSimulation", asked)


def add_authenticator(page: Page) -> Device:
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    device = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options = {**device, "isUserVerified": True, "automaticPresenceSimulation": True}
    return Device(devtools, devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"])


def touch_first(device: Device) -> Callable[[Route], None]:
    """The finger is there before the question: a device that is asked without one never answers."""

    def touch(route: Route) -> None:
        device.is_touched(True)
        route.continue_()

    return touch


def let_confirmation_grow_old(portal: RunningPortal) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=16)).strftime("%Y-%m-%d %H:%M:%S.000000")
    with closing(sqlite3.connect(portal.folder / "portal.sqlite3", timeout=10)) as database, database:
        database.execute("update user_session set confirmed_at = ?", (long_ago,))


def test_a_passkey_is_added_signs_in_is_the_second_factor_and_confirms(
    at_localhost: RunningPortal, watched: Watched
) -> None:
    page = watched.page
    device = add_authenticator(page)
    give_password(watched)
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    page.goto(watched.url + OWN)
    looks_well(watched)
    page.locator("[name=name]").fill("This laptop")
    press(page, "Add a passkey")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your recovery codes")
    looks_well(watched)
    page.goto(watched.url + OWN)
    expect(page.get_by_text("This laptop", exact=True)).to_be_visible()
    looks_well(watched)

    device.is_touched(False)
    with page.expect_response("**/options"):  # the address field's own question, which nobody touches
        sign_out(watched)
    looks_well(watched)
    page.route("**/options", touch_first(device))
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.unroute("**/options")

    device.is_touched(False)
    sign_out(watched)
    give_password(watched)
    device.is_touched(True)
    expect(page.get_by_role("heading", level=1)).to_have_text("Second factor")
    looks_well(watched)
    press(page, "Use a passkey")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    let_confirmation_grow_old(at_localhost)
    page.goto(watched.url + OWN)
    expect(page.get_by_role("heading", level=1)).to_have_text("Give your password again")
    looks_well(watched)
    press(page, "Use a passkey")
    expect(page.get_by_role("heading", level=1)).to_have_text("Second factor")
    assert watched.faults == []


def test_the_browser_offers_passkeys_in_the_address_field(watched: Watched) -> None:
    page = watched.page
    add_authenticator(page)
    give_password(watched)
    page.goto(watched.url + OWN)
    page.locator("[name=name]").fill("This laptop")
    press(page, "Add a passkey")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your recovery codes")
    page.context.clear_cookies()

    page.goto(f"{watched.url}/sign-in")  # the owner is at hand: the passkey is chosen as soon as it is offered

    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert watched.faults == []


def test_a_device_is_not_added_twice_and_says_so(watched: Watched) -> None:
    page = watched.page
    add_authenticator(page)
    give_password(watched)
    page.goto(watched.url + OWN)
    page.locator("[name=name]").fill("This laptop")
    press(page, "Add a passkey")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your recovery codes")

    page.goto(watched.url + OWN)
    page.locator("[name=name]").fill("The same laptop")
    press(page, "Add a passkey")

    expect(page.get_by_role("alert").filter(has_text="has a passkey of this account already")).to_be_visible()
    looks_well(watched)


@pytest.mark.parametrize("watched", [{"script": True}, {"script": False}], ids=["script", "no script"], indirect=True)
def test_an_app_is_set_up_and_asked_for_with_script_and_without(watched: Watched) -> None:
    page = watched.page
    give_password(watched)
    page.goto(watched.url + OWN)
    press(page, "Set up an app")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    looks_well(watched)
    codes = pyotp.TOTP(page.locator("#app-key").input_value().replace(" ", ""))
    page.locator("[name=code]").fill(codes.now())
    press(page, "Confirm the app")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your recovery codes")
    recovery = page.locator("#recovery-codes").input_value().split()

    sign_out_by_form(watched)
    give_password(watched)
    expect(page.get_by_role("button", name="Use a passkey")).to_have_count(0)
    looks_well(watched)
    page.get_by_label("Code of the app").fill(codes.at(datetime.now(UTC) + timedelta(seconds=30)))
    press(page, "Continue")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    sign_out_by_form(watched)
    give_password(watched)
    page.get_by_text("Use a recovery code", exact=True).click()
    page.get_by_label("Recovery code").fill(recovery[0])
    press(page, "Use this code")
    expect(page.get_by_text("9 are left")).to_be_visible()
    looks_well(watched)
    assert len(recovery) == 10
    assert watched.faults == []


def sign_out_by_form(watched: Watched) -> None:
    if watched.has_script:
        return sign_out(watched)
    watched.page.context.clear_cookies()
    return None


@pytest.mark.parametrize("watched", [{"script": False}], indirect=True)
def test_without_script_no_passkey_is_offered(watched: Watched) -> None:
    watched.page.goto(f"{watched.url}/sign-in")
    expect(watched.page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()

    give_password(watched)
    watched.page.goto(watched.url + OWN)
    expect(watched.page.get_by_role("button", name="Add a passkey")).to_be_hidden()
    expect(watched.page.get_by_text("To add a passkey, use a browser that knows them")).to_be_visible()
