"""An ID token's claims, read from what the token endpoint itself handed over.

Such a token came by TLS from the provider, which stands in for checking its signature (OpenID Connect Core 1.0,
3.1.3.7, item 6). It tells which account consented, and is never used to sign anybody in to the portal.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

_ALGORITHMS = ("RS256", "PS256", "ES256")
_CLOCK_TOLERANCE = timedelta(minutes=5)
_NOT_KEPT = re.compile("[\0\ud800-\udfff]")  # JSON can say them; databases and encodings do not take them


class NotOurs(ValueError):
    """The token is not for this application, not from this provider, or no ID token at all."""


def claims_of(id_token: str, *, client_id: str, is_issuer: Callable[[str], bool]) -> Mapping[str, Any]:
    """The claims, if they were issued for this application by this provider. Raises NotOurs."""
    try:
        header, payload, _ = id_token.split(".")
        algorithm, claims = _decoded(header)["alg"], _decoded(payload)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotOurs("the ID token cannot be read") from None
    if algorithm not in _ALGORITHMS:
        raise NotOurs("the ID token is not signed")
    audience = claims.get("aud")
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise NotOurs("the ID token is for another application")
    if not is_issuer(text_of(claims, "iss")):
        raise NotOurs("the ID token is from another provider")
    return claims


def refuse_expired(claims: Mapping[str, Any], *, now: datetime) -> None:
    """Raise NotOurs for an ID token that is over, or does not say when it is."""
    ends = claims.get("exp")
    if isinstance(ends, bool) or not isinstance(ends, int | float):
        raise NotOurs("the ID token does not say until when it holds")
    if ends <= (now - _CLOCK_TOLERANCE).timestamp():
        raise NotOurs("the ID token is over already, by the clock of the portal's machine")


def text_of(claims: Mapping[str, Any], *names: str) -> str:
    """The first of the named claims that is a text, "" where none is. What cannot be kept is a space in it."""
    texts = (_NOT_KEPT.sub(" ", claims[name]) for name in names if isinstance(claims.get(name), str))
    return next(filter(None, texts), "")


def _decoded(part: str) -> dict[str, Any]:
    read = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(read, dict):
        raise TypeError("no JSON object")
    return read
