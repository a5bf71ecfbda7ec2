"""Which text may stand in a header: one line, without anything invisible that could break or disguise it."""

from __future__ import annotations

import re

from portal.wording import N_, Text

# Everything that some library takes for the end of a line (str.splitlines, and NUL in C), U+000A first.
_LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Other C0 and C1 controls; embeddings, overrides and isolates, which show a text in another order than it has;
# halves of a surrogate pair, which no encoding can carry.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class HeaderTextError(ValueError):
    """The text cannot stand in a header; `reason` is a sentence for the person who typed it."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def check_header_text(text: str, *, limit: int) -> str:
    """The text without the spaces around it, otherwise unchanged; "" stays "".

    `limit` counts characters. Raises HeaderTextError for a line separator of any kind, a control character, a
    bidirectional override, half a surrogate pair, or a text that is too long.
    """
    text = text.strip(" ")
    if len(text) > limit:
        raise HeaderTextError(N_("This is longer than %(limit)s characters. Shorten it.", limit=limit))
    if _LINE_BREAK.search(text):
        raise HeaderTextError(N_("This contains a line break. Write it on one line."))
    if unseen := _UNSEEN.search(text):
        raise HeaderTextError(
            N_(
                "This contains the invisible character U+%(code)s, which cannot be sent. "
                "Delete it and type the text again.",
                code=f"{ord(unseen[0]):04X}",
            )
        )
    return text


def one_line(text: str) -> str:
    """The text made fit for a header or a list: white space of any kind becomes one space, the unseen goes."""
    return " ".join(_UNSEEN.sub("", " ".join(text.split())).split())
