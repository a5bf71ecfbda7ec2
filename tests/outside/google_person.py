"""Somebody who clicks through the pages of the stand-in for Google.

    person = google.person()
    callback = person.allow(authorization_url, account="portal@contoso.test")           # where the browser was sent
    callback = person.allow(authorization_url, account="portal@contoso.test", untick=[SEND])
    callback = person.cancel(authorization_url, account="portal@contoso.test")

Page by page: see stand_in_person.
"""

from __future__ import annotations

from collections.abc import Collection

from tests.outside.stand_in_person import Person, Seen

__all__ = ["GooglePerson", "Seen"]


class GooglePerson(Person):
    def allow(self, url: str, *, account: str, untick: Collection[str] = ()) -> str:
        """All pages with a yes; the address that the browser was sent to. Raises AssertionError on a page without."""
        return self._walk(url, account, "Allow", untick)

    def cancel(self, url: str, *, account: str) -> str:
        return self._walk(url, account, "Cancel")
