"""What a log line may hold: no secrets, no control characters, nothing that could pass for a line of its own.

Processors and a renderer for structlog. Source: CWE-117, OWASP ASVS 5.0 V16.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

from structlog.typing import EventDict, WrappedLogger

_SECRET_KEY = re.compile(r"password|passwd|secret|token|authorization|cookie|api_?key|credential|private_?key|csrf")
_HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BLOTTED = "***"
_TRACEBACK = "exception"


def harmless(text: str) -> str:
    """`text` with control characters, ANSI escapes and line or direction changes written out (CWE-117)."""
    if text.isascii() and text.isprintable():  # nothing of it is harmful, as of nearly all that is logged
        return text
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def blot_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """structlog processor: values under keys that name secrets are not written, at any depth."""
    return _blotted(event)


def make_harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """structlog processor: no value can begin a line of its own; a traceback's lines are indented."""
    for key, value in event.items():
        if key == _TRACEBACK:
            event[key] = "\n".join(f"    {harmless(line)}" for line in str(value).split("\n"))
        elif not key.startswith("_"):
            event[key] = _harmless_value(value)
    return event


def _blotted(values: Mapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _blotted_value(key, value) for key, value in values.items()}


def _blotted_value(key: object, value: Any) -> Any:
    if isinstance(key, str) and value is not None and _names_secret(key):
        return _BLOTTED
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return _blotted(value)
    if isinstance(value, list | tuple):
        return [_blotted_value(None, item) for item in value]
    return value


@lru_cache(maxsize=512)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key.lower()) is not None


def _harmless_value(value: Any) -> Any:
    if isinstance(value, str):
        return harmless(str(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {harmless(str(key)): _harmless_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_harmless_value(item) for item in value]
    return harmless(str(value))


def as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """structlog renderer for people: `2026-11-21T03:52:11Z info portal.requests: request method=GET …`."""
    moment = str(event.pop("timestamp", ""))[:19] + "Z"
    head = f"{moment} {event.pop('level', '')} {event.pop('logger', '')}: {event.pop('event', '')}"
    traceback = event.pop(_TRACEBACK, None)
    values = [f"{key}={_quoted(value)}" for key, value in event.items()]
    return " ".join([head, *values]) + (f"\n{traceback}" if traceback else "")


def _quoted(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text
