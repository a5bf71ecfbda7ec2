"""Composing: what is sent as the bytes of a complete message, but for its From line.

The From line is written when the message is sent, because a way out may have to use its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from uuid import uuid4

from portal.mail.addresses import Mailbox
from portal.mail.domains import message_id_domain
from portal.mail.encoding import mailboxes, unstructured
from portal.mail.header_text import HeaderTextError, check_header_text
from portal.mail.headers import HeaderInjection, has_header, header_block, header_value
from portal.mail.mime import Attachment, build_body
from portal.wording import N_

__all__ = ["Attachment", "complete", "compose", "new_message_id", "subject_of", "written_date"]

TEXT_LIMIT = 998  # characters of a subject or of a header of the sender's own
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # in no language: RFC 5322 3.3
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EXTRA_NAME = re.compile(r"[Xx]-[A-Za-z0-9-]{1,60}")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")


def compose(
    *,
    to: Sequence[Mailbox],
    subject: str,
    text: str,
    message_id: str,
    date: datetime,
    auto_submitted: bool,
    cc: Sequence[Mailbox] = (),
    reply_to: Mailbox | None = None,
    html: str | None = None,
    attachments: Sequence[Attachment] = (),
    extra_headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A message (RFC 5322) without its From line: CRLF, 7-bit but for non-ASCII local parts (RFC 6532).

    `date` is aware. `auto_submitted` marks it as written by a machine (RFC 3834), so that nobody's absence
    notice answers. `extra_headers` are `X-` names only. Hidden recipients are the envelope's alone.
    Raises HeaderTextError for a text that a header cannot hold, HeaderInjection where the header does not read
    back as it was built.
    """
    fields = [("Date", written_date(date))]
    fields.append(("To", mailboxes("To", to) if to else "undisclosed-recipients:;"))
    if cc:
        fields.append(("Cc", mailboxes("Cc", cc)))
    if reply_to:
        fields.append(("Reply-To", mailboxes("Reply-To", [reply_to])))
    fields.append(("Subject", unstructured("Subject", check_header_text(subject, limit=TEXT_LIMIT))))
    fields.append(("Message-ID", _checked_message_id(message_id)))
    if auto_submitted:
        fields.append(("Auto-Submitted", "auto-generated"))
    fields += [_extra(name, value) for name, value in extra_headers]
    fields.append(("MIME-Version", "1.0"))
    part = build_body(text, html, attachments)
    return header_block([*fields, *part.fields]) + b"\r\n" + part.body


def complete(content: bytes, *, from_mailbox: Mailbox, original_from: Mailbox | None = None) -> bytes:
    """The message with its From line in front.

    `original_from` is who wrote it where the way out must use another sender: it becomes the Reply-To, unless
    the message has one. Raises HeaderInjection where the content already names a sender or has no proper header.
    """
    if has_header(content, "From"):
        raise HeaderInjection("the message already has a From line")
    replies_to = original_from if original_from and not has_header(content, "Reply-To") else None
    return _sender_block(from_mailbox, replies_to) + content


@lru_cache(maxsize=256)
def _sender_block(from_mailbox: Mailbox, replies_to: Mailbox | None) -> bytes:
    """The same few senders write all mail; their lines are encoded and read back once."""
    fields = [("From", mailboxes("From", [from_mailbox]))]
    if replies_to:
        fields.append(("Reply-To", mailboxes("Reply-To", [replies_to])))
    return header_block(fields)


def new_message_id(domain: str) -> str:
    """A Message-ID that no other message has (RFC 5322 3.6.4). Raises DomainError for what is no host."""
    return f"<{uuid4()}@{message_id_domain(domain)}>"


def subject_of(content: bytes) -> str:
    """The subject as people read it, on one line; "" where there is none."""
    return header_value(content, "Subject")


def written_date(date: datetime) -> str:
    """A moment as a Date line has it (RFC 5322 3.3). It is aware; raises ValueError."""
    if date.tzinfo is None:
        raise ValueError("the date of a message needs a time zone")
    utc = date.astimezone(UTC)
    day = f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04}"
    return f"{day} {utc.hour:02}:{utc.minute:02}:{utc.second:02} +0000"


def _checked_message_id(message_id: str) -> str:
    if len(message_id) > TEXT_LIMIT // 2 or not _MESSAGE_ID.fullmatch(message_id):
        raise HeaderTextError(N_("The Message-ID is not valid. It has the form <text@domain>."))
    return message_id


def _extra(name: str, value: str) -> tuple[str, str]:
    if not _EXTRA_NAME.fullmatch(name):
        raise HeaderTextError(N_("Only headers whose names start with X- can be added."))
    return name, unstructured(name, check_header_text(value, limit=TEXT_LIMIT))
