"""The link for a mailbox's owner in Chromium: one window makes it, another, without an account, uses it."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from portal.connections.values import Method
from tests.browser.windows import Watched
from tests.connections import test_consent_in_browser as consent_windows
from tests.connections.consenting import CONSENT_METHODS, PORTAL, create, grants, provider_values
from tests.connections.test_consent_in_browser import Open, agree

pytestmark = pytest.mark.browser
served, open_page = consent_windows.served, consent_windows.open_page


def looks_right(page: Page, served: Flask, script: bool) -> None:
    """Accessible, styled, and no wider than a phone."""
    watched = Watched(page, served.config["PORTAL"].public_url, script)
    watched.accessible()
    watched.styled()
    page.set_viewport_size({"width": 360, "height": 740})
    watched.fits()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("method", CONSENT_METHODS)
def test_an_administrator_makes_a_link_and_the_owner_connects_the_mailbox(
    served: Flask, open_page: Open, browser: Chromium, method: Method, script: bool
) -> None:
    connection_id = create(served, provider_values(method))
    page = open_page(f"/connections/{connection_id}", script=script)
    page.get_by_role("link", name="Invite the mailbox's owner").click()
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Link", exact=True).input_value()
    looks_right(page, served, script)

    owner = browser.new_context(java_script_enabled=script, ignore_https_errors=True)
    window = owner.new_page()
    window.goto(link)
    looks_right(window, served, script)
    window.get_by_role("button", name="Go to").click()
    window.wait_for_url(re.compile("^https://"))
    agree(window, method)

    expect(window.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(window.get_by_text(f"{PORTAL} is connected")).to_be_visible()
    assert [grant.account for grant in grants(served)] == [PORTAL]
    window.goto(link)
    expect(window.get_by_role("heading", name="This link does not work")).to_be_visible()
    owner.close()


def test_the_page_of_admin_consent_looks_right(served: Flask, open_page: Open) -> None:
    connection_id = create(served, provider_values(Method.MICROSOFT))
    page = open_page(f"/connections/{connection_id}")

    page.get_by_role("link", name="Ask an administrator").click()

    expect(page.get_by_role("heading", name="Ask an administrator to agree")).to_be_visible()
    looks_right(page, served, script=True)
