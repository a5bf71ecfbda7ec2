"""The kinds of mail by their names and titles: what applications and devices hand over, and the portal's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from portal.extensions import handed_down
from portal.wording import N_, Text

OF_SERVERS: tuple[tuple[str, Text], ...] = (
    ("api", N_("Mail of applications, by the API")),
    ("relay", N_("Mail of devices, by the relay")),
)
_WITHIN_A_SENTENCE: Mapping[str, Text] = {
    "api": N_("Applications, by the API"),
    "relay": N_("Devices, by the relay"),
}


def all_kinds() -> list[tuple[str, Text]]:
    """Names and titles: those of servers first, then the portal's own, which the application at work knows."""
    return [*OF_SERVERS, *cast("list[tuple[str, Text]]", handed_down("kinds_of_mail"))]


def kind_in_words(name: str) -> Text | str:
    """A kind's title as it stands within a sentence; a name that nobody knows stays as it is."""
    if name in _WITHIN_A_SENTENCE:
        return _WITHIN_A_SENTENCE[name]
    return next((title for known, title in all_kinds() if known == name), name)
