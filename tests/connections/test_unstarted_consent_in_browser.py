"""Connect in Chromium with a form that lacks something: no window, or one that says so, and nobody waits for ever."""

from __future__ import annotations

from flask import Flask
from playwright.sync_api import Page, expect

from portal.connections.values import Method
from tests.browser.windows import Watched
from tests.connections import test_consent_in_browser as consent_windows
from tests.connections.consenting import GOOGLE_ID, GOOGLE_SECRET, PORTAL, create, flows, provider_values
from tests.connections.making import stored
from tests.connections.test_consent_in_browser import Open, agree, connect_in_popup, connection_page

pytestmark = consent_windows.pytestmark
served, open_page = consent_windows.served, consent_windows.open_page


def fill_in(page: Page, *, name: str = "Typed", from_address: str = PORTAL) -> None:
    page.get_by_label("Google", exact=False).first.check(force=True)
    page.locator("#name").fill(name)
    page.locator("#client_id").fill(GOOGLE_ID)
    page.locator("#client_secret").fill(GOOGLE_SECRET)
    page.get_by_label("From address").fill(from_address)


def refused_popup(page: Page) -> Page:
    """Choose Connect; the window that says what the form lacks."""
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Connect", exact=True).click()
    popup = opened.value
    expect(popup.get_by_role("heading", name="Nothing was started")).to_be_visible()
    return popup


def test_what_the_server_refuses_is_told_in_both_windows_and_mended_without_typing_twice(
    served: Flask, open_page: Open
) -> None:
    page = open_page("/connections/new")
    fill_in(page, from_address="nobody")
    popup = refused_popup(page)
    expect(popup.get_by_role("alert")).to_contain_text("From address:")
    expect(popup.locator("[data-error-summary]")).to_be_focused()

    expect(page.locator("#consent-state")).to_contain_text("Nothing was started")
    expect(page.locator("#consent-outcome")).to_contain_text("Nothing was started")
    expect(page.get_by_text("Go on in the window")).to_be_hidden()
    with popup.expect_event("close"):
        popup.get_by_role("button", name="Back to the form").click()

    page.get_by_label("From address").fill(PORTAL)
    popup = connect_in_popup(page)
    expect(page.locator("#consent-state")).to_contain_text("Go on in the window")
    with popup.expect_event("close"):
        agree(popup, Method.GOOGLE)
    expect(page.locator("#verdict")).to_contain_text("Typed is saved")
    assert not stored(served, "Typed").lacks_consent


def test_the_form_stops_waiting_without_a_message_between_windows_as_well(served: Flask, open_page: Open) -> None:
    create(served, provider_values(Method.GOOGLE))
    page = open_page("/connections/new", before="delete window.BroadcastChannel")
    fill_in(page, name="main")

    refused_popup(page)

    expect(page.locator("#consent-state")).to_contain_text("Nothing was started")
    assert page.evaluate("'BroadcastChannel' in window") is False


def test_what_is_plainly_missing_opens_no_window_and_takes_the_focus(served: Flask, open_page: Open) -> None:
    page = open_page("/connections/new")
    fill_in(page, name="")

    page.get_by_role("button", name="Connect", exact=True).click()
    page.wait_for_timeout(500)

    expect(page.locator("#name")).to_be_focused()
    assert page.locator("#client_secret").input_value() == GOOGLE_SECRET
    assert page.locator("#consent-state").inner_text() == ""
    assert len(page.context.pages) == 1
    assert flows(served) == []


def test_a_stored_secret_and_other_methods_fields_are_not_missing(served: Flask, open_page: Open) -> None:
    page = open_page(connection_page(create(served, provider_values(Method.GOOGLE))))

    popup = connect_in_popup(page)
    with popup.expect_event("close"):
        agree(popup, Method.GOOGLE)

    expect(page.get_by_text("Connected as portal@contoso.test")).to_be_visible()


def test_axe_finds_nothing_in_the_window_that_says_what_is_wrong(served: Flask, open_page: Open) -> None:
    page = open_page("/connections/new")
    fill_in(page, from_address="nobody")
    popup = refused_popup(page)
    watched = Watched(popup, served.config["PORTAL"].public_url, has_script=True)

    for scheme, width in (("light", 520), ("dark", 360)):
        popup.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        popup.set_viewport_size({"width": width, "height": 720})
        watched.accessible()
        watched.fits()
        watched.styled()
