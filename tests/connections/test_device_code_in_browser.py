"""A device code in Chromium: the page notices by itself that somebody has typed it, and by a press without script."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from playwright.sync_api import expect

from portal.connections.values import Method
from tests.connections import test_consent_in_browser as consent_windows
from tests.connections.consenting import PORTAL, Outside, create, grants, provider_values
from tests.connections.test_consent_in_browser import Open
from tests.connections.test_invitation_in_browser import looks_right

pytestmark = pytest.mark.browser
served, open_page = consent_windows.served, consent_windows.open_page


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_code_is_followed_to_its_end(served: Flask, open_page: Open, outside: Outside, script: bool) -> None:
    connection_id = create(served, provider_values(Method.MICROSOFT))
    page = open_page(f"/connections/{connection_id}", script=script)
    page.get_by_role("button", name="Use a device code").click()
    code = page.get_by_label("Code", exact=True).input_value()
    looks_right(page, served, script)

    outside.microsoft.approve_device(code, PORTAL)
    if not script:
        page.wait_for_timeout(5_100)  # the provider's interval
        page.get_by_role("button", name="The code is typed: go on").click()

    page.wait_for_url(re.compile("/consents-under-way/"), timeout=15_000)
    expect(page.get_by_role("heading", name=f"Connected as {PORTAL}")).to_be_visible()
    assert [grant.account for grant in grants(served)] == [PORTAL]
