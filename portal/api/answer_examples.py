"""An example of every answer: what a call answers when all is well, and the problems that it may answer instead.

The description and the page show these, in English as a program that asks for no language is answered. The tests
provoke the answers and compare them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from portal.api.operations import Operation
from portal.web.problems import DOCUMENTATION, TYPES

Json = dict[str, Any]
_ID: Final = "0b8e2c3d-4f5a-4b6c-8d7e-9f0a1b2c3d4e"
_ACCEPTED: Final[Json] = {"id": _ID, "status": "queued", "location": f"/api/v1/messages/{_ID}"}
_AT: Final = "2026-11-21T03:52:11Z"
_ATTEMPT: Final[Json] = {
    "at": "2026-11-21T03:52:12Z",
    "elapsed_ms": 184,
    "status": "sent",
    "step": "content",
    "reply": "250 2.0.0 OK",
    "seen": None,
    "code": None,
    "reason": None,
}


def answer_of(operation: Operation) -> Json:
    """What the call answers when it did what it is for."""
    return _ANSWERS[operation.name]


def problems_of(operation: Operation) -> Mapping[str, Json]:
    """Each problem that the call may answer, by its name and in the order of their statuses."""
    return {one.name: _problem(one.name, _said(operation, one.name)) for one in operation.problem_types}


def readable_json(example: Json) -> str:
    """On several lines, with typographic characters as they are read."""
    return json.dumps(example, indent=2, ensure_ascii=False)


def _detail(status: str, *, reply: str | None = None, attempts: tuple[Json, ...] = ()) -> Json:
    return {
        "id": _ID,
        "status": status,
        "subject": "Your report is ready",
        "message_id": f"<{_ID}@contoso.test>",
        "created_at": _AT,
        "expires_at": "2026-11-24T03:52:11Z",
        "recipients": [{"address": "ada@contoso.test", "status": status, "reply": reply, "code": None}],
        "attempts": list(attempts),
    }


def _problem(name: str, said: Json) -> Json:
    kind = TYPES[name]
    return {
        "type": f"{DOCUMENTATION}#problem-{name}",
        "title": str(kind.title),
        "status": kind.status,
        **said,
    }


def _said(operation: Operation, name: str) -> Json:
    if name == "not-allowed":
        scope = operation.scope
        return {"detail": f"This key has not the scope “{scope}”. An administrator can make one that has."}
    return _OF_CALLS.get((operation.name, name)) or _OF_ALL[name]


def _with_fault(detail: str, field: str, reason: str) -> Json:
    return {"detail": detail, "errors": [{"field": field, "reason": reason}]}


_NO_ADDRESS: Final = "An address contains an @, as in name@contoso.test."
_NOT_THERE: Final = (
    "eve@fabrikam.test is not among the recipients that this key or log-in may write to: @contoso.test. An "
    "administrator can change the list under Servers."
)
_KEY_REUSED: Final = "This idempotency key was used for another request before. Use a new key for a new request."
_NO_REQUEST: Final[Json] = {
    "detail": "What was sent is no HTTP request that can be understood. Nothing was done.",
}
_OF_ALL: Final[Mapping[str, Json]] = {
    "malformed-request": {"detail": "The content is not JSON: see line 1, column 2."},
    "no-valid-key": {
        "detail": "Send a key of a server: Authorization: Bearer mp_… An administrator makes one under Servers."
    },
    "not-found": {"detail": "There is no message with this number, or another server sent it."},
    "too-slow": {"detail": "The content did not arrive in time. Nothing was done."},
    "wrong-state": {
        "detail": "This message has ended as cancelled and stays so. To try again, send it again as a new message."
    },
    "length-required": {"detail": "Send the content with its length: a Content-Length header."},
    "too-large": {"detail": "A request may have 50,331,648 bytes here. Send less at once."},
    "wrong-content-type": {
        "detail": "Send JSON in UTF-8, not compressed, with the header Content-Type: application/json."
    },
    "invalid-request": _with_fault(
        "Nothing was done. The list of errors names each field and what is wrong with it.", "to[0]", _NO_ADDRESS
    ),
    "not-accepted": _with_fault(_NOT_THERE, "to", _NOT_THERE),
    "idempotency-key-reused": _with_fault(_KEY_REUSED, "Idempotency-Key", _KEY_REUSED),
    "limit-reached": {
        "detail": "The server Wiki may submit 2 messages a day, and they are used up. Try again tomorrow (UTC), or ask "
        "an administrator to raise the limit under Servers."
    },
    "fault": {
        "detail": "This is a fault of the portal and has been recorded. Try again; if it stays so, tell an "
        "administrator."
    },
    "busy": {"detail": "A part of the portal does not answer. Try again in a minute."},
}
_OF_CALLS: Final[Mapping[tuple[str, str], Json]] = {
    ("send_batch", "invalid-request"): _with_fault(
        "Nothing was done. The list of errors names each field and what is wrong with it.",
        "messages[0].to[0]",
        _NO_ADDRESS,
    ),
    ("send_batch", "not-accepted"): _with_fault("No message of the batch was accepted.", "messages[0]", _NOT_THERE),
    ("list_messages", "invalid-request"): _with_fault(
        "The list of errors names each parameter of the address and what is wrong with it.",
        "since",
        "Give a moment with its time zone, as in 2026-11-21T03:52:11Z (RFC 3339).",
    ),
    ("change_settings", "invalid-request"): _with_fault(
        "Nothing was changed. The list of errors names the place and what is wrong with it.",
        "email.from_address",
        _NO_ADDRESS,
    ),
    ("change_settings", "too-large"): {"detail": "A request may have 1,000,000 bytes here. Send less at once."},
    **{
        (name, "malformed-request"): _NO_REQUEST
        for name in ("list_messages", "get_message", "retry_message", "cancel_message", "get_settings")
    },
}
_ANSWERS: Final[Mapping[str, Json]] = {
    "send_message": _ACCEPTED,
    "send_batch": {
        "results": [
            _ACCEPTED,
            {"status": "refused", "problem": _problem("not-accepted", _OF_ALL["not-accepted"])},
        ]
    },
    "list_messages": {
        "messages": [
            {
                "id": _ID,
                "status": "sent",
                "subject": "Your report is ready",
                "to": ["ada@contoso.test"],
                "created_at": _AT,
            }
        ],
        "next_cursor": None,
    },
    "get_message": _detail("sent", reply="250 2.0.0 OK", attempts=(_ATTEMPT,)),
    "retry_message": _detail("queued"),
    "cancel_message": _detail("cancelled"),
    "get_settings": {
        "email": {"enabled": True, "from_address": "portal@contoso.test", "display_name": "Contoso Portal"},
        "connections": [
            {"name": "main", "method": "smtp", "role": "default", "host": "smtp.contoso.test", "port": 587}
        ],
        "servers": [{"name": "wiki", "from_address": "wiki@contoso.test"}],
    },
    "change_settings": {
        "changes": [{"path": "email.display_name", "old": None, "new": "Contoso", "is_secret": False, "note": None}],
        "is_trial": False,
    },
}
