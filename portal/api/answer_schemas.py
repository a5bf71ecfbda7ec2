"""What calls answer, as JSON Schema by the names under which the description lists it."""

from __future__ import annotations

from typing import Any, Final

from portal.outbox.states import State

Schema = dict[str, Any]
UUID_TEXT: Final[Schema] = {"type": "string", "format": "uuid"}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
STATUS: Final[Schema] = {"type": "string", "enum": [str(state) for state in State]}
_PERHAPS: Final[Schema] = {"type": ["string", "null"]}


def ref(title: str) -> Schema:
    """A schema that the description lists under this name."""
    return {"$ref": f"#/components/schemas/{title}"}


def _of(required: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": required,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


ANSWERS: Final[dict[str, Schema]] = {
    "Accepted": _of({"id": UUID_TEXT, "status": STATUS, "location": {"type": "string"}}),
    "Refused": _of({"status": {"const": "refused"}, "problem": ref("Problem")}),
    "BatchResults": _of({"results": _list({"oneOf": [ref("Accepted"), ref("Refused")]})}),
    "Summary": _of(
        {
            "id": UUID_TEXT,
            "status": STATUS,
            "subject": {"type": "string"},
            "to": _list({"type": "string"}),
            "created_at": MOMENT,
        }
    ),
    "Page": _of({"messages": _list(ref("Summary")), "next_cursor": {"type": ["string", "null"], "format": "uuid"}}),
    "Recipient": _of({"address": {"type": "string"}, "status": STATUS, "reply": _PERHAPS, "code": _PERHAPS}),
    "Attempt": _of(
        {
            "at": MOMENT,
            "elapsed_ms": {"type": "integer"},
            "status": STATUS,
            "step": {"type": "string"},
            "reply": _PERHAPS,
            "seen": _PERHAPS,
            "code": _PERHAPS,
            "reason": _PERHAPS,
        }
    ),
    "Detail": _of(
        {
            "id": UUID_TEXT,
            "status": STATUS,
            "subject": {"type": "string"},
            "message_id": {"type": "string"},
            "created_at": MOMENT,
            "expires_at": MOMENT,
            "recipients": _list(ref("Recipient")),
            "attempts": _list(ref("Attempt")),
        }
    ),
    "Settings": {"type": "object", "additionalProperties": {"type": ["object", "array", "null"]}},
    "Changes": _of(
        {
            "changes": _list(
                _of(
                    {
                        "path": {"type": "string"},
                        "old": _PERHAPS,
                        "new": _PERHAPS,
                        "is_secret": {"type": "boolean"},
                        "note": _PERHAPS,
                    }
                )
            ),
            "is_trial": {"type": "boolean"},
        }
    ),
    "Fault": _of({"field": {"type": "string"}, "reason": {"type": "string"}}),
    "Problem": {
        **_of(
            {
                "type": {"type": "string", "format": "uri-reference"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
            }
        ),
        "additionalProperties": True,
    },
}
ANSWERS["Problem"]["properties"]["errors"] = _list(ref("Fault"))
