"""What the views of this room share: whose key it is, the content of a request, and the shape of answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from types import MappingProxyType
from typing import Any, Final, cast

import structlog
from flask import Blueprint, Response, g, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal.api.json_text import NotJSON, read_json
from portal.api.submitting import Answer, Intake
from portal.extensions import db, handed_down
from portal.servers.callers import Caller, caller_of_key, note_seen
from portal.web.access import public
from portal.web.problems import Problem, problem_answer
from portal.wording import N_

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
LARGEST_REQUEST: Final = 48 * 1024 * 1024  # octets: 25 MB of attachments as base64, and texts
LARGE_REQUEST: Final = 1_000_000  # octets; what is larger is taken one at a time, since it fills memory
_READ_WITHIN_SECONDS = 120.0
_AT_ONCE = 256 * 1024
_RULES_HOLD_SECONDS = 0.01  # after the key was looked up: content that comes more slowly meets the rules as they are
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_large = threading.Lock()  # of this process
_log = structlog.get_logger("portal.web")

View = Callable[..., Response]


@blueprint.errorhandler(Problem)
def answer_problem(problem: Problem) -> Response:
    """As problem details."""
    return problem_answer(problem)


def by_key(scope: str) -> Callable[[View], View]:
    """For whoever brings a key with this scope; the view is handed the caller first."""

    def decorate(view: View) -> View:
        @wraps(view)
        def called(*args: Any, **kwargs: Any) -> Response:
            caller = _caller(scope)
            with _room_for(request.content_length or 0):
                return view(caller, *args, **kwargs)

        return public(called)  # no session counts here, only the key

    return decorate


def asked_json(*, largest: int = LARGEST_REQUEST) -> Any:
    """The JSON that was sent, in so many octets at most. Raises Problem."""
    _check_kind(largest)
    try:
        return read_json(_content(largest))
    except NotJSON as error:
        raise Problem("malformed-request", error.reason) from None


def idempotency_key() -> str:
    """The request's own, "" where it has none; an empty one is not taken for none. Raises Problem."""
    key = request.headers.get("Idempotency-Key")
    if key == "":
        raise Problem("malformed-request", N_("The Idempotency-Key header is empty. Give it a value, or leave it out."))
    return key or ""


def rules() -> Session | None:
    """What the key was looked up in, unless that was too long ago. It has no connection until it is asked."""
    session, read_at = g.rules
    return session if time.monotonic() - read_at < _RULES_HOLD_SECONDS else None


def intake() -> Intake:
    """What messages are taken with."""
    return cast("Intake", handed_down("intake"))


def answered(content: Any, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """JSON."""
    response = Response(json.dumps(content), status, content_type="application/json")
    response.headers.update(headers)
    return response


def accepted(answer: Answer) -> Response:
    """202: on disk. A repetition of an earlier request says so."""
    headers = {"Location": answer.location} if answer.location else {}
    if answer.is_repeated:
        headers["Idempotency-Replayed"] = "true"
    if answer.quota is not None and answer.quota.limit is not None:
        headers["RateLimit-Policy"] = f'"messages";q={answer.quota.limit}'
        headers["RateLimit"] = f'"messages";r={answer.quota.remaining};t={answer.quota.reset_seconds}'
    return answered(answer.content, 202, headers)


def _caller(scope: str) -> Caller:
    scheme, _space, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        detail = N_("Send a key of a server: Authorization: Bearer mp_… An administrator makes one under Servers.")
        raise Problem("no-valid-key", detail, headers={"WWW-Authenticate": 'Bearer realm="Mail Portal"'})
    now = datetime.now(UTC)
    with intake().reading(now) as session:  # closed at once: a slow request keeps no connection
        caller = caller_of_key(session, key.strip(), now=now)
    g.rules = session, time.monotonic()
    if caller is None:
        detail = N_("This key is unknown, revoked or expired, or its server is switched off. See under Servers.")
        raise Problem("no-valid-key", detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    _note_seen(caller, now)
    if scope not in caller.scopes:
        detail = N_("This key has not the scope “%(scope)s”. An administrator can make one that has.", scope=scope)
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        raise Problem("not-allowed", detail, headers={"WWW-Authenticate": challenge})
    return caller


def _note_seen(caller: Caller, now: datetime) -> None:
    """Nothing is refused for want of this mark."""
    try:
        note_seen(db.engine, caller, now=now)
    except SQLAlchemyError as error:
        _log.warning("it was not noted that a server was seen", error=type(error).__name__)


@contextmanager
def _room_for(octets: int) -> Iterator[None]:
    if octets <= LARGE_REQUEST:
        yield
        return
    if not _large.acquire(blocking=False):
        detail = N_("Another large request is being taken at the moment. Send this one again in a few seconds.")
        raise Problem("busy", detail, headers={"Retry-After": "2"})
    try:
        yield
    finally:
        _large.release()


def _check_kind(largest: int) -> None:
    if request.content_length is None and "Transfer-Encoding" in request.headers:
        raise Problem("length-required", N_("Send the content with its length: a Content-Length header."))
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    is_plain = request.headers.get("Content-Encoding", "identity").lower() == "identity"
    if request.mimetype != "application/json" or charset not in {"utf-8", "utf8", "us-ascii"} or not is_plain:
        detail = N_("Send JSON in UTF-8, not compressed, with the header Content-Type: application/json.")
        raise Problem("wrong-content-type", detail, headers={"Accept": "application/json"})
    if (request.content_length or 0) > largest:
        limit = f"{largest:,}"
        detail = N_("A request may have %(limit)s bytes here. Send less at once.", limit=limit)
        raise Problem("too-large", detail)


def _content(largest: int) -> bytes:
    """All of it, unless it comes too slowly."""
    request.max_content_length = largest
    ends_at = time.monotonic() + _READ_WITHIN_SECONDS
    pieces: list[bytes] = []
    while piece := request.stream.read(_AT_ONCE):
        pieces.append(piece)
        if time.monotonic() > ends_at:
            raise Problem("too-slow", N_("The content did not arrive in time. Nothing was done."))
    return b"".join(pieces)
