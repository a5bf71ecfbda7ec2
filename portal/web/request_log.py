"""The log: one line for each event on standard error, each request with its number; no secrets, no forged lines.

A number is made for every request, never taken from outside, sent back as `X-Request-ID` and bound to every
line that is logged meanwhile. Addresses appear as the rule that matched, so that no token in a path is kept.
"""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from flask import Flask, Response, g, request
from structlog.typing import Processor

from portal.web.log_lines import as_text, blot_secrets, make_harmless

_log = structlog.get_logger("portal.requests")
_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    blot_secrets,
    make_harmless,
]


def configure_logging(level: str, form: str, *, stream: TextIO | None = None) -> None:
    """Log from `level` ("debug" … "error") on, as "text" for people or "json" for collectors (one object a line).

    Everything that logs through the standard library takes the same way. Calling it again replaces the former.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer: Processor = structlog.processors.JSONRenderer() if form == "json" else as_text
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = _Handler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=[remove, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [*(other for other in root.handlers if not isinstance(other, _Handler)), handler]
    root.setLevel(level.upper())
    for talkative in ("werkzeug", "alembic"):  # the latter reports each of its parts whenever the schema is read
        logging.getLogger(talkative).setLevel(logging.WARNING)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time: a handler that outlives a redirection would write to nowhere."""

    def __init__(self, stream: TextIO | None) -> None:
        logging.Handler.__init__(self)
        self._chosen = stream

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return self._chosen or sys.stderr


def request_id() -> str:
    """The number of the current request: 16 hexadecimal digits."""
    if "request_id" not in g:
        g.request_id = _new_number()
    return str(g.request_id)


@contextmanager
def numbered(environ: Mapping[str, Any], status: int) -> Iterator[str]:
    """Number a request that is answered before the application sees it, and log it when that is done."""
    number, began = _new_number(), time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=number)
    yield number
    _log_request(
        logging.INFO,
        method=environ.get("REQUEST_METHOD", ""),
        route=_first_part(environ.get("PATH_INFO", "")),
        status=status,
        began=began,
        client=environ.get("REMOTE_ADDR"),
    )


def init_app(app: Flask) -> None:
    """Number every request, before anything else looks at it, and log it when it has been answered."""
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)
    app.after_request(_end)


def _begin() -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id())
    g.request_began = time.monotonic()


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    user = g.get("user")
    quiet = request.endpoint == "static" or request.blueprint == "health"
    _log_request(
        logging.DEBUG if quiet else logging.INFO,
        method=request.method,
        route=request.url_rule.rule if request.url_rule is not None else _first_part(request.path),
        status=response.status_code,
        began=g.get("request_began", time.monotonic()),
        client=request.remote_addr,
        **({"user": str(user.id)} if user else {}),
    )
    return response


def _log_request(level: int, *, method: str, route: str, status: int, began: float, **values: Any) -> None:
    _log.log(
        level,
        "request",
        method=method if method.isalpha() else "?",
        route=route,
        status=status,
        elapsed_ms=round((time.monotonic() - began) * 1000, 1),
        **values,
    )


def _first_part(path: str) -> str:
    """What is logged where no rule matched: the first part of the path alone, since the rest could be a token."""
    first, separator, _rest = path[1:].partition("/")
    return f"/{first[:80]}{separator and '/…'}"


def _new_number() -> str:
    return secrets.token_hex(8)
