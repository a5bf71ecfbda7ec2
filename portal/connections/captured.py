"""Captured mail made readable: headers, text, HTML, attachments and source of a message that was kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

SHOWN_HEADERS = ("From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID")
LONGEST_SOURCE = 200_000  # characters that a page shows


@dataclass(frozen=True)
class Attachment:
    """What goes along with a message, without its content."""

    filename: str  # "" where it has none
    content_type: str
    size: int  # octets, decoded


@dataclass(frozen=True)
class ReadableMail:
    """A message (RFC 5322) as people read it. Text and HTML are "" where the message has no such part."""

    headers: tuple[tuple[str, str], ...]  # decoded, those that are there of SHOWN_HEADERS
    text: str = field(repr=False)
    html: str = field(repr=False)
    attachments: tuple[Attachment, ...]
    source: str = field(repr=False)  # its beginning, bytes beyond ASCII as escapes


def read_mail(content: bytes) -> ReadableMail:
    """The parts of a complete message. Never raises for what a message holds: it is shown as far as it goes."""
    message = message_from_bytes(content, policy=policy.default)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return ReadableMail(
        headers=tuple((name, _one_line(message, name)) for name in SHOWN_HEADERS if name in message),
        text=_content(cast("EmailMessage | None", text)),
        html=_content(cast("EmailMessage | None", html)),
        attachments=tuple(_attachment(part) for part in message.iter_attachments()),
        source=content[:LONGEST_SOURCE].decode("ascii", "backslashreplace").replace("\r\n", "\n"),
    )


def _one_line(message: EmailMessage, name: str) -> str:
    return " ".join(str(message[name]).split())


def _content(part: EmailMessage | None) -> str:
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):  # a charset that Python does not know
        return _decoded(part).decode("ascii", "replace")


def _attachment(part: EmailMessage) -> Attachment:
    return Attachment(part.get_filename() or "", part.get_content_type(), len(_decoded(part)))


def _decoded(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
