"""Sending by the stand-in's Microsoft Graph: whole messages, drafts, and attachments uploaded in pieces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any

from tests.outside.microsoft_directory import Directory, Mailbox
from tests.outside.microsoft_errors import GraphRefused
from tests.outside.microsoft_graph import Caller, Doorkeeper
from tests.outside.microsoft_mail import (
    Attachment,
    ReceivedMessage,
    attachment,
    body_of,
    from_json,
    from_mime,
    named_in,
    number_of,
    recipients_of,
    sender_of,
    with_attachments,
)
from tests.outside.microsoft_scripts import Call
from tests.outside.microsoft_tokens import Clock
from tests.outside.stand_in_http import Answer, Request, json_answer

# Of a whole request, and of one piece of an upload.
MOST_OCTETS = 4 * 1024 * 1024
# Attachments below are sent whole, larger ones in pieces.
_UPLOADED_FROM = 3 * 1024 * 1024
_UPLOADED_TO = 150 * 1024 * 1024
_DRAFTS_WITH = re.compile(r"internetMessageId eq '(?P<number>(?:[^']|'')+)' and isDraft eq true")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass
class _Draft:
    id: str
    mailbox: Mailbox
    content: bytes
    attachments: list[Attachment] = field(default_factory=list)


@dataclass
class _Upload:
    draft: _Draft
    name: str
    content_type: str
    size: int
    expires_at: datetime
    content: bytes = b""


class Mailboxes:
    def __init__(
        self,
        directory: Directory,
        doorkeeper: Doorkeeper,
        graph_url: str,
        clock: Clock,
        keep: Callable[[ReceivedMessage], None],
    ) -> None:
        self._directory = directory
        self._doorkeeper = doorkeeper
        self._graph_url = graph_url
        self._clock = clock
        self._keep = keep
        self._drafts: dict[str, _Draft] = {}
        self._uploads: dict[str, _Upload] = {}

    def send_mail(self, call: Call) -> Answer:
        """A whole message: 202, which says that it was accepted and no more."""
        caller, mailbox = self._opened(call, "Mail.Send")
        if _is_mime(call.request):
            self._send(caller, mailbox, from_mime(call.request.content), "mime", is_saved=True)
        else:
            body = _json(call.request)
            is_saved = body.get("saveToSentItems", True) is not False
            content = from_json(body.get("message", {}), mailbox, self._clock)
            self._send(caller, mailbox, content, "json", is_saved=is_saved)
        return Answer(status=202)

    def create_draft(self, call: Call) -> Answer:
        _, mailbox = self._opened(call, "Mail.ReadWrite")
        content = (
            from_mime(call.request.content)
            if _is_mime(call.request)
            else from_json(_json(call.request), mailbox, self._clock)
        )
        draft = _Draft(f"AAMk{token_urlsafe(60)}=", mailbox, content)
        self._drafts[draft.id] = draft
        return json_answer({**_resource(draft), "body": body_of(content)}, status=201)

    def list_drafts(self, call: Call) -> Answer:
        """Those with one Message-ID, with what was asked for of each; no other question is understood."""
        _, mailbox = self._opened(call, "Mail.ReadWrite")
        asked = _DRAFTS_WITH.fullmatch(call.request.query.get("$filter", ""))
        if asked is None:
            raise GraphRefused(
                400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes."
            )
        wanted = call.request.query.get("$select", "").split(",")
        number = asked["number"].replace("''", "'")
        found = [one for one in self._drafts.values() if one.mailbox is mailbox and number_of(one.content) == number]
        listed = [{key: value for key, value in _resource(one).items() if key in wanted} for one in found]
        return json_answer({"value": listed})

    def delete_draft(self, call: Call) -> Answer:
        draft, _ = self._draft(call, "Mail.ReadWrite")
        del self._drafts[draft.id]
        return Answer(status=204)

    def attach(self, call: Call) -> Answer:
        """A small attachment in one piece."""
        draft, _ = self._draft(call, "Mail.ReadWrite")
        added = attachment(_json(call.request))
        if len(added.content) >= _UPLOADED_FROM:
            raise GraphRefused(413)
        draft.attachments.append(added)
        return json_answer({"id": token_urlsafe(60), "name": added.name, "size": len(added.content)}, status=201)

    def create_upload(self, call: Call) -> Answer:
        draft, _ = self._draft(call, "Mail.ReadWrite")
        item = _json(call.request).get("AttachmentItem", {})
        if item.get("attachmentType") != "file" or not isinstance(item.get("size"), int) or not item.get("name"):
            raise GraphRefused(400, "ErrorInvalidRequest", "AttachmentItem must be specified.")
        if item["size"] < _UPLOADED_FROM:
            raise GraphRefused(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", "The attachment is too small.")
        if item["size"] > _UPLOADED_TO:
            raise GraphRefused(400, "ErrorAttachmentSizeLimitExceeded", "The attachment is too large.")
        key, content_type = token_urlsafe(40), item.get("contentType", "application/octet-stream")
        upload = _Upload(draft, item["name"], content_type, item["size"], self._clock() + timedelta(hours=2))
        self._uploads[key] = upload
        return json_answer({"uploadUrl": f"{self._graph_url}/upload/{key}", **_progress(upload)}, status=201)

    def upload(self, call: Call) -> Answer:
        """One piece, in order, without an access token: the address is the permission."""
        upload = self._uploads.get(call.parts["key"])
        if upload is None or upload.expires_at <= self._clock():
            raise GraphRefused(404, "ErrorItemNotFound", "The upload session is not found or has expired.")
        if call.request.headers["Authorization"]:
            raise GraphRefused(401, "InvalidAuthenticationToken", "The upload address takes no Authorization header.")
        if len(call.request.content) > MOST_OCTETS:
            raise GraphRefused(413)
        found = _RANGE.fullmatch(call.request.headers["Content-Range"] or "")
        first, last, total = map(int, found.groups()) if found else (-1, -1, -1)
        if (first, total) != (len(upload.content), upload.size) or last - first + 1 != len(call.request.content):
            raise GraphRefused(416, "InvalidRange", "The Content-Range does not follow on what was received.")
        upload.content += call.request.content
        if len(upload.content) < upload.size:
            return json_answer(_progress(upload))
        del self._uploads[call.parts["key"]]
        upload.draft.attachments.append(Attachment(upload.name, upload.content_type, upload.content))
        location = f"{self._graph_url}/v1.0/users/{upload.draft.mailbox.object_id}/messages/{upload.draft.id}"
        return Answer(status=201, headers={"Location": f"{location}/attachments/{token_urlsafe(60)}"})

    def send_draft(self, call: Call) -> Answer:
        draft, caller = self._draft(call, "Mail.Send")
        self._send(caller, draft.mailbox, with_attachments(draft.content, draft.attachments), "draft", is_saved=True)
        del self._drafts[draft.id]
        return Answer(status=202)

    def _draft(self, call: Call, permission: str) -> tuple[_Draft, Caller]:
        caller, mailbox = self._opened(call, permission)
        draft = self._drafts.get(call.parts["message"])
        if draft is None or draft.mailbox is not mailbox:
            raise GraphRefused(404, "ErrorItemNotFound")
        return draft, caller

    def _opened(self, call: Call, permission: str) -> tuple[Caller, Mailbox]:
        """The mailbox in the address, for a caller who may do this in it. Raises GraphRefused."""
        caller = self._doorkeeper.caller(call.request)
        if len(call.request.content) > MOST_OCTETS:
            raise GraphRefused(413)
        mailbox = self._directory.mailbox(call.parts["user"]) if "user" in call.parts else caller.account
        if "user" not in call.parts and mailbox is None:
            raise GraphRefused(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        if mailbox is None or mailbox.tenant is not (caller.account or caller.app).tenant:
            raise GraphRefused(404, "ErrorInvalidUser", f"The requested user '{call.parts['user']}' is invalid.")
        if not _may(caller, mailbox, permission):
            raise GraphRefused(403, "ErrorAccessDenied")
        if not mailbox.has_exchange:
            raise GraphRefused(404, "MailboxNotEnabledForRESTAPI")
        return caller, mailbox

    def _send(self, caller: Caller, mailbox: Mailbox, content: bytes, how: str, *, is_saved: bool) -> None:
        recipients, from_address = recipients_of(content), sender_of(content) or mailbox.address
        if not _may_send_as(caller, mailbox, from_address):
            raise GraphRefused(403, "ErrorSendAsDenied")
        if not self._directory.unknown_recipients.isdisjoint(map(str.lower, recipients)):
            raise GraphRefused(400, "ErrorInvalidRecipients")
        if mailbox.is_blocked:
            raise GraphRefused(403, "ErrorMessageSubmissionBlocked")
        message = ReceivedMessage(
            content=content,
            mailbox=mailbox.address,
            how=how,
            recipients=recipients,
            from_address=from_address,
            client_id=caller.app.client_id,
            signed_in_as=caller.account.address if caller.account else None,
            is_saved=is_saved,
        )
        self._keep(message)


def _may(caller: Caller, mailbox: Mailbox, permission: str) -> bool:
    if caller.account is None:
        return _app_may(caller, mailbox, permission)
    if mailbox is caller.account:
        return permission in caller.permissions
    is_delegate = caller.account.address.lower() in map(str.lower, mailbox.delegates)
    return is_delegate and f"{permission}.Shared" in caller.permissions


def _app_may(caller: Caller, mailbox: Mailbox, permission: str) -> bool:
    """By a role in the token, or by Exchange's own for sending, which no token shows: that has a scope always."""
    scope = caller.app.scoped_mailboxes
    if scope is None:
        return permission in caller.permissions
    has_role = permission in caller.permissions or permission == "Mail.Send"
    return has_role and mailbox.address.lower() in map(str.lower, scope)


