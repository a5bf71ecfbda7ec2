"""What an ID token must be before it signs anybody in (OpenID Connect Core 1.0, 3.1.3.7; RFC 8725)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import jwt

from portal.accounts.provider_keys import ALGORITHMS
from portal.accounts.provider_refusals import bad_token

LEEWAY_SECONDS = 60
LONGEST_SUBJECT = 255
LONGEST_TOKEN = 50_000  # characters; with all groups of a large organisation it has some thousands
# PyJWT would go by this machine's clock; here the time is an argument, and the rest is checked beside it.
_LEFT_TO_US = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}

KeyFor = Callable[[str | None, str], jwt.PyJWK]  # the token's key id and algorithm -> the provider's key


def checked_claims(
    token: object, *, key_for: KeyFor, issuer: str, client_id: str, nonce: str, now: datetime
) -> Mapping[str, Any]:
    """The claims of a token that this provider issued to this client for this very sign-in. Raises ProviderRefused."""
    claims = _signed(token, key_for)
    if claims.get("iss") != issuer:
        raise bad_token("the ID token is from another issuer")
    _check_audience(claims, client_id)
    _check_times(claims, now.timestamp())
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(errors="replace"), nonce.encode()):
        raise bad_token("the ID token belongs to another sign-in: its nonce differs")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise bad_token("the ID token names nobody: its sub is missing or unusable")
    return claims


def _signed(token: object, key_for: KeyFor) -> dict[str, Any]:
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        raise bad_token("there is no ID token in the answer")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise bad_token("the ID token cannot be read") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise bad_token("the ID token is not signed in a way that counts")
    key = key_for(key_id if isinstance(key_id, str) else None, algorithm)
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], options=_LEFT_TO_US)  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise bad_token("the signature of the ID token is not the provider's") from None
    return claims


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise bad_token("the ID token is for another application")
    authorized = claims.get("azp")
    if (len(audiences) > 1 or authorized is not None) and authorized != client_id:
        raise bad_token("the ID token was issued to another application: its azp differs")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    if _seconds(claims, "exp") + LEEWAY_SECONDS <= now:
        raise bad_token("the ID token has expired; compare the clocks of both machines")
    if _seconds(claims, "iat") > now + LEEWAY_SECONDS:
        raise bad_token("the ID token was issued in the future; compare the clocks of both machines")
    if "nbf" in claims and _seconds(claims, "nbf") > now + LEEWAY_SECONDS:
        raise bad_token("the ID token does not count yet; compare the clocks of both machines")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise bad_token(f"the ID token has no usable {name}")
    return float(value)
