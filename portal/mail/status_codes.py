"""Enhanced mail system status codes (RFC 3463) as servers write them at the start of a reply text (RFC 2034)."""

from __future__ import annotations

import re

# Some gateways write "#5.1.0"; a code glued to a word is none.
_LEADING_CODE = re.compile(r"\s*#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9A-Za-z.])[\s:,;-]*")


def split_status_code(text: str) -> tuple[str | None, str]:
    """The code at the start of a reply text, None where there is none, and the rest of the text.

    `"5.7.139 Authentication unsuccessful"` gives `("5.7.139", "Authentication unsuccessful")`.
    """
    found = _LEADING_CODE.match(text)
    return (found[1], text[found.end() :]) if found else (None, text)
