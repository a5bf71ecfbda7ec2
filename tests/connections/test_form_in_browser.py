"""The form and the check in Chromium: what the script adds, what holds without it, and what axe says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from portal import connections, create_app
from portal.config import load_config
from portal.extensions import db
from portal.schema import upgrade
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.browser.running import free_port
from tests.browser.windows import AXE
from tests.connections.making import wait_for_checks
from tests.outside.smtp_server import SMTPServer
from tests.wsgi_server import serving

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Flask]:
    """A portal on a port of its own."""
    port = free_port()
    environ = {
        "PORTAL_INSTANCE": str(tmp_path),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8",
        "PORTAL_MAIL_PORTS": "1-65535",
    }
    app = create_app(load_config(environ))
    upgrade(app)
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    with serving(app, port):
        yield app
    wait_for_checks()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def open_page(served: Flask, browser: Chromium) -> Iterator[Open]:
    """`open_page("/connections", script=False)` as an administrator; an error in the console fails the test."""
    faults: list[str] = []
    url = served.config["PORTAL"].public_url
    token = Browser(served).client.get_cookie("portal-session", domain="127.0.0.1")
    assert token is not None
    contexts = []

    def opening(path: str, *, script: bool = True) -> Page:
        context = browser.new_context(java_script_enabled=script)
        contexts.append(context)
        context.set_default_timeout(5000)
        context.add_cookies([{"name": "portal-session", "value": token.value, "url": url}])
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(url + path)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert faults == []


def fill_in(page: Page, server: SMTPServer) -> None:
    page.locator("#name").fill("Main")
    page.get_by_label("Host").fill(server.host)
    page.get_by_label("Encryption").select_option("none")
    page.locator("#port").fill(str(server.port))
    page.locator("#username").fill("relay")
    page.locator("#password").fill("geheim")
    page.get_by_label("From address").fill("portal@contoso.test")


def test_the_port_follows_the_encryption_until_somebody_changes_it(open_page: Open) -> None:
    page = open_page("/connections/new")
    port, security = page.locator("#port"), page.get_by_label("Encryption")
    expect(port).to_have_value("587")
    expect(page.locator("input[name=security_before]")).to_be_disabled()

    security.select_option("implicit_tls")
    expect(port).to_have_value("465")
    port.fill("2525")
    security.select_option("starttls")

    expect(port).to_have_value("2525")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_what_does_not_apply_is_hidden_by_the_choice_itself(open_page: Open, script: bool) -> None:
    page = open_page("/connections/new", script=script)

    page.get_by_label("Authentication").select_option("none")
    expect(page.locator("#password")).to_be_hidden()
    page.get_by_label("Capture").check(force=True)

    expect(page.get_by_label("Host")).to_be_hidden()


def test_a_preset_takes_along_what_was_typed_but_no_secret(open_page: Open) -> None:
    page = open_page("/connections/new")
    page.get_by_label("From address").fill("portal@contoso.com")
    page.locator("#password").fill("geheim")

    page.get_by_role("link", name="Microsoft 365 relay").click()

    expect(page.get_by_label("Host")).to_have_value("contoso-com.mail.protection.outlook.com")
    expect(page.get_by_label("From address")).to_have_value("portal@contoso.com")
    assert "geheim" not in page.url


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_connection_is_checked_and_saved(open_page: Open, server: SMTPServer, script: bool) -> None:
    server.on("EHLO", delay=0.7)
    page = open_page("/connections/new", script=script)
    fill_in(page, server)

    page.get_by_role("button", name="Save", exact=True).click()

    for _ in range(20):
        if script or page.get_by_text("Main is saved").count():
            break
        page.get_by_role("link", name="Refresh").click()
    expect(page.get_by_text("Main is saved").last).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_the_outcome_of_a_check_is_announced(open_page: Open, server: SMTPServer) -> None:
    server.on("EHLO", delay=0.7)
    page = open_page("/connections/new")
    fill_in(page, server)

    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.locator("#check-outcome")).to_have_text("Main is saved It acts from the next message on.")
    expect(page.locator("#check-outcome")).to_have_attribute("role", "status")


def test_a_running_check_can_be_cancelled(open_page: Open, server: SMTPServer) -> None:
    server.on("EHLO", delay=3)
    page = open_page("/connections/new")
    fill_in(page, server)
    page.get_by_role("button", name="Save", exact=True).click()

    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_text("The check was cancelled. Nothing was saved.")).to_be_visible()


def test_axe_finds_nothing_and_nothing_overflows(open_page: Open, server: SMTPServer) -> None:
    page = open_page("/connections/new")
    fill_in(page, server)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Works, with a warning")).to_be_visible()
    checked = page.url

    for path in ("/email-settings", "/connections", "/connections/new?preset=gmail", "/captured-mail", checked):
        page.goto(path if path == checked else checked.partition("/connection-checks")[0] + path)
        page.evaluate(AXE)
        for scheme, width in (("light", 1280), ("dark", 360)):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            found = page.evaluate("axe.run()")
            faults = [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]]
            assert faults == [], (path, scheme, width)
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_only_the_fields_of_the_chosen_method_are_shown(open_page: Open, script: bool) -> None:
    page = open_page("/connections/new?method=google", script=script)
    fields = ("#client_id", "#tenant_id", "#host", "#username", "#service_account_key", "#client_secret", "#mailbox")

    def shown() -> list[str]:
        return [field for field in fields if page.locator(field).is_visible()]

    at_google = shown()
    page.get_by_label("SMTP, signed in with an access token").check(force=True)
    by_smtp = shown()
    page.locator("[name=method][value=google_service_account]").check(force=True)
    page.get_by_label("The provider's API").check(force=True)
    of_robot = shown()
    page.locator("[name=method][value=microsoft_app]").check(force=True)
    page.get_by_label("A certificate", exact=False).check(force=True)
    by_certificate = shown()
    page.locator("[name=method][value=smtp]").dispatch_event("click")  # wherever it has moved to
    of_server = shown()

    assert at_google == ["#client_id", "#client_secret", "#mailbox"]
    assert by_smtp == ["#client_id", "#host", "#client_secret", "#mailbox"]
    assert of_robot == ["#service_account_key", "#mailbox"]
    assert by_certificate == ["#client_id", "#tenant_id", "#mailbox"]
    assert of_server == ["#host", "#username"]


def test_each_method_keeps_what_stands_in_the_fields_that_it_shares(open_page: Open) -> None:
    page = open_page("/connections/new?method=google")
    client_id, host = page.locator("#client_id"), page.locator("#host")
    client_id.fill("7-a.apps.googleusercontent.com")

    page.locator("[name=method][value=smtp]").dispatch_event("click")  # wherever it has moved to
    expect(host).to_have_js_property("required", True)
    host.fill("smtp.contoso.test")
    page.locator("[name=method][value=microsoft]").check(force=True)
    expect(client_id).to_have_value("")
    page.locator("[name=method][value=google]").dispatch_event("click")
    page.get_by_label("SMTP, signed in with an access token").check(force=True)

    expect(client_id).to_have_value("7-a.apps.googleusercontent.com")
    expect(host).to_have_value("")
    expect(host).to_have_js_property("required", False)
    expect(page.locator("input[name=method_shown]")).to_have_value("google")
    page.locator("[name=method][value=smtp]").dispatch_event("click")  # wherever it has moved to
    expect(host).to_have_value("smtp.contoso.test")


def test_the_order_of_fallbacks_is_asked_of_a_fallback_alone(open_page: Open) -> None:
    page = open_page("/connections/new")
    expect(page.locator("#fallback_order")).to_be_hidden()

    page.locator("[name=role][value=fallback]").check(force=True)

    expect(page.locator("#fallback_order")).to_be_visible()


def test_the_redirect_url_is_copied(open_page: Open, served: Flask) -> None:
    page = open_page("/connections/new?method=microsoft")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("[data-copy=redirect-url-microsoft]")

    button.click()

    expect(button).to_have_text("Copied")
    url = f"{served.config['PORTAL'].public_url}/oauth/microsoft/callback"
    assert page.evaluate("navigator.clipboard.readText()") == url


def test_enter_in_a_field_checks_and_saves_and_connects_nothing(open_page: Open) -> None:
    page = open_page("/connections/new?method=capture")
    page.locator("#name").fill("Kept here")

    page.locator("#name").press("Enter")

    expect(page.get_by_text("Kept here is saved").last).to_be_visible()


def test_an_address_of_gmail_suggests_google_and_takes_along_what_was_typed(open_page: Open) -> None:
    page = open_page("/connections/new")
    page.locator("#name").fill("Letters")
    page.locator("#from_address").fill("ada@gmail.com")
    page.locator("#display_name").focus()

    page.locator("#suggestion").get_by_role("link", name="use it").click()

    expect(page.locator("[name=method][value=google]")).to_be_checked()
    expect(page.locator("#name")).to_have_value("Letters")
    expect(page.locator("#from_address")).to_have_value("ada@gmail.com")
    expect(page.locator("#mailbox")).to_have_value("ada@gmail.com")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_key_pair_is_made_with_one_button(open_page: Open, script: bool) -> None:
    page = open_page("/connections/new?method=microsoft_app", script=script)
    page.get_by_label("A certificate", exact=False).check(force=True)

    page.get_by_role("button", name="Make a key pair").click()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download the certificate").click()

    assert downloading.value.suggested_filename == "mail-portal.cer"
    assert downloading.value.path().read_text().startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("method", ["google", "microsoft", "microsoft_app", "google_service_account"])
def test_axe_finds_nothing_in_the_form_of_a_provider(open_page: Open, method: str) -> None:
    page = open_page(f"/connections/new?method={method}")
    page.get_by_label("SMTP, signed in with an access token").check(force=True)
    for summary in page.locator("main summary").all():
        if summary.is_visible():
            summary.click()
    page.evaluate(AXE)

    for scheme, width in (("light", 1280), ("dark", 360)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 800})
        found = page.evaluate("axe.run()")

        faults = [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]]
        assert faults == [], (scheme, width)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
