"""Windows of a real Chromium that keep what goes wrong, and see whether a page is accessible, styled and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

AXE = Path(__file__).with_name("axe-4.14.1.min.js").read_text()
AXE_OPTIONS = """{
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"],
}"""
OF_HTMX = {"htmx-added", "htmx-request", "htmx-settling", "htmx-swapping"}  # each for a moment
WITHOUT_A_RULE = {"choice-cards", "notices", "theme-label", "tile-busy", "tile-ok"} | OF_HTMX
_UNKNOWN_CLASSES = r"""() => {
  const known = new Set();
  const read = (rules) => [...rules].forEach((rule) => {
    const names = (rule.selectorText ?? "").matchAll(/\.((?:[\w-]|\\.)+)/g);
    for (const [, name] of names) known.add(name.replace(/\\/g, ""));
    if (rule.cssRules) read(rule.cssRules);
  });
  [...document.styleSheets].forEach((sheet) => read(sheet.cssRules));
  const used = [...document.querySelectorAll("[class]")].flatMap((one) => [...one.classList]);
  return used.filter((name) => !known.has(name));
}"""
# What sticks out at the right, but for what scrolls within a box of its own.
_TOO_WIDE = """() => {
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  const isInBox = (one) => { for (let box = one.parentElement; box; box = box.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(box).overflowX) && box !== document.body) return true; };
  const wide = [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > page.clientWidth && !isInBox(one));
  return wide.map((one) => one.outerHTML.slice(0, 120)).concat(`${page.scrollWidth} > ${page.clientWidth}`);
}"""


@dataclass
class Watched:
    """A page whose console errors and requests to other hosts are kept; both must stay empty."""

    page: Page
    url: str  # of the portal
    has_script: bool
    faults: list[str] = field(default_factory=list)

    def note_message(self, message: ConsoleMessage) -> None:
        """That an answer was 404 or 422 is noted by the browser; all else that it complains of is our mistake."""
        if message.type in {"error", "warning"} and "the server responded with a status of" not in message.text:
            self.faults.append(message.text)

    def note_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.faults.append(f"asked for {request.url}")

    def accessible(self) -> None:
        """axe-core finds nothing; with script off it cannot look."""
        if not self.has_script:
            return
        if self.page.evaluate("typeof axe === 'undefined'"):
            self.page.evaluate(AXE)
        found: Any = self.page.evaluate(f"axe.run({AXE_OPTIONS})")
        findings = [
            f"{violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]
        assert findings == [], f"{self.page.url}\n" + "\n".join(findings)

    def fits(self) -> None:
        """Nothing has to be scrolled sideways (WCAG 2.2, 1.4.10)."""
        assert self.page.evaluate(_TOO_WIDE) == [], f"{self.page.url} at {self.page.viewport_size}"

    def styled(self) -> None:
        """Every class that the page uses stands in a style sheet that the page loads."""
        self.page.wait_for_load_state()  # a click does not wait until the style sheets are there
        unknown = set(self.page.evaluate(_UNKNOWN_CLASSES)) - WITHOUT_A_RULE
        assert unknown == set(), f"{self.page.url}: {unknown}"


@contextmanager
def window(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """A fresh browser window; `script` and `session` (a cookie's token) besides what Playwright's contexts take."""
    has_script, session = options.pop("script", True), options.pop("session", None)
    context = browser.new_context(
        java_script_enabled=has_script, **{"viewport": {"width": 1280, "height": 900}, **options}
    )
    context.set_default_timeout(15_000)
    if session is not None:
        context.add_cookies([{"name": "portal-session", "value": session, "url": url}])
    watched = Watched(context.new_page(), url, has_script)
    watched.page.on("console", watched.note_message)
    watched.page.on("pageerror", lambda error: watched.faults.append(str(error)))
    watched.page.on("request", watched.note_request)
    yield watched
    context.close()
