"""Service accounts at the stand-in: a JWT of their own, in the name of a mailbox (RFC 7523 section 2.1)."""

from __future__ import annotations

from typing import Any

import jwt

from tests.outside.google_refusals import TokenRefused
from tests.outside.google_registry import Registry, ServiceAccount
from tests.outside.google_scopes import SCOPES, scopes_in

PUBLIC_TOKEN_URL = "https://oauth2.googleapis.com/token"
_MOST_SECONDS = 3600
_CLOCK_SKEW_SECONDS = 300


def granted_by_assertion(registry: Registry, token_url: str, assertion: str) -> tuple[str, str, frozenset[str]]:
    """The client ID, the mailbox ("" for the account itself) and the scopes that a JWT is good for.

    Raises TokenRefused. The audience is this endpoint or Google's own, which key files name.
    """
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise TokenRefused(400, "invalid_grant", "Bad Request") from error
    account = registry.service_accounts.get(str(claims.get("iss")))
    if account is None:
        raise TokenRefused(400, "invalid_grant", "Invalid grant: account not found")
    _check_signature(assertion, account.public_key)
    if claims.get("aud") not in {token_url, PUBLIC_TOKEN_URL}:
        text = f"Invalid JWT: Failed audience check. The right audience is {PUBLIC_TOKEN_URL}"
        raise TokenRefused(400, "invalid_grant", text)
    _check_times(claims, registry.now().timestamp())
    scopes = _scopes(claims)
    return account.client_id, _mailbox(registry, account, claims, scopes), scopes


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    is_good = (
        isinstance(issued_at, int | float)
        and isinstance(expires_at, int | float)
        and 0 < expires_at - issued_at <= _MOST_SECONDS
        and issued_at <= now + _CLOCK_SKEW_SECONDS
        and expires_at > now - _CLOCK_SKEW_SECONDS
    )
    if not is_good:
        raise TokenRefused(
            400,
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat"
            " and exp values in the JWT claim.",
        )


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    scopes = scopes_in(str(claims.get("scope") or ""))
    if not scopes:
        raise TokenRefused(400, "invalid_scope", "Empty or missing scope not allowed.")
    if unknown := sorted(scopes - SCOPES.keys()):
        raise TokenRefused(400, "invalid_scope", f"{unknown[0]} is not a valid audience string.")
    return scopes


def _mailbox(registry: Registry, account: ServiceAccount, claims: dict[str, Any], scopes: frozenset[str]) -> str:
    subject = str(claims.get("sub") or "").lower()
    if subject in {"", account.client_email.lower()}:
        return ""
    if not scopes <= account.delegated_scopes:
        raise TokenRefused(
            401,
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of"
            " the scopes requested.",
        )
    mailbox = registry.account(subject)
    if mailbox is None or not mailbox.organisation:
        raise TokenRefused(400, "invalid_grant", "Invalid email or User ID")
    return mailbox.address


def _check_signature(assertion: str, public_key: str) -> None:
    # The times are judged by the stand-in's clock, the audience by its own address.
    unchecked = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    try:
        jwt.decode(assertion, public_key, algorithms=["RS256"], options=unchecked)  # type: ignore[arg-type]
    except jwt.InvalidTokenError as error:
        raise TokenRefused(400, "invalid_grant", "Invalid JWT Signature.") from error
