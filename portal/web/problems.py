"""Errors for programs: problem details (RFC 9457) for whatever is asked below /api, never a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from flask import Response, request
from flask.json import dumps
from werkzeug.exceptions import HTTPException

from portal.web.translation import translate
from portal.wording import N_, Text

MEDIA_TYPE = "application/problem+json"
DOCUMENTATION = "/api/docs"
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Fault:
    """What is wrong with one field: `to[0]`, `attachments[1].content`, the name of a header or parameter."""

    field: str
    reason: Text | str


@dataclass(frozen=True)
class ProblemType:
    """A kind of problem, by its stable name; the documentation has a line for each."""

    name: str
    status: int
    title: Text


def _types(*types: ProblemType) -> Mapping[str, ProblemType]:
    return {one.name: one for one in types}


TYPES = _types(
    ProblemType("malformed-request", 400, N_("The request cannot be read")),
    ProblemType("no-valid-key", 401, N_("There is no valid key")),
    ProblemType("not-allowed", 403, N_("The key may not do this")),
    ProblemType("not-found", 404, N_("There is no such thing")),
    ProblemType("method-not-allowed", 405, N_("This address has another method")),
    ProblemType("too-slow", 408, N_("The request took too long")),
    ProblemType("wrong-state", 409, N_("This is not possible in its present state")),
    ProblemType("length-required", 411, N_("The length of the request is missing")),
    ProblemType("too-large", 413, N_("The request is too large")),
    ProblemType("wrong-content-type", 415, N_("The content is not JSON")),
    ProblemType("invalid-request", 422, N_("Something in the request is not valid")),
    ProblemType("not-accepted", 422, N_("The message was not accepted")),
    ProblemType("idempotency-key-reused", 422, N_("The idempotency key belongs to another request")),
    ProblemType("limit-reached", 429, N_("A limit is reached")),
    ProblemType("fault", 500, N_("Something went wrong in the portal")),
    ProblemType("busy", 503, N_("The portal cannot do this right now")),
)
_DETAILS = {
    400: N_("What was sent is no HTTP request that can be understood. Nothing was done."),
    404: N_("Nothing stands at this address, or it is not yours. The documentation lists the addresses."),
    405: N_("This address takes other methods; the Allow header names them."),
    413: N_("Nothing was done. Send less at once."),
    429: N_("Wait as long as the Retry-After header says, then try again."),
    500: N_("This is a fault of the portal and has been recorded. Try again; if it stays so, tell an administrator."),
    503: N_("A part of the portal does not answer. Try again in a minute."),
}
_OF_STATUS = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    429: "limit-reached",
    503: "busy",
}
_LATER = frozenset({"/api/v1/events", "/api/v1/sms"})
_NOT_YET = N_("This is not in this version of the portal. It sends mail: POST /api/v1/messages.")


class Problem(Exception):
    """A request that is refused; `name` is one of TYPES. Nothing was done, unless `detail` says so."""

    def __init__(
        self, name: str, detail: Text, *, faults: Sequence[Fault] = (), headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        super().__init__(str(detail))
        self.type = TYPES[name]
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = headers


def asks_for_problems() -> bool:
    """Whether the request at hand comes from a program: everything below /api but the page for people."""
    path = request.path
    return (path == "/api" or path.startswith("/api/")) and path.rstrip("/") != DOCUMENTATION


def problem_answer(problem: Problem) -> Response:
    """The problem as it is sent."""
    content = described(problem)
    response = Response(dumps(content), problem.type.status, content_type=MEDIA_TYPE)
    response.headers.update(problem.headers)
    return response


def described(problem: Problem) -> dict[str, object]:
    """The problem's members. `errors` names each field once for each reason."""
    content: dict[str, object] = {
        "type": f"{DOCUMENTATION}#problem-{problem.type.name}",
        "title": translate(problem.type.title),
        "status": problem.type.status,
        "detail": translate(problem.detail),
    }
    if problem.faults:
        content["errors"] = [{"field": one.field, "reason": translate(one.reason)} for one in problem.faults]
    return content


def of_http_error(error: HTTPException) -> Problem:
    """What an error of Flask or Werkzeug is called here; its headers (Allow, Retry-After) stay."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name.lower() not in _OF_THE_BODY}
    name = _OF_STATUS.get(status, "malformed-request" if status < 500 else "fault")
    detail = _NOT_YET if status == 404 and request.path in _LATER else _DETAILS[TYPES[name].status]
    return Problem(name, detail, headers=headers)


_OF_THE_BODY = frozenset({"content-type", "content-length"})
