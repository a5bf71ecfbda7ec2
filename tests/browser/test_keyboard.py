"""The portal without a mouse: everything is reached in order by Tab, is seen to have the focus, and works by Enter."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.running import ServedPortal
from tests.browser.windows import Watched, window
from tests.furnished import PASSWORD, STORED
from tests.outside.smtp_server import SMTPServer

pytestmark = pytest.mark.browser
BESIDE = 60  # pixels: fields of one row differ in height
RING_CONTRAST = 3  # against what is beside it (WCAG 2.2, 1.4.11)
# What has the focus, how strongly the ring around it stands out, whether nothing lies before it.
FOCUS = """() => {
  const one = document.activeElement;
  const shown = one.labels?.[0]?.querySelector(".form-selectgroup-label") ?? one;
  const hasRing = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const ringed = [shown, one.closest(".input-group")].find((part) => part && hasRing(getComputedStyle(part)));
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); };
  const brightness = () => {
    const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  };
  const behind = [];
  for (let part = (ringed ?? one).parentElement; part; part = part.parentElement) behind.unshift(part);
  behind.forEach((part) => paint(getComputedStyle(part).backgroundColor));
  const beside = brightness();
  if (ringed) paint(getComputedStyle(ringed).outlineColor);
  const ring = brightness(), box = shown.getBoundingClientRect();
  const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return {
    name: (one.tagName === "BUTTON" && one.innerText.trim()) || one.name || one.getAttribute("href") || one.tagName,
    contrast: ringed ? Math.max(ring, beside) / Math.min(ring, beside) : 1,
    isInSight: !!at && (shown.contains(at) || at.contains(shown) || one.labels?.[0]?.contains(at) === true),
    top: box.top + scrollY,
  };
}"""


@pytest.fixture
def stranger(browser: Browser, served: ServedPortal) -> Iterator[Watched]:
    with window(browser, served.url, reduced_motion="reduce") as watched:
        yield watched
        assert watched.faults == []


@pytest.fixture
def admin(browser: Browser, served: ServedPortal, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """An administrator's window, in light colours unless the parameter says "dark"."""
    scheme = getattr(request, "param", "light")
    token = served.things.tokens["admin"]
    with window(browser, served.url, session=token, reduced_motion="reduce", color_scheme=scheme) as watched:
        yield watched
        assert watched.faults == []


def test_signing_in(stranger: Watched, served: ServedPortal) -> None:
    page = stranger.page
    page.goto(served.url + "/sign-in?next=/profile")

    tab_to(page, "email")
    page.keyboard.type(served.things.emails["user"])
    tab_to(page, "password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    expect(page).to_have_url(served.url + "/profile")


def test_the_first_stop_skips_to_the_content(admin: Watched, served: ServedPortal) -> None:
    page = admin.page
    page.goto(served.url + "/connections")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_role("link", name="Import")).to_be_focused()


def test_the_persons_menu_opens_closes_and_signs_out(browser: Browser, served: ServedPortal) -> None:
    with window(browser, served.url, session=served.things.tokens["helpdesk"], reduced_motion="reduce") as watched:
        page = watched.page
        page.goto(served.url + "/profile")

        page.get_by_role("button", name="Your menu").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
        page.keyboard.press("Enter")
        tab_to(page, "Sign out")
        page.keyboard.press("Enter")

        expect(page).to_have_url(served.url + "/sign-in")


def test_connecting_a_mail_server(admin: Watched, served: ServedPortal, relay_server: SMTPServer) -> None:
    page = admin.page
    page.goto(served.url + "/connections/new")
    tab_to(page, "name")
    page.keyboard.type("By keyboard")
    tab_to(page, "host")
    page.keyboard.type(relay_server.host)
    tab_to(page, "security")
    page.keyboard.type("No")
    tab_to(page, "port")
    page.keyboard.press("Control+A")
    page.keyboard.type(str(relay_server.port))
    tab_to(page, "username")
    page.keyboard.type("relay")
    tab_to(page, "password")
    page.keyboard.type(STORED)
    tab_to(page, "from_address")
    page.keyboard.type("portal@contoso.test")
    tab_to(page, "Save")
    page.keyboard.press("Enter")

    expect(page.get_by_text("By keyboard is saved", exact=True)).to_be_visible()


@pytest.mark.parametrize("admin", ["light", "dark"], indirect=True)
def test_the_focus_goes_down_the_form_and_is_seen_at_every_stop(admin: Watched, served: ServedPortal) -> None:
    page = admin.page
    page.goto(served.url + "/connections/new")
    page.locator("form.connection-form [name=name]").focus()

    stops = [look_at_focus(page)]
    while stops[-1][0] != "Save":
        assert len(stops) < 60
        page.keyboard.press("Tab")
        stops.append(look_at_focus(page))

    assert all(later > earlier - BESIDE for (_, earlier), (_, later) in pairwise(stops)), stops
    assert {"host", "security", "port", "auth", "username", "password", "from_address"} <= {name for name, _ in stops}


def test_a_refused_form_takes_the_keyboard_to_what_is_wrong(admin: Watched, served: ServedPortal) -> None:
    page = admin.page
    page.goto(served.url + "/connections/new")
    page.locator("[name=host]").focus()

    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[name=name]")).to_be_focused()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on the field or button of that name."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if look_at_focus(page)[0] == name:
            return
    raise AssertionError(f"Tab never came to {name}")


def look_at_focus(page: Page) -> tuple[str, float]:
    """The name of what has the focus, and how far down it is. It must be seen."""
    focus = page.evaluate(FOCUS)
    assert focus["contrast"] >= RING_CONTRAST, focus
    assert focus["isInSight"], focus
    return focus["name"], focus["top"]
