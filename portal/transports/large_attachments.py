"""Taking large attachments out of a message, and nothing else: every other byte stays as it is.

Only the parts of a plain multipart/mixed can be taken out. In a signed or encrypted message everything depends on
everything, so that it is never parted.
Sources: RFC 2046 5.1, RFC 2183, RFC 1847.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser

from portal.transports.smtp_blotting import printable

_DECODABLE = frozenset({"", "7bit", "8bit", "binary", "base64", "quoted-printable"})


@dataclass(frozen=True)
class Attachment:
    """A file as it was before it was encoded."""

    name: str
    content_type: str  # without parameters
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class PartedMessage:
    """A message whose largest attachments stand apart; `rest` is complete MIME without them."""

    rest: bytes = field(repr=False)
    attachments: tuple[Attachment, ...]


def without_large_attachments(content: bytes, *, largest: int) -> PartedMessage | None:
    """The message with as few attachments taken out as it takes for the rest to have at most `largest` octets.

    None where that cannot be done without changing more than where the attachments stand.
    """
    parts = _outermost_parts(content)
    files = sorted(
        ((end - start, start, end, file) for start, end in parts if (file := _as_file(content[start:end]))),
        key=lambda found: found[:2],
        reverse=True,
    )
    size, taken = len(content), []
    for length, start, end, file in files:
        if size <= largest:
            break
        size -= length
        taken.append((start, end, file))
    if size > largest or len(taken) == len(parts):
        return None
    taken.sort(key=lambda found: found[0])
    kept, position = [], 0
    for start, end, _ in taken:
        kept.append(content[position:start])
        position = end
    return PartedMessage(b"".join([*kept, content[position:]]), tuple(file for _, _, file in taken))


def _outermost_parts(content: bytes) -> list[tuple[int, int]]:
    """Where the parts of a multipart/mixed begin and end, each with the delimiter before it; none in anything else."""
    header_ends = content.find(b"\r\n\r\n")
    header = BytesHeaderParser().parsebytes(content[: header_ends + 4])
    boundary = header.get_boundary()
    if header_ends < 0 or header.get_content_type() != "multipart/mixed" or not boundary or not boundary.isascii():
        return []
    delimiter = re.compile(rb"\r\n--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    # The empty line after the header is also the line break before a delimiter that follows at once.
    found = list(delimiter.finditer(content, header_ends + 2))
    closing = next((place for place, match in enumerate(found) if match[1]), None)
    if not closing:
        return []
    return [(found[place].start(), found[place + 1].start()) for place in range(closing)]


def _as_file(part: bytes) -> Attachment | None:
    """The part, its delimiter included, as a file; None for a text, an inline picture and whatever is no plain file."""
    parsed = BytesParser().parsebytes(part.partition(b"\r\n")[2].partition(b"\r\n")[2])
    name = parsed.get_filename()
    encoding = str(parsed.get("Content-Transfer-Encoding", "")).strip().lower()
    is_file = (
        not parsed.is_multipart()
        and parsed.get_content_maintype() not in {"multipart", "message"}
        and parsed.get_content_disposition() == "attachment"
        and parsed.get("Content-ID") is None
        and encoding in _DECODABLE
    )
    if not is_file or not name:
        return None
    decoded = _decoded(parsed)
    return Attachment(printable(name), parsed.get_content_type(), decoded) if decoded is not None else None


def _decoded(part: Message) -> bytes | None:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) and not part.defects else None
