"""Bodies: text, an HTML alternative and attachments as 7-bit MIME parts (RFC 2045, RFC 2046, RFC 2183)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import uuid4

from portal.mail.encoding import filename_parameter, fold
from portal.mail.header_text import HeaderTextError, one_line
from portal.mail.headers import header_block
from portal.wording import N_

SEVEN_BIT_LINE_LIMIT = 200  # longer lines are wrapped by quoted-printable, well below the 998 of RFC 5322
FILENAME_LIMIT = 150
_TOKEN = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"  # noqa: S105 - the grammar's name: RFC 6838 4.2
_CONTENT_TYPE = re.compile(f"{_TOKEN}/{_TOKEN}")
_PLAIN_OCTETS = b"\t\r\n" + bytes(range(0x20, 0x7F))
_BASE64_LINE = 76  # characters, RFC 2045 6.8


@dataclass(frozen=True)
class Attachment:
    """A file. `content_type` is `type/subtype` without parameters; a path in `filename` is dropped."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Part:
    """A body with the Content- fields that describe it; the body ends with CRLF."""

    fields: tuple[tuple[str, str], ...]
    body: bytes

    def __bytes__(self) -> bytes:
        return _block(self.fields) + b"\r\n" + self.body


@lru_cache(maxsize=64)
def _block(fields: tuple[tuple[str, str], ...]) -> bytes:
    """The parts of most messages are described alike; their lines are read back once."""
    return header_block(fields)


def build_body(text: str, html: str | None, attachments: Sequence[Attachment]) -> Part:
    """The message's outermost part. Raises HeaderTextError for a content type that is none."""
    part = text_part(text, "plain")
    if html is not None:
        part = _multipart("alternative", [part, text_part(html, "html")])
    if attachments:
        part = _multipart("mixed", [part, *map(_attachment_part, attachments)])
    return part


def text_part(text: str, subtype: str) -> Part:
    """UTF-8 text, as 7bit where it is plain and short-lined, else in the shorter of the two encodings."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if lines[-1] or not text:
        lines.append("")  # it ends with CRLF, which is also what makes binascii break lines with CRLF
    content = "\r\n".join(lines).encode("utf-8", "replace")
    encoding, body = _encoded(content, longest_line=max(map(len, lines)))
    return Part(
        (("Content-Type", f"text/{subtype}; charset=utf-8"), ("Content-Transfer-Encoding", encoding)),
        body,
    )


def _encoded(content: bytes, *, longest_line: int) -> tuple[str, bytes]:
    if longest_line <= SEVEN_BIT_LINE_LIMIT and not content.translate(None, _PLAIN_OCTETS):
        return "7bit", content
    quoted = binascii.b2a_qp(content)
    if len(quoted) <= len(content) * 3 // 2:
        return "quoted-printable", quoted
    return "base64", _base64_lines(content)


def _base64_lines(content: bytes) -> bytes:
    encoded = binascii.b2a_base64(content, newline=False)
    lines = [encoded[start : start + _BASE64_LINE] for start in range(0, len(encoded), _BASE64_LINE)]
    return b"\r\n".join([*lines, b""])


def _attachment_part(attachment: Attachment) -> Part:
    content_type = attachment.content_type.strip().lower()
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise HeaderTextError(
            N_("The content type of an attachment is not valid. It has the form type/subtype, as in application/pdf.")
        )
    if content_type.startswith(("message/", "multipart/")):
        content_type = "application/octet-stream"  # RFC 2046 5 forbids base64 for composite types
    name = filename_parameter(safe_filename(attachment.filename))
    fields = (
        ("Content-Type", content_type),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", fold("Content-Disposition", ["attachment;", *name])),
    )
    return Part(fields, _base64_lines(attachment.content) or b"\r\n")


def safe_filename(filename: str) -> str:
    """The last part of a path on one line, at most 150 characters with its ending kept; never empty, "." or "..".

    Characters that show a name in another order than it has are dropped: `x\\u202efdp.exe` reads as a PDF.
    """
    name = one_line(re.split(r"[/\\]", filename)[-1]).strip(". ") or "attachment"
    if len(name) <= FILENAME_LIMIT:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 16:
        return name[:FILENAME_LIMIT]
    return f"{stem[: FILENAME_LIMIT - len(ending) - 1]}.{ending}"


def _multipart(subtype: str, parts: Sequence[Part]) -> Part:
    boundary = f"=_{uuid4().hex}"  # cannot be guessed by who writes a body
    delimiter = f"--{boundary}\r\n".encode("ascii")
    body = b"".join(delimiter + bytes(part) + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode("ascii")
    value = fold("Content-Type", [f"multipart/{subtype};", f'boundary="{boundary}"'])
    return Part((("Content-Type", value),), body)