def _may_send_as(caller: Caller, mailbox: Mailbox, from_address: str) -> bool:
    """A person who sends as another needs `Mail.Send.Shared` besides the right; the app itself needs the right."""
    if from_address.lower() in map(str.lower, (mailbox.address, mailbox.user_principal_name, *mailbox.aliases)):
        return True
    has_right = from_address.lower() in map(str.lower, mailbox.send_as)
    return has_right and (caller.account is None or "Mail.Send.Shared" in caller.permissions)


def _resource(draft: _Draft) -> dict[str, Any]:
    return {
        "id": draft.id,
        "isDraft": True,
        "hasAttachments": bool(draft.attachments),
        "internetMessageId": number_of(draft.content),
        **named_in(draft.content),
    }


def _is_mime(request: Request) -> bool:
    return request.headers.get_content_type() == "text/plain"


def _json(request: Request) -> dict[str, Any]:
    if request.headers.get_content_type() != "application/json":
        raise GraphRefused(400, "BadRequest", "Write requests must contain the Content-Type header declaration.")
    try:
        body = json.loads(request.content)
    except ValueError:
        raise GraphRefused(400) from None
    if not isinstance(body, dict):
        raise GraphRefused(400)
    return body


def _progress(upload: _Upload) -> dict[str, Any]:
    return {
        "expirationDateTime": f"{upload.expires_at:%Y-%m-%dT%H:%M:%S.0000000Z}",
        "nextExpectedRanges": [f"{len(upload.content)}-"],
    }
