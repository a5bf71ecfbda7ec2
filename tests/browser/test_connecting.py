"""Connecting a mail server in a browser: what goes wrong is explained, and nothing has to be typed twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.running import ServedPortal
from tests.browser.windows import Watched, window
from tests.outside.smtp_server import SMTPServer

pytestmark = pytest.mark.browser
WITH_AND_WITHOUT_SCRIPT = pytest.mark.parametrize("admin", [True, False], ids=["script", "no script"], indirect=True)


@pytest.fixture
def admin(browser: Browser, served: ServedPortal, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """An administrator's window, with script unless the parameter is False."""
    script = getattr(request, "param", True)
    with window(browser, served.url, session=served.things.tokens["admin"], script=script) as watched:
        yield watched
        assert watched.faults == []


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with SMTPServer(accounts={"relay": "geheim"}) as server:
        yield server


@WITH_AND_WITHOUT_SCRIPT
def test_a_check_that_fails_is_explained_and_the_form_comes_back_as_it_was(
    admin: Watched, served: ServedPortal, server: SMTPServer
) -> None:
    page = admin.page
    name = f"Mended {admin.has_script}"
    page.goto(f"{served.url}/connections/new")
    fill_in(page, server, name=name, password="wrong")

    press(page, "Check")
    follow(page, "Not working yet")
    expect(page.locator("#verdict")).to_contain_text("does not accept the user name relay")
    expect(page.locator("#verdict dt")).to_have_text(["What happened", "Who can mend it", "How", "What was seen"])
    assert "wrong" not in page.content().replace("user name or password is wrong", "")
    page.get_by_role("link", name="Back to the form").click()

    expect(page.locator("[name=name]")).to_have_value(name)
    expect(page.locator("[name=host]")).to_have_value(server.host)
    expect(page.locator("[name=port]")).to_have_value(str(server.port))
    expect(page.locator("[name=security]")).to_have_value("none")
    expect(page.locator("[name=from_address]")).to_have_value("it@contoso.test")
    expect(page.locator("[name=password]")).to_have_value("")
    page.get_by_text("Replace", exact=True).click()
    fill(page, password="geheim")
    press(page, "Save")
    follow(page, f"{name} is saved")
    assert server.messages == []


@WITH_AND_WITHOUT_SCRIPT
def test_a_check_is_followed_while_it_runs(admin: Watched, served: ServedPortal, server: SMTPServer) -> None:
    page = admin.page
    server.on("EHLO", delay=0.8)
    page.goto(f"{served.url}/connections/new")
    fill_in(page, server, name="Slow", password="geheim")

    press(page, "Check")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("link", name="Refresh")).to_have_count(0 if admin.has_script else 1)

    follow(page, "The connection works")
    expect(page.get_by_role("link", name="Refresh")).to_have_count(0)


def test_a_check_can_be_cancelled(admin: Watched, served: ServedPortal, server: SMTPServer) -> None:
    page = admin.page
    server.on("CONNECT", silent=True)
    page.goto(f"{served.url}/connections/new")
    fill_in(page, server, name="Silent", password="geheim")
    press(page, "Check")

    press(page, "Cancel")

    expect(page.get_by_text("The check was cancelled. Nothing was saved.")).to_be_visible()
    expect(page.get_by_role("link", name="Back to the form")).to_be_visible()


def test_the_port_follows_the_encryption_until_somebody_types_one(admin: Watched, served: ServedPortal) -> None:
    page = admin.page
    page.goto(f"{served.url}/connections/new")
    security, port = page.locator("[name=security]"), page.locator("[name=port]")

    expect(port).to_have_value("587")
    for chosen, usual in (("implicit_tls", "465"), ("none", "25"), ("auto", "587"), ("starttls", "587")):
        security.select_option(chosen)
        expect(port).to_have_value(usual)
    port.fill("2525")
    security.select_option("implicit_tls")
    expect(port).to_have_value("2525")


def test_a_preset_fills_the_form_and_takes_along_what_was_typed(admin: Watched, served: ServedPortal) -> None:
    page = admin.page
    page.goto(f"{served.url}/connections/new")
    fill(page, name="Newsletters", from_address="news@contoso.test", password="geheim")
    page.on("dialog", lambda dialog: dialog.accept())

    page.get_by_role("link", name="Gmail with app password").click()

    expect(page.locator("[name=host]")).to_have_value("smtp.gmail.com")
    expect(page.locator("[name=name]")).to_have_value("Newsletters")
    expect(page.locator("[name=from_address]")).to_have_value("news@contoso.test")
    expect(page.locator("[name=password]")).to_have_value("")
    assert "geheim" not in page.url


def test_email_settings_are_saved_in_place_and_leaving_unsaved_ones_is_asked_about(
    admin: Watched, served: ServedPortal
) -> None:
    page = admin.page
    page.goto(f"{served.url}/email-settings")
    page.evaluate("window.isSamePage = true")

    fill(page, from_address="nobody")
    press(page, "Save")
    expect(page.get_by_role("alert")).to_be_focused()
    fill(page, from_address="Contoso <portal@contoso.test>")
    press(page, "Save")

    expect(page.locator("#notices")).to_contain_text("Email settings saved.")
    expect(page.locator("[name=from_address]")).to_have_value("portal@contoso.test")
    expect(page.locator("[name=display_name]")).to_have_value("Contoso")
    assert page.evaluate("window.isSamePage")
    fill(page, reply_to="help@contoso.test")
    with page.expect_event("dialog") as asked:
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("link", name="Connections").first.click()
    assert asked.value.type == "beforeunload"
    expect(page).to_have_url(f"{served.url}/connections")


def fill_in(page: Page, server: SMTPServer, **texts: str) -> None:
    """The form for a server without encryption; the encryption comes first, since the port follows it."""
    page.locator("[name=security]").select_option("none")
    fill(page, host=server.host, port=str(server.port), username="relay", from_address="it@contoso.test", **texts)


def fill(page: Page, **texts: str) -> None:
    for name, text in texts.items():
        page.locator(f"main [name={name}]").fill(text)


def press(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()


def follow(page: Page, text: str) -> None:
    """Wait for the text: the page follows by itself, without script by its link."""
    wanted, refresh = page.get_by_text(text, exact=True).first, page.get_by_role("link", name="Refresh")
    for _ in range(60):
        if wanted.is_visible():
            return
        if refresh.is_visible():
            refresh.click()
        page.wait_for_timeout(100)
    expect(wanted).to_be_visible()
