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


def _save_a_server_too_late(page: Page) -> None:
    page.locator("[name=display_name]").fill("Somebody else")
    page.locator("[name=version]").evaluate("field => field.value = 7")
    press("Save")(page)


def _send_to_nobody(page: Page) -> None:
    page.locator("[name=to]").fill("")
    press("Send test email")(page)


def _name_a_user_badly(page: Page) -> None:
    page.locator("[name=user_name]").fill("a@b")
    press("Save")(page)


def _show_rare_fields(page: Page) -> None:
    for summary in page.locator("main summary:visible").all():
        summary.click()


def _ask_in_this_browser(page: Page) -> None:
    page.context.add_cookies([{"name": "portal-reset", "value": "x" * 43, "url": page.url}])
    page.reload()


def _type_a_wrong_code(page: Page) -> None:
    _ask_in_this_browser(page)
    page.locator("[name=identifier]").fill("eve@contoso.test")
    page.locator("[name=code]").fill("12345678")
    page.locator("[name=password]").fill("whatever it may be 42")
    press("Change password")(page)


def _save_a_bad_rule(page: Page) -> None:
    _show_rare_fields(page)
    page.locator("[name=pattern_1]").fill("(a+)+")
    page.locator("[name=attempts]").fill("0")
    press("Save")(page)


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
    "code, not asked for": Look("stranger", "/reset-password", "Ask for a code first"),
    "code": Look("stranger", "/reset-password", "Type your code", _ask_in_this_browser),
    "code, refused": Look("stranger", "/reset-password", "Type your code", _type_a_wrong_code),
    "recovery settings": Look("admin", "/recovery-settings", "Recovery settings", _show_rare_fields),
    "recovery settings, refused": Look("admin", "/recovery-settings", "Recovery settings", _save_a_bad_rule),
    "security questions": Look("user", "/profile/security-questions", "Security questions", _show_rare_fields),
    "security questions, refused": Look(
        "user", "/profile/security-questions", "Security questions", press("Save questions")
    ),
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
    "second factor": Look("admin", "/profile/second-factor", "Second factor"),
    "second factor, none yet": Look("helpdesk", "/profile/second-factor", "Second factor"),
    "new app": Look("user", "/profile/second-factor/app", "Set up an authenticator app"),
    "new app, refused": Look(
        "user", "/profile/second-factor/app", "Set up an authenticator app", press("Confirm the app")
    ),
    "removal of an app": Look("admin", "/profile/second-factor/app/removal", "Remove the authenticator app"),
    "recovery codes": Look("admin", "/profile/second-factor", "Your recovery codes", press("Make new codes")),
    "sign-in settings": Look("admin", "/sign-in-settings", "Sign-in settings"),
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
    "audit log": Look("admin", "/audit-log", "Audit log", _show_rare_fields),
    "audit log, narrowed to nothing": Look("admin", "/audit-log?who=nobody", "Audit log"),
    "audit log, refused": Look("admin", "/audit-log?since=2026-11-21&until=2026-11-20", "Audit log"),
    "users": Look("admin", "/users", "Users"),
    "users, nobody found": Look("helpdesk", "/users?text=zzzz", "Users"),
    "user": Look("admin", "/users/{person}", "Person"),
    "user, refused": Look("admin", "/users/{person}", "Person", _name_a_user_badly),
    "user, invited": Look("admin", "/users/{invited}", "Invited"),
    "user, for the helpdesk": Look("helpdesk", "/users/{person}", "Person"),
    "deletion of a user": Look("admin", "/users/{person}/deletion", "Delete Person"),
    "new user": Look("admin", "/users/new", "Invite somebody"),
    "new user, refused": Look("admin", "/users/new", "Invite somebody", press("Invite")),
    "list of people": Look("admin", "/users/import", "Invite many"),
    "list of people, refused": Look("admin", "/users/import", "Invite many", press("Look at the list")),
    "list of people, looked at": Look("admin", "/users/import/{draft_list}", "Look at the list"),
    "list of people, worked off": Look("admin", "/users/import/{confirmed_list}", "Inviting many"),
    "import": Look("admin", "/settings-import", "Import settings"),
    "import, refused": Look("admin", "/settings-import", "Import settings", press("Look at it")),
    "import, looked at": Look("admin", "/settings-import/{import}", "Look at the import"),
    "servers": Look("admin", "/servers", "Servers"),
    "new server": Look("admin", "/servers/new", "New server"),
    "new server, refused": Look("admin", "/servers/new", "New server", press("Add")),
    "server": Look("admin", "/servers/{server}", "Wiki", _show_rare_fields),
    "server, changed meanwhile": Look(
        "admin", "/servers/{server}/settings", "Somebody else saved meanwhile", _save_a_server_too_late
    ),
    "new key, made": Look("admin", "/servers/{server}", "The new API key", press("Make a key")),
    "new log-in, made": Look("admin", "/servers/{server}", "The log-in for the relay", press("Make a log-in")),
    "settings of a server": Look("admin", "/servers/{server}/settings", "Settings of Wiki"),
    "new key": Look("admin", "/servers/{server}/keys/new", "New API key"),
    "setting-up sheet": Look("admin", "/servers/{server}/sheet", "Setting up Wiki"),
    "new webhook, refused": Look("admin", "/servers/{server}/webhooks/new", "Add a webhook", press("Add the webhook")),
    "deletion of a server": Look("admin", "/servers/{server}/deletion", "Delete Wiki"),
    "routing": Look("admin", "/servers/routing?by={server}&of_kind=api", "Routing"),
    "routing, refused": Look("admin", "/servers/routing", "Routing", press("Add")),
    "senders": Look("admin", "/servers/senders", "Senders"),
    "this installation": Look("admin", "/installation", "This installation"),
    "documentation of the API": Look("stranger", "/api/docs", "HTTP API"),
    "list of people, done": Look("admin", "/users/import/{done_list}", "Inviting many"),
    "invitation": Look("stranger", "/invitations/{invitation_token}", "Choose your password"),
    "invitation, expired": Look("stranger", "/invitations/{late_invitation_token}", "This invitation has expired"),
    "validation of an address": Look("admin", "/account-validations/{validation_token}", "Is this your address?"),
    "validation, signed out": Look("stranger", "/account-validations/{validation_token}", "Sign in first"),
    "validation, of another account": Look(
        "user", "/account-validations/{validation_token}", "This link belongs to another account"
    ),
    "validation, too old": Look("admin", "/account-validations/{late_validation_token}", "This link is too old"),
    "validation, dead": Look("stranger", "/account-validations/nonsense", "This link does not work"),
    "validation, taken": Look(
        "admin",
        "/account-validations/{taken_validation_token}",
        "This address belongs to another account",
        press("Validate the address"),
    ),
    "address of a user": Look("admin", "/users/{person}/address", "Change the address of Person"),
    "address of a user, refused": Look(
        "admin", "/users/{person}/address", "Change the address of Person", press("Change the address")
    ),
    "sign-in at a provider that cannot be finished": Look(
        "stranger", "/sign-in/oidc/callback?state=nonsense&code=nonsense", "This sign-in cannot be finished"
    ),
    "invitation, dead": Look("stranger", "/invitations/nonsense", "This invitation does not work"),
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
