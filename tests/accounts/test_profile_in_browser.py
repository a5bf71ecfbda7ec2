"""The own addresses in Chromium: added, validated by the link of a mail, made primary; the old one is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect

from tests.accounts.browsing import PASSWORD
from tests.accounts.listening import listening
from tests.accounts.people_at_work import Mailed
from tests.browser.windows import Watched, window

pytestmark = pytest.mark.browser
ADA, COUNTESS = "ada@contoso.test", "countess@contoso.test"


@pytest.fixture
def served(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Flask]:
    """A portal on a port of its own, whose mail leaves; Ada has an account."""
    with listening(tmp_path, migrated_sqlite) as app:
        yield app


@pytest.mark.parametrize(
    "options",
    [{}, {"script": False}, {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}],
    ids=["script", "no script", "narrow and dark"],
)
def test_another_address_becomes_the_primary_one(served: Flask, browser: Browser, options: dict[str, object]) -> None:
    url, mailed = served.config["PORTAL"].public_url, Mailed(served)
    with window(browser, url, reduced_motion="reduce", **options) as watched:
        page = watched.page
        page.goto(url + "/sign-in?next=/profile")
        page.get_by_label("Email address").fill(ADA)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        look(watched)
        page.get_by_role("link", name="Add an address").click()
        look(watched)
        page.get_by_label("Email address").fill(COUNTESS)
        page.get_by_role("button", name="Send link").click()
        expect(page.get_by_text("Not validated yet")).to_be_visible()
        look(watched)

        page.goto(mailed.link_to(COUNTESS))
        look(watched)
        page.get_by_role("button", name="Validate the address").click()
        expect(page.get_by_text(f"{COUNTESS} is validated.")).to_be_visible()
        look(watched)
        page.get_by_role("button", name=f"Make primary: {COUNTESS}").click()

        expect(page.get_by_text(f"{COUNTESS} is your primary address now.")).to_be_visible()
        expect(page.locator("#addresses-card li").first).to_contain_text(COUNTESS)
        assert mailed.kinds[-1] == ("address_changed", ADA)
        assert watched.faults == []


def look(watched: Watched) -> None:
    watched.styled()
    watched.accessible()
    watched.fits()
