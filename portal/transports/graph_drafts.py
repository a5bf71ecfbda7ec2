"""Messages too large for one request to Microsoft Graph: a draft, its attachments uploaded, then sent.

Graph takes a message as MIME only whole, and uploads nothing but attachments. So the largest attachments are taken
out of the MIME and put to the draft as files: same name, same type, same bytes. Needs the permission Mail.ReadWrite.
A draft that was not sent is deleted again, also one whose address never came: it is looked for by its Message-ID.
Sources: learn.microsoft.com, "Attach large files to Outlook messages or events", "message: send", "List messages".
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from email.parser import BytesHeaderParser
from typing import Any
from urllib.parse import quote

from portal.mail.addresses import same_address_key
from portal.network.https import Answer, HTTPSError
from portal.transports import (
    Abandoned,
    OutgoingMessage,
    PermanentError,
    Reply,
    SendReport,
    Step,
    TransientError,
    TransportError,
)
from portal.transports.api_calls import APICalls, APIRequest
from portal.transports.http_refusals import Problem
from portal.transports.large_attachments import Attachment, PartedMessage

UPLOAD_PERMISSION = "Mail.ReadWrite"
_UPLOADED_FROM = 3 * 1024 * 1024  # octets; smaller ones go in one request
_CHUNK = 10 * 320 * 1024  # below the 4 MB that one request may have
# A new draft is answered with all of it, its text too: up to 3 MB, of which JSON may write each octet as six.
_LARGEST_DRAFT = 20_000_000  # octets
_RECIPIENTS = ("toRecipients", "ccRecipients", "bccRecipients")


class Drafts:
    """Drafts of one mailbox, `user_url` being where it lives in Graph."""

    def __init__(self, calls: APICalls, *, user_url: str) -> None:
        self._calls = calls
        self._messages_url = f"{user_url}/messages"

    def send(
        self,
        message: OutgoingMessage,
        parted: PartedMessage,
        *,
        may_proceed: Callable[[], bool],
        accepted: Callable[[Answer], Reply | None],
    ) -> SendReport:
        """As `Transport.send`: the point of no return is the request that sends the draft."""
        draft = self._created(message, parted.rest)
        try:
            for attachment in parted.attachments:
                if len(attachment.content) < _UPLOADED_FROM:
                    self._attach(draft, attachment)
                else:
                    self._upload(draft, attachment)
            request = APIRequest(method="POST", url=f"{draft}/send")
            return self._calls.send(message, request, may_proceed=may_proceed, accepted=accepted)
        except (TransportError, Abandoned):
            self._delete(draft)
            raise

    def _created(self, message: OutgoingMessage, content: bytes) -> str:
        """The address of a new draft that is for every recipient."""
        request = APIRequest(
            method="POST",
            url=self._messages_url,
            headers={"Content-Type": "text/plain"},
            content=b64encode(content),
            most_octets=_LARGEST_DRAFT,
        )
        try:
            answer = self._calls.ask(request)
            if isinstance(answer, Problem) and self._calls.error(answer).code == "graph.access_denied":
                # Without the right to keep drafts everything but large messages still leaves.
                raise PermanentError(Step.CONTENT, code="graph.message_too_large", reply=answer.reply)
            body = self._body(answer)
            draft = self._address(body)
        except TransientError as error:
            if _may_be_there(error):
                self._delete_astray(message, content)
            raise
        if not _names_all(body, message.rcpt_to):
            self._delete(draft)
            seen = "the draft does not name every recipient, so it was not sent"
            raise PermanentError(Step.CONTENT, code="graph.message_too_large", seen=seen)
        return draft

    def _address(self, body: dict[str, Any]) -> str:
        return f"{self._messages_url}/{quote(_text(body, 'id'), safe='', errors='replace')}"

    def _delete_astray(self, message: OutgoingMessage, content: bytes) -> None:
        """Delete the draft that an answer which did not come, or not whole, may have told of.

        Another part of the same message may be on its way just now: that one's draft is for others.
        """
        number = str(BytesHeaderParser().parsebytes(content).get("Message-ID", "")).strip()
        if not number:
            return
        query = {
            "$filter": "internetMessageId eq '{}' and isDraft eq true".format(number.replace("'", "''")),
            "$select": ",".join(("id", *_RECIPIENTS)),
        }
        with suppress(TransportError):
            found = self._body(self._calls.ask(APIRequest(method="GET", url=self._messages_url, params=query)))
            drafts = found.get("value")
            for draft in drafts if isinstance(drafts, list) else []:
                if isinstance(draft, dict) and _named(draft) == set(map(same_address_key, message.rcpt_to)):
                    self._delete(self._address(draft))

    def _delete(self, draft: str) -> None:
        """What cannot be deleted stays among the drafts, which does no harm."""
        with suppress(TransportError):
            self._calls.ask(APIRequest(method="DELETE", url=draft))

    def _attach(self, draft: str, attachment: Attachment) -> None:
        described = {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": attachment.name,
            "contentType": attachment.content_type,
            "contentBytes": b64encode(attachment.content).decode(),
        }
        self._post(f"{draft}/attachments", described)

    def _upload(self, draft: str, attachment: Attachment) -> None:
        size = len(attachment.content)
        item = {
            "attachmentType": "file",
            "name": attachment.name,
            "contentType": attachment.content_type,
            "size": size,
        }
        session = self._post(f"{draft}/attachments/createUploadSession", {"AttachmentItem": item})
        url = _text(session, "uploadUrl")
        for start in range(0, size, _CHUNK):
            chunk = attachment.content[start : start + _CHUNK]
            self._put(url, chunk, f"bytes {start}-{start + len(chunk) - 1}/{size}")

    def _put(self, url: str, chunk: bytes, content_range: str) -> None:
        """One piece, in order. The address itself is the permission: the access token must not go there."""
        request = APIRequest(
            method="PUT",
            url=url,
            headers={"Content-Type": "application/octet-stream", "Content-Range": content_range},
            content=chunk,
            is_signed=False,
        )
        try:
            answer = self._calls.ask(request)
        except ValueError as error:
            raise _unexpected(Reply(0, "the address for the upload is none that the portal may use")) from error
        if isinstance(answer, Problem):
            raise TransientError(Step.CONTENT, code="graph.unavailable", reply=answer.reply)

    def _post(self, url: str, resource: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        request = APIRequest(method="POST", url=url, headers=headers, content=json.dumps(resource).encode())
        return self._body(self._calls.ask(request))

    def _body(self, answer: Answer | Problem) -> dict[str, Any]:
        if isinstance(answer, Problem):
            raise self._calls.error(answer)
        try:
            body = answer.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise _unexpected(Reply(answer.status, "an answer without what was asked for"))
        return body


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise _unexpected(Reply(0, f"the answer has no {key}"))
    return value


def _names_all(draft: dict[str, Any], rcpt_to: tuple[str, ...]) -> bool:
    """Whether Graph understood whom the draft is for: it says so in its own words, hidden recipients included."""
    named = _named(draft)
    return all(same_address_key(address) in named for address in rcpt_to)


def _may_be_there(error: TransientError) -> bool:
    """Whether the draft may have been made, though no usable answer says so."""
    cause, status = error.__cause__, error.reply.code if error.reply else 0
    is_lost = isinstance(cause, HTTPSError) and cause.was_handed_over
    return is_lost or error.code == "http.unexpected_answer" or status in {502, 504}


def _named(draft: dict[str, Any]) -> set[str]:
    return {
        same_address_key(_address(recipient))
        for key in _RECIPIENTS
        if isinstance(draft.get(key), list)
        for recipient in draft[key]
    }


def _address(recipient: Any) -> str:
    named = recipient.get("emailAddress") if isinstance(recipient, dict) else None
    return str(named.get("address", "")) if isinstance(named, dict) else ""


def _unexpected(reply: Reply) -> TransientError:
    return TransientError(Step.CONTENT, code="http.unexpected_answer", reply=reply)
