"""Messages as Graph takes them: MIME in base64 or a JSON resource, both kept as RFC 5322."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, getaddresses, make_msgid
from typing import Any

from tests.outside.microsoft_directory import Mailbox
from tests.outside.microsoft_errors import GraphRefused
from tests.outside.microsoft_tokens import Clock

_MOST_OWN_HEADERS = 5
_RECIPIENTS = {"To": "toRecipients", "Cc": "ccRecipients", "Bcc": "bccRecipients", "Reply-To": "replyTo"}


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """A message that was accepted for sending."""

    content: bytes = field(repr=False)  # MIME as it was sent, and what was built of JSON or of a draft with attachments
    mailbox: str  # the address of whose mailbox it left
    how: str  # "mime", "json", or "draft" (either, with attachments uploaded or not)
    recipients: tuple[str, ...]  # of To, Cc and Bcc
    from_address: str
    client_id: str
    signed_in_as: str | None  # None: the app itself
    is_saved: bool  # in Sent Items


@dataclass(frozen=True)
class Attachment:
    name: str
    content_type: str
    content: bytes = field(repr=False)


def from_mime(body: bytes) -> bytes:
    """The message in a body of base64. Raises GraphRefused."""
    try:
        content = b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        raise GraphRefused(400, "ErrorMimeContentInvalidBase64String") from None
    if b":" not in content.partition(b"\n")[0]:
        raise GraphRefused(400, "ErrorMimeContentInvalid")
    return content


def from_json(resource: Mapping[str, Any], mailbox: Mailbox, clock: Clock) -> bytes:
    """The message that a resource of type `message` describes. Raises GraphRefused."""
    message = EmailMessage(policy=SMTP)
    sender = resource.get("from", {}).get("emailAddress", {})
    message["From"] = formataddr((sender.get("name", mailbox.display_name), sender.get("address", mailbox.address)))
    for name, member in _RECIPIENTS.items():
        if resource.get(member):
            message[name] = ", ".join(_address(one) for one in resource[member])
    message["Subject"] = resource.get("subject", "")
    message["Date"] = format_datetime(clock())
    message["Message-ID"] = make_msgid(domain="prod.outlook.test")
    for name, value in _own_headers(resource.get("internetMessageHeaders", [])):
        message[name] = value
    body = resource.get("body", {})
    is_html = body.get("contentType", "").lower() == "html"
    message.set_content(body.get("content", ""), subtype="html" if is_html else "plain")
    attachments = [attachment(one) for one in resource.get("attachments", [])]
    return with_attachments(message.as_bytes(), attachments)


def attachment(resource: Mapping[str, Any]) -> Attachment:
    """Of a resource of type `fileAttachment`. Raises GraphRefused."""
    if resource.get("@odata.type") != "#microsoft.graph.fileAttachment":
        raise GraphRefused(400, "BadRequest", "The attachment's type is not supported.")
    try:
        content = b64decode(resource.get("contentBytes", ""), validate=True)
    except binascii.Error:
        raise GraphRefused(400, "BadRequest", "Cannot convert the value to the type 'Edm.Binary'.") from None
    return Attachment(resource.get("name", ""), resource.get("contentType", "application/octet-stream"), content)


def with_attachments(content: bytes, attachments: Iterable[Attachment]) -> bytes:
    """The same message with these added; without any the very same bytes."""
    added = list(attachments)
    if not added:
        return content
    message = message_from_bytes(content, policy=SMTP)
    for one in added:
        kind, _, subtype = one.content_type.partition("/")
        message.add_attachment(one.content, maintype=kind, subtype=subtype or "octet-stream", filename=one.name)
    return message.as_bytes()


def recipients_of(content: bytes) -> tuple[str, ...]:
    """Whom it goes to: there is no envelope, so Bcc counts. Raises GraphRefused for none, or a malformed one."""
    found = _addresses(content, "To", "Cc", "Bcc")
    if not found or any("@" not in address for address in found):
        raise GraphRefused(400, "ErrorInvalidRecipients")
    return tuple(found)


def named_in(content: bytes) -> dict[str, Any]:
    """From and recipients as a resource of type `message` names them; a list is empty where there are none."""
    members = {member: _resources(content, name) for name, member in _RECIPIENTS.items()}
    sender = _resources(content, "From")
    return members | ({"from": sender[0]} if sender else {})


def number_of(content: bytes) -> str:
    """The Message-ID, "" without one."""
    return str(message_from_bytes(content, policy=SMTP).get("Message-ID", "")).strip()


def body_of(content: bytes) -> dict[str, str]:
    """The text as a resource of type `message` holds it, HTML before plain."""
    text = message_from_bytes(content, policy=SMTP).get_body(("html", "plain"))
    if text is None:
        return {"contentType": "text", "content": ""}
    return {"contentType": "html" if text.get_content_subtype() == "html" else "text", "content": text.get_content()}


def sender_of(content: bytes) -> str:
    """The first From address; empty without one, which Exchange takes for the mailbox's own."""
    return next(iter(_addresses(content, "From")), "")


def _addresses(content: bytes, *names: str) -> list[str]:
    return [address for _, address in _mailboxes(content, *names)]


def _mailboxes(content: bytes, *names: str) -> list[tuple[str, str]]:
    """Display names as they are written, and addresses."""
    message = message_from_bytes(content)
    return getaddresses([str(value) for name in names for value in message.get_all(name, [])])


def _resources(content: bytes, name: str) -> list[dict[str, Any]]:
    """A resource of type `recipient` for each mailbox in this header; without a display name, the address is it."""
    return [
        {"emailAddress": {"name": str(make_header(decode_header(shown))) or address, "address": address}}
        for shown, address in _mailboxes(content, name)
    ]


def _address(recipient: Mapping[str, Any]) -> str:
    one = recipient.get("emailAddress", {})
    return formataddr((one.get("name", ""), one.get("address", "")))


def _own_headers(headers: list[Mapping[str, str]]) -> Iterable[tuple[str, str]]:
    if len(headers) > _MOST_OWN_HEADERS:
        message = f"Maximum number of headers in one message should be less than or equal to {_MOST_OWN_HEADERS}."
        raise GraphRefused(400, "InvalidInternetMessageHeaderCollection", message)
    for header in headers:
        if not header["name"].lower().startswith("x-"):
            message = f"The internet message header name '{header['name']}' should start with 'x-' or 'X-'."
            raise GraphRefused(400, "InvalidInternetMessageHeader", message)
        yield header["name"], header["value"]
