"""Somebody who clicks through the pages of the stand-in for Microsoft.

    person = microsoft.person()
    callback = person.accept(authorization_url, account="portal@contoso.test")          # where the browser was sent
    callback = person.cancel(authorization_url, account="portal@contoso.test")

Page by page: see stand_in_person.
"""

from __future__ import annotations

from tests.outside.stand_in_person import Person, Seen

__all__ = ["MicrosoftPerson", "Seen"]


class MicrosoftPerson(Person):
    def accept(self, url: str, *, account: str = "") -> str:
        """All pages with a yes; the address that the browser was sent to. Raises AssertionError on a page without."""
        return self._walk(url, account, "Accept")

    def cancel(self, url: str, *, account: str = "") -> str:
        return self._walk(url, account, "Cancel")
