"""Header blocks as bytes: written, read back, and refused where reading finds other names than were written.

Python before 3.11.9 decodes encoded words while it serialises a message and so lets a subject add headers
(CVE-2024-6923). Nothing here decodes; the reading is the proof, whatever the version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.errors import HeaderParseError
from email.header import decode_header
from functools import lru_cache

from portal.mail.header_text import one_line

LINE_LIMIT = 998  # octets without CRLF, RFC 5322 2.1.1
_NAME = re.compile(rb"[!-9;-~]+")  # RFC 5322 2.2
_FIELD = rb"[!-9;-~]+:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*"
_FIELDS = re.compile(rb"(?:%b)+" % _FIELD)
_BLANK = b"\r\n\r\n"


class HeaderInjection(ValueError):
    """A header block reads back other than it was written: nothing may be sent."""


def header_block(fields: Sequence[tuple[str, str]]) -> bytes:
    """The fields as lines, each ended by CRLF, without the empty line. Values are folded already.

    Raises HeaderInjection where the block does not read back as exactly these names.
    """
    block = "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
    written = [name for name, _ in fields]
    read = [name for name, _ in _read(block)]
    if read != written:
        raise HeaderInjection(f"wrote the headers {written}, read {read}")
    return block


def header_names(content: bytes) -> tuple[str, ...]:
    """The names in the header of a message, in order. Raises HeaderInjection where a line is no header."""
    return tuple(name for name, _ in _read(_header_of(content)))


def has_header(content: bytes, name: str) -> bool:
    """Whether the header of a message has a line of that name. Raises HeaderInjection where there is no header."""
    if _header_without(name).match(content):
        return False
    if not _FIELDS.fullmatch(_header_of(content)):
        raise HeaderInjection("the message has no proper header")
    return True


@lru_cache(maxsize=16)
def _header_without(name: str) -> re.Pattern[bytes]:
    """A whole proper header, up to the empty line or the end, none of whose lines has that name."""
    other = rb"(?!(?i:%b):)" % re.escape(name.encode())
    return re.compile(rb"(?:%b%b)+(?:\r\n|\Z)" % (other, _FIELD))


def header_value(content: bytes, name: str) -> str:
    """The first value of that name, unfolded and decoded to one line; "" where there is none."""
    for found, value in _read(_header_of(content)):
        if found.lower() == name.lower():
            return one_line(decoded_text(re.sub(rb"\r\n(?=[ \t])", b"", value).decode("utf-8", "replace")))
    return ""


def _header_of(content: bytes) -> bytes:
    """Up to the first empty line, the last line's CRLF included."""
    if content.startswith(b"\r\n"):
        return b""
    end = content.find(_BLANK)
    return content if end < 0 else content[: end + 2]


def _read(block: bytes) -> list[tuple[str, bytes]]:
    if not block:
        return []
    if not block.endswith(b"\r\n"):
        raise HeaderInjection("the header does not end with CRLF")
    if not block.count(b"\r") == block.count(b"\n") == block.count(b"\r\n") or b"\0" in block:
        raise HeaderInjection("a header line holds a bare CR, LF or NUL")
    fields: list[tuple[str, list[bytes]]] = []  # the lines of each value, joined once: there may be many
    for line in block[:-2].split(b"\r\n"):
        if not line or len(line) > LINE_LIMIT:
            raise HeaderInjection("a header line is empty or too long")
        if line[0] in b" \t":
            if not fields or not line.strip():
                raise HeaderInjection("a continuation is empty, or the header begins with one")
            fields[-1][1].append(line)
            continue
        name, colon, value = line.partition(b":")
        if not colon:
            raise HeaderInjection("a header line has no name")
        fields.append((_name(name), [value.lstrip(b" \t")]))
    return [(name, b"\r\n".join(lines)) for name, lines in fields]


@lru_cache(maxsize=256)
def _name(name: bytes) -> str:
    """All messages share a few names."""
    if not _NAME.fullmatch(name):
        raise HeaderInjection("a header line has no name")
    return name.decode("ascii")


def decoded_text(value: str) -> str:
    """The text of encoded words (RFC 2047); what cannot be decoded stays as it stands."""
    if "=?" not in value:
        return value
    try:
        parts = decode_header(value)
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii", "replace") for part, charset in parts
        )
    except (HeaderParseError, LookupError, ValueError):
        return value
