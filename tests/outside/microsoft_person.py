"""Somebody at a browser without a screen, who reads the stand-in for Microsoft's pages and presses what is on them.

    person = microsoft.person()
    callback = person.accept(authorization_url, account="portal@contoso.test")          # where the browser was sent
    callback = person.cancel(authorization_url, account="portal@contoso.test")
    seen = person.open(authorization_url)                                               # page by page
    seen = person.press(seen, "portal@contoso.test")
    seen.status, seen.heading, seen.text, seen.buttons, seen.headers, seen.sent_to

Redirects are followed within the stand-in. One that leaves it ends the way: `sent_to` is its target, which nobody asks.
"""

from __future__ import annotations

from tests.outside.google_person import Person, Seen

__all__ = ["MicrosoftPerson", "Seen"]


class MicrosoftPerson(Person):
    def accept(self, url: str, *, account: str = "") -> str:
        """All pages with a yes; the address that the browser was sent to. Raises AssertionError on a page without."""
        return self._walk(url, account, "Accept", ())

    def cancel(self, url: str, *, account: str = "") -> str:
        return self._walk(url, account, "Cancel", ())
