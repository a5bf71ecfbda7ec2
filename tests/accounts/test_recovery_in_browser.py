"""Getting back in by a code, in Chromium: with the proof of work, and without script the slower way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.accounts.answering import Answering
from tests.accounts.browsing import OTHER_PASSWORD
from tests.accounts.listening import listening
from tests.accounts.test_recovery_settings import settle
from tests.browser.windows import Watched, window

pytestmark = pytest.mark.browser
ADA = "ada@contoso.test"
WORK = 30_000  # milliseconds, on a machine that does much else meanwhile


@pytest.fixture
def served(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Flask]:
    """A portal on a port of its own, whose mail leaves and brings codes; Ada has an account."""
    with listening(tmp_path, migrated_sqlite) as app:
        settle(app, means="both", captcha=True)
        yield app


@pytest.fixture
def answering(served: Flask) -> Answering:
    return Answering(served)


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def watched(request: pytest.FixtureRequest, served: Flask, browser: Browser) -> Iterator[Watched]:
    url = served.config["PORTAL"].public_url
    with window(browser, url, script=request.param, reduced_motion="reduce") as watched:
        yield watched
        assert watched.faults == []


def look(watched: Watched) -> None:
    watched.styled()
    watched.accessible()
    watched.fits()


def wait_as_told(watched: Watched) -> None:
    """Without script the page must stand open for twenty seconds; with it, the browser works by itself."""
    if not watched.has_script:
        expect(watched.page.locator("noscript p")).to_be_visible()
        watched.page.wait_for_timeout(21_000)


def test_a_code_leads_back_in(watched: Watched, answering: Answering) -> None:
    page = watched.page
    page.goto(watched.url + "/sign-in")
    page.get_by_role("link", name="Forgot your password?").click()
    look(watched)
    page.get_by_label("Email address").fill(ADA)
    wait_as_told(watched)
    page.get_by_role("button", name="Send link and code").click()

    expect(page.get_by_role("heading", name="Type your code")).to_be_visible(timeout=WORK)
    expect(page.get_by_label("Email address")).to_have_value(ADA)
    look(watched)
    answering.run(datetime.now(UTC))
    page.get_by_label("Code").fill(answering.mailed[-1][1]["code"])
    page.get_by_label("New password", exact=True).fill(OTHER_PASSWORD)
    wait_as_told(watched)
    page.get_by_role("button", name="Change password").click()

    expect(page.get_by_text("Your password was changed")).to_be_visible(timeout=WORK)
    look(watched)
    page.get_by_label("Email address").fill(ADA)
    page.get_by_label("Password", exact=True).fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_what_is_sent_before_the_number_is_found_goes_as_soon_as_it_is(served: Flask, browser: Browser) -> None:
    url = served.config["PORTAL"].public_url
    with window(browser, url) as watched:
        page = watched.page
        page.goto(url + "/forgot-password")
        page.get_by_label("Email address").fill(ADA)
        page.get_by_label("Email address").press("Enter")

        expect(page.get_by_role("heading", name="Type your code")).to_be_visible(timeout=WORK)
        assert watched.faults == []


def test_the_state_of_the_work_is_said_to_screen_readers(served: Flask, browser: Browser) -> None:
    url = served.config["PORTAL"].public_url
    with window(browser, url) as watched:
        page = watched.page
        page.goto(url + "/forgot-password")

        expect(page.locator("[data-captcha]").get_by_role("status")).to_have_text(
            "Your browser is ready.", timeout=WORK
        )
        assert _found(page).isdigit()


def test_a_browser_that_cannot_work_says_so_and_goes_the_slower_way(served: Flask, browser: Browser) -> None:
    url = served.config["PORTAL"].public_url
    with window(browser, url) as watched:
        page = watched.page
        page.add_init_script(
            "window.Worker = class extends EventTarget { postMessage() {"
            " setTimeout(() => this.dispatchEvent(new Event('error'))); } terminate() {} }"
        )
        page.goto(url + "/forgot-password")
        page.get_by_label("Email address").fill(ADA)

        expect(page.locator("[data-captcha]").get_by_role("status")).to_contain_text("Your browser could not do it.")
        page.get_by_role("button", name="Send link and code").click()
        expect(page.get_by_role("alert")).to_contain_text("leave this page open")


def _found(page: Page) -> str:
    return page.locator("[name=captcha_answer]").input_value()
