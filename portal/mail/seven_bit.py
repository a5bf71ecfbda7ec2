"""Bodies of others in 7-bit: 8-bit parts become quoted-printable or base64 (RFC 6152 3, RFC 2045 6)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence

Fields = list[tuple[str, bytes]]
_DEEPEST = 20
_MOST_PARTS = 1000
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_BOUNDARY = re.compile(rb";\s*boundary\s*=\s*(?:\"([^\"\r\n]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_LOOKED_AT = 64 * 1024  # octets in one go
_BASE64_LINE = 57  # octets: 76 characters
_AS_IT_CAME = frozenset({b"base64", b"quoted-printable"})


class _Parts:
    """How many were looked at."""

    def __init__(self) -> None:
        self.count = 0


def seven_bit(fields: Sequence[tuple[str, bytes]], body: bytes) -> tuple[Fields, bytes]:
    """The fields (name, and the whole field with CRLF) and body of a message or part, as 7-bit as can be."""
    return _part(list(fields), body, depth=0, parts=_Parts())


def _part(fields: Fields, body: bytes, *, depth: int, parts: _Parts) -> tuple[Fields, bytes]:
    parts.count += 1
    if body.isascii() or depth > _DEEPEST or parts.count > _MOST_PARTS:
        return fields, body
    content_type = _value(fields, "content-type")
    kind = content_type.partition(b";")[0].strip().lower()
    if kind.startswith(b"message/") or kind == b"multipart/signed":
        return fields, body  # neither may be encoded: RFC 2046 5.2.1, RFC 1847 2.1
    if kind.startswith(b"multipart/"):
        return _without_encoding(fields, content_type, body, depth=depth, parts=parts)
    if _value(fields, "content-transfer-encoding").strip().lower() in _AS_IT_CAME:
        return fields, body
    encoding, encoded = _encoded(body, is_text=not kind or kind.startswith(b"text/"))
    kept = [field for field in fields if field[0].lower() != "content-transfer-encoding"]
    kept.append(("Content-Transfer-Encoding", b"Content-Transfer-Encoding: " + encoding + b"\r\n"))
    if not any(name.lower() == "mime-version" for name, _raw in kept) and depth == 0:
        kept.append(("MIME-Version", b"MIME-Version: 1.0\r\n"))
    return kept, encoded


def _without_encoding(
    fields: Fields, content_type: bytes, body: bytes, *, depth: int, parts: _Parts
) -> tuple[Fields, bytes]:
    """A multipart whose parts are 7-bit each, which then says so itself."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return fields, body
    between = re.compile(rb"(?:\A|(?<=\r\n))--" + re.escape(found[1] or found[2]) + rb"(?:--)?[ \t]*\r\n")
    pieces: list[bytes] = []
    place, is_part = 0, False
    for line in between.finditer(body):
        if parts.count > _MOST_PARTS:  # the rest stays as it is
            break
        inner = body[place : line.start()]
        pieces += [_inner(inner, depth=depth, parts=parts) if is_part else inner, line[0]]
        place, is_part = line.end(), not line[0].rstrip(b" \t\r\n").endswith(b"--")
    pieces.append(body[place:])
    whole = b"".join(pieces)
    if not whole.isascii():
        return fields, whole
    return [field for field in fields if field[0].lower() != "content-transfer-encoding"], whole


def _inner(raw: bytes, *, depth: int, parts: _Parts) -> bytes:
    fields: Fields = []
    place = 0
    while line := _FIELD.match(raw, place):
        fields.append((line[1].decode("ascii"), line[0]))
        place = line.end()
    if not raw.startswith(b"\r\n", place):
        return raw
    body = raw[place + 2 :]
    end = b"\r\n" if body.endswith(b"\r\n") else b""  # it belongs to the boundary that follows: RFC 2046 5.1.1
    fields, body = _part(fields, body.removesuffix(end) if end else body, depth=depth + 1, parts=parts)
    return b"".join(field for _name, field in fields) + b"\r\n" + body + end


def _encoded(body: bytes, *, is_text: bool) -> tuple[bytes, bytes]:
    if is_text:
        quoted = b"".join(map(_quoted, _some_lines(body)))
        if len(quoted) <= len(body) * 3 // 2:
            return b"quoted-printable", quoted
    lines = (body[place : place + _BASE64_LINE] for place in range(0, len(body), _BASE64_LINE))
    return b"base64", b"".join(binascii.b2a_base64(line, newline=False) + b"\r\n" for line in lines)


def _some_lines(body: bytes) -> Iterator[bytes]:
    """Whole lines, some at a time: a large body in one go would hold up every other thread."""
    place = 0
    while place < len(body):
        end = body.find(b"\r\n", place + _LOOKED_AT)
        end = end + len(b"\r\n") if end >= 0 else len(body)
        yield body[place:end]
        place = end


def _quoted(lines: bytes) -> bytes:
    """Broken with CRLF, which the library does only where it has seen one."""
    if lines.endswith(b"\r\n"):
        return binascii.b2a_qp(lines, istext=True)
    return binascii.b2a_qp(lines + b"\r\n", istext=True).removesuffix(b"\r\n")


def _value(fields: Fields, name: str) -> bytes:
    raw = next((raw for one, raw in fields if one.lower() == name), b"")
    return _FOLD.sub(b"", raw.partition(b":")[2])
