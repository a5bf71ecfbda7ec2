"""Messages that others wrote, as bytes: taken apart, mended where old programs are lax, and put together again.

Nothing is decoded and serialised by a library on the way: what is not changed leaves byte for byte as it came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import getaddresses
from functools import lru_cache
from typing import NamedTuple

from portal.mail.addresses import AddressError, Mailbox, parse_display_name
from portal.mail.encoding import mailboxes, unstructured
from portal.mail.header_text import one_line
from portal.mail.headers import decoded_text
from portal.mail.seven_bit import seven_bit

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
_EMPTY_CONTINUATION = re.compile(rb"(?<=\r\n)[ \t]+\r\n")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
LONGEST_HEADER = 256 * 1024  # octets: more is no letter's header, and costs far more to read than a body
_PIECE = 64 * 1024  # octets looked at in one go: split into lines, a large body takes many times its size
_ADDRESSES = frozenset({"to", "cc", "reply-to", "resent-to", "resent-cc", "resent-from", "resent-sender"})


class HeaderTooLong(ValueError):
    """The header of a message has more than LONGEST_HEADER octets."""


class Field(NamedTuple):
    """A header field with its folding; `raw` ends with CRLF."""

    name: str
    raw: bytes
    key: str  # the name as it is compared

    @property
    def value(self) -> str:
        """Decoded to one line."""
        _name, _colon, value = self.raw.partition(b":")
        return one_line(decoded_text(_text(_FOLD.sub(b"", value)))).strip()


@dataclass(frozen=True)
class Submitted:
    """A message apart: its fields in their order, and its body."""

    fields: tuple[Field, ...]
    body: bytes

    def first(self, name: str) -> str:
        """The value of the first field of that name, "" where there is none."""
        key = _lower(name)
        return next((one.value for one in self.fields if one.key == key), "")

    def count(self, name: str) -> int:
        """How many fields have that name."""
        return [one.key for one in self.fields].count(_lower(name))

    def without(self, *names: str) -> Submitted:
        """The same without the fields of these names."""
        gone = {_lower(name) for name in names}
        return Submitted(tuple(one for one in self.fields if one.key not in gone), self.body)

    def having(self, *added: tuple[str, str]) -> Submitted:
        """The same with fields in front; values are folded already."""
        return Submitted(tuple(_written(name, value) for name, value in added) + self.fields, self.body)

    def __bytes__(self) -> bytes:
        return b"".join(one.raw for one in self.fields) + b"\r\n" + self.body


def take_apart(content: bytes) -> Submitted:
    """The fields of a message and its body. The first line that is no field ends the header, as with other servers.

    Spaces between a name and its colon are dropped (RFC 5322 4.5.8). Raises HeaderTooLong.
    """
    fields: list[Field] = []
    place = 0
    while found := _FIELD.match(content, place, LONGEST_HEADER):
        name = found[1]
        raw = _EMPTY_CONTINUATION.sub(b"", found[0])
        if raw[len(name) : len(name) + 1] != b":":
            raw = name + raw[raw.index(b":") :]
        fields.append(_field(_decoded(name), raw))
        place = found.end()
    if len(content) > LONGEST_HEADER and content.find(b"\r\n", place, LONGEST_HEADER) < 0:
        raise HeaderTooLong(f"the header has more than {LONGEST_HEADER} octets")
    body = content[place + 2 :] if content.startswith(b"\r\n", place) else content[place:]
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return Submitted(tuple(fields), body)


def author_of(message: Submitted) -> Mailbox | None:
    """Who wrote it, by its one From line; None where that names nobody, several, or no address."""
    if message.count("From") != 1:
        return None
    return _author(next(one.raw for one in message.fields if one.key == "from"))


@lru_cache(maxsize=1024)
def _author(raw: bytes) -> Mailbox | None:
    """A device's From line is always the same."""
    found = [pair for pair in _pairs(_text(_FOLD.sub(b"", raw.partition(b":")[2])).strip()) if pair[1]]
    if len(found) != 1:
        return None
    name, address = one_line(decoded_text(found[0][0])).strip(), found[0][1]
    try:
        return Mailbox(address, parse_display_name(name[:200]))
    except AddressError:
        return None


def in_seven_bit(message: Submitted, *, keeps_utf8: bool) -> Submitted:
    """The same in 7-bit where that can be said: old programs write raw letters into headers and bodies.

    `keeps_utf8`: the header may hold UTF-8 (RFC 6532). What is signed stays as it is, and so may need 8BITMIME.
    """
    fields = tuple(one if one.raw.isascii() else _mended(one, keeps_utf8=keeps_utf8) for one in message.fields)
    if message.body.isascii():
        return Submitted(fields, message.body)
    pairs, body = seven_bit([(one.name, one.raw) for one in fields], message.body)
    return Submitted(tuple(_field(name, raw) for name, raw in pairs), body)


def longest_line(content: bytes) -> int | None:
    """In octets, without the line's end; None where a CR or LF stands alone."""
    longest = begun = place = 0  # `begun`: what of a line stood in the pieces before
    while place < len(content):
        end = place + _PIECE
        end += content[end - 1 : end] == b"\r"  # a line's end stays together
        lines = content[place:end].split(b"\r\n")
        joined = b"".join(lines)  # two searches in it are far quicker than counting what ends
        if b"\r" in joined or b"\n" in joined:
            return None
        longest = max(longest, begun + len(lines[0]), *map(len, lines[1:]))
        begun = len(lines[-1]) + (begun if len(lines) == 1 else 0)
        place = end
    return longest


def _field(name: str, raw: bytes) -> Field:
    return Field(name, raw, _lower(name))


def _written(name: str, value: str) -> Field:
    """A new one; the value is folded already."""
    return _field(name, f"{name}: {value}\r\n".encode())


@lru_cache(maxsize=1024)
def _lower(name: str) -> str:
    """All messages share a few names."""
    return name.lower()


@lru_cache(maxsize=1024)
def _decoded(name: bytes) -> str:
    return name.decode("ascii")


def _mended(field: Field, *, keeps_utf8: bool) -> Field:
    if keeps_utf8 and _is_utf8(field.raw):
        return field
    text = one_line(_text(_FOLD.sub(b"", field.raw.partition(b":")[2]))).strip()
    if field.key in _ADDRESSES:
        value = _listed(field.name, _pairs(text))
    elif field.key.startswith("content-") or field.key in {"message-id", "received", "date"}:
        value = text.encode("ascii", "replace").decode().replace("?", "_")
    else:
        value = unstructured(field.name, text)
    return _written(field.name, value)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and addresses of a list; none where comments are nested deeper than the library goes."""
    try:
        return getaddresses([text])
    except RecursionError:
        return []


def _listed(name: str, pairs: Sequence[tuple[str, str]]) -> str:
    known: list[Mailbox] = []
    for shown, address in pairs:
        try:
            known.append(Mailbox(address, parse_display_name(one_line(shown)[:200])))
        except AddressError:
            continue
    return mailboxes(name, known) if known else "undisclosed-recipients:;"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
