"""A plain text of an HTML body, for messages that come without one: words, lines, and where links lead.

Read as browsers split it (https://html.spec.whatwg.org/multipage/parsing.html), each character once: the standard
library's parser takes the cube of the length for what is never closed, and raises on what Word writes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_UNSEEN = frozenset({"head", "script", "style", "template", "title"})
_RAW = frozenset({"script", "style", "title"})  # tags within are no tags
_LINES = frozenset(
    {"address", "article", "blockquote", "div", "footer", "form", "header", "hr", "li", "main", "ol", "pre", "section"}
    | {"table", "tr", "ul"}
)
_PARAGRAPHS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "p"})
_LINK = re.compile(r"(?:https?|mailto|tel):", re.IGNORECASE)
_MOST_BLANK_LINES = re.compile(r"\n{3,}")
# What is not closed takes all that is left. A comment; what browsers take for one; a tag; a text.
_PIECE = re.compile(
    r"<!--(?:>|->|(?:(?!--!?>).)*+(?:--!?>)?+)"
    r"|<(?:[!?]|/(?![A-Za-z]))[^>]*+>?+"
    r"|<(?P<slash>/?)(?P<tag>[A-Za-z][^\s/>]*+)"
    r"(?P<attributes>(?:=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z))|[^>])*+)>?+"
    r"|(?P<text>[^<]++|<)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([^\s/>=]++)(?:\s*+=\s*+(\"[^\"]*+|'[^']*+|[^\s>]*+))?+")
_LONG_NUMBER = re.compile(r"&#[0-9]{8,}+;?")  # of no character; Python reads no number of thousands of digits
_ENDS = {tag: re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE) for tag in _RAW}


class _Reader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._unseen = 0
        self._link: tuple[str, int] | None = None

    def start(self, tag: str, attributes: str) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag in _LINES:
            self._break("\n")
            self.parts += ["- "] if tag == "li" else []
        elif tag in _PARAGRAPHS:
            self._break("\n\n")
        elif tag in {"td", "th"}:
            self.parts.append(" ")
        elif tag == "a":
            self._link = (_attribute(attributes, "href"), len(self.parts))
        elif tag == "img":
            self.parts.append(_attribute(attributes, "alt"))

    def end(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _LINES:
            self._break("\n")
        elif tag in _PARAGRAPHS:
            self._break("\n\n")
        elif tag == "a" and self._link:
            (href, start), self._link = self._link, None
            shown = "".join(self.parts[start:]).strip()
            if _LINK.match(href) and href.partition(":")[2].lstrip("/").rstrip("/") not in shown:
                self.parts.append(f" <{href.strip()}>")

    def text(self, text: str) -> None:
        if not self._unseen:
            self.parts.append(re.sub(r"[ \t\r\n\f]+", " ", _unescaped(text)))

    def _break(self, lines: str) -> None:
        if self.parts:
            self.parts.append(lines)


def plain_text_of(html: str) -> str:
    """The words of an HTML body, ended by a line break; "" for one without words. Never raises."""
    reader = _Reader()
    for piece in _pieces(html):
        if piece["text"]:
            reader.text(piece["text"])
        elif piece["tag"] and piece["slash"]:
            reader.end(piece["tag"].lower())
        elif piece["tag"]:
            reader.start(piece["tag"].lower(), piece["attributes"])
    lines = [line.strip() for line in "".join(reader.parts).split("\n")]
    text = _MOST_BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
    return f"{text}\n" if text else ""


def _pieces(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while piece := _PIECE.match(text, at):
        yield piece
        at = piece.end()
        if piece["tag"] and not piece["slash"] and (tag := piece["tag"].lower()) in _RAW:
            end = _ENDS[tag].search(text, at)
            at = end.start() if end else len(text)


def _attribute(attributes: str, name: str) -> str:
    for found, value in _ATTRIBUTE.findall(attributes):
        if found.lower() == name:
            return _unescaped(value[1:] if value[:1] in {'"', "'"} else value)
    return ""


def _unescaped(text: str) -> str:
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text
