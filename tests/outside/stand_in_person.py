"""Somebody at a browser without a screen, who reads a stand-in's pages and presses what is on them.

    person = google.person()
    seen = person.open(authorization_url)                                               # page by page
    seen = person.press(seen, "Allow")
    seen.status, seen.heading, seen.text, seen.buttons, seen.boxes, seen.headers, seen.sent_to

What each stand-in's people do besides is in google_person and microsoft_person.
Redirects are followed within the stand-in. One that leaves it ends the way: `sent_to` is its target, which nobody asks.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlencode, urljoin, urlsplit

from tests.page_reader import Element, Page, read

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_MOST_PAGES = 10


@dataclass(frozen=True)
class Seen:
    """The page that a person ends on, or where the browser was sent away to."""

    url: str
    status: int
    headers: Message
    page: Page
    sent_to: str = ""

    @property
    def heading(self) -> str:
        return " ".join(element.text for element in self.page.all("h1"))

    @property
    def text(self) -> str:
        return " ".join(" ".join(element.text for element in self.page.all("main")).split())

    @property
    def buttons(self) -> list[str]:
        return [_label(button) for button in self.page.all("button")]

    @property
    def boxes(self) -> dict[str, bool]:
        """The scopes that can be ticked, and whether they are at first."""
        boxes = [one for one in self.page.all("input") if one.attributes.get("type") == "checkbox"]
        return {one.attributes["value"]: "checked" in one.attributes for one in boxes}


class Person:
    """Trusts what is named in PEM, the stand-in's own certificate or its authority; plain pages need neither."""

    def __init__(self, url: str, *, trusted_pem: str = "", user_agent: str = "Mozilla/5.0") -> None:
        self._url = url
        self._user_agent = user_agent
        self._context = ssl.create_default_context(cadata=trusted_pem or None)
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    def open(self, url: str) -> Seen:
        return self._ask("GET", url)

    def press(self, seen: Seen, label: str, *, untick: Collection[str] = ()) -> Seen:
        """Press the button whose text starts with, or ends in, the label, with the boxes ticked that are not named."""
        button = next((one for one in seen.page.all("button") if _is_called(one, label)), None)
        if button is None:
            raise AssertionError(f"no button {label!r} on the page {seen.heading!r}: {seen.text}")
        form = next(one for one in button.inside if one.tag == "form")
        fields = [
            (one.attributes["name"], one.attributes["value"])
            for one in seen.page.all("input")
            if form in one.inside and _is_sent(one, untick)
        ]
        pressed = [(button.attributes["name"], button.attributes["value"])] if "name" in button.attributes else []
        return self._ask("POST", urljoin(seen.url, form.attributes["action"]), urlencode(fields + pressed))

    def _walk(self, url: str, account: str, answer: str, untick: Collection[str] = ()) -> str:
        """All pages with this answer; the address that the browser was sent to. Raises AssertionError."""
        seen = self.open(url)
        for _ in range(_MOST_PAGES):
            if seen.sent_to:
                return seen.sent_to
            choices = [answer, "Go to", account]
            label = next((one for one in choices if any(_is_called(b, one) for b in seen.page.all("button"))), "")
            if not label:
                break
            seen = self.press(seen, label, untick=untick)
        raise AssertionError(f"the page {seen.heading!r} leads nowhere: {seen.text}")

    def _ask(self, method: str, url: str, form: str | None = None) -> Seen:
        while url.startswith(f"{self._url}/"):
            parts = urlsplit(url)
            connection = self._connection(parts.scheme, parts.netloc)
            try:
                headers = {"User-Agent": self._user_agent} | (_FORM if form is not None else {})
                connection.request(method, f"{parts.path}?{parts.query}", form, headers)
                response = connection.getresponse()
                text = response.read().decode()
            finally:
                connection.close()
            location = response.headers["Location"]
            if not location:
                return Seen(url, response.status, response.headers, read(text))
            method, form, url = "GET", None, urljoin(url, location)
        return Seen(url, 302, Message(), read(""), sent_to=url)

    def _connection(self, scheme: str, place: str) -> HTTPConnection:
        if scheme == "http":
            return HTTPConnection(place, timeout=30)
        return HTTPSConnection(place, context=self._context, timeout=30)


def _label(button: Element) -> str:
    return " ".join(button.text.split())


def _is_called(button: Element, label: str) -> bool:
    return _label(button).startswith(label) or _label(button).endswith(f" {label}")


def _is_sent(one: Element, untick: Collection[str]) -> bool:
    if one.attributes.get("type") != "checkbox":
        return True
    return "checked" in one.attributes and one.attributes["value"] not in untick
