"""How an app proves itself at the stand-in's token endpoint: by secret, by certificate, by a federated token."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import Certificate

from tests.outside.microsoft_directory import App
from tests.outside.microsoft_errors import SignInRefused
from tests.outside.microsoft_tokens import SIGNATURE_ALONE
from tests.outside.stand_in_http import Request

_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Which header names the certificate, and by which hash, for each algorithm.
_THUMBPRINTS: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "PS256": ("x5t#S256", hashes.SHA256()),
    "RS256": ("x5t", hashes.SHA1()),
}


def credentials(request: Request) -> dict[str, str]:
    """The form, with a client id and secret from HTTP Basic where they stand there (RFC 6749 2.3.1)."""
    form = request.form
    kind, _, encoded = (request.headers["Authorization"] or "").partition(" ")
    if kind.lower() == "basic":
        with suppress(ValueError):
            name, _, secret = b64decode(encoded).decode().partition(":")
            form |= {"client_id": unquote_plus(name), "client_secret": unquote_plus(secret)}
    return form


def prove(app: App, form: Mapping[str, str], audiences: Collection[str], now: datetime) -> None:
    """Nothing where the app is who it says. Raises SignInRefused with the number of what is wrong."""
    secret, assertion = form.get("client_secret", ""), form.get("client_assertion", "")
    if app.platform == "native":
        if secret or assertion:
            raise SignInRefused(700025)
    elif assertion:
        _prove_by_assertion(app, form, audiences, now)
    elif secret:
        _prove_by_secret(app, secret, now)
    elif not _may_be_public(app, form.get("grant_type", "")):
        raise SignInRefused(7000216 if form.get("grant_type") == "client_credentials" else 7000218)


def _may_be_public(app: App, grant_type: str) -> bool:
    return app.allows_public_flows and grant_type not in {"client_credentials", "authorization_code"}


def _prove_by_secret(app: App, secret: str, now: datetime) -> None:
    if secret not in app.secrets:
        raise SignInRefused(7000215, app=app.client_id)
    expires_at = app.secrets[secret]
    if expires_at is not None and expires_at <= now:
        raise SignInRefused(7000222, app=app.client_id)


def _prove_by_assertion(app: App, form: Mapping[str, str], audiences: Collection[str], now: datetime) -> None:
    assertion = form["client_assertion"]
    if form.get("client_assertion_type") != _JWT_BEARER:
        raise SignInRefused(900144, field="client_assertion_type")
    if assertion in app.federated_tokens:
        return
    header = _header(assertion)
    name, algorithm = _THUMBPRINTS.get(header.get("alg", ""), ("", hashes.SHA256()))
    if not header.get(name):
        raise SignInRefused(70021)
    claims = _verified(app, assertion, header["alg"], str(header[name]).rstrip("="), algorithm, now)
    _judge(app, claims, audiences, now)


def _verified(
    app: App, assertion: str, signed_by: str, thumbprint: str, algorithm: hashes.HashAlgorithm, now: datetime
) -> dict[str, Any]:
    def refused(reason: str) -> SignInRefused:
        return SignInRefused(700027, app=app.client_id, reason=reason, thumbprint=thumbprint)

    certificate = _certificate(app, thumbprint, algorithm)
    if certificate is None:
        raise refused("The key was not found.")
    if certificate.not_valid_after_utc <= now:
        raise refused("The key used is expired.")
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    try:
        return jwt.decode(assertion, key, algorithms=[signed_by], options=SIGNATURE_ALONE)
    except jwt.InvalidTokenError:
        raise refused("The key was found, but use of the key to verify the signature failed.") from None


def _judge(app: App, claims: Mapping[str, Any], audiences: Collection[str], now: datetime) -> None:
    """RFC 7523 section 3: who it is about, whom it is for, from when to when."""
    if not claims.get("iss") == claims.get("sub") == app.client_id:
        raise SignInRefused(700021)
    if claims.get("aud") not in audiences:
        raise SignInRefused(700023)
    seconds = now.timestamp()
    valid_from, valid_until = float(claims.get("nbf", 0)), float(claims.get("exp", 0))
    if not valid_from <= seconds < valid_until:
        raise SignInRefused(
            700024, now=f"{now:%Y-%m-%dT%H:%M:%SZ}", valid_from=_stamp(valid_from), valid_until=_stamp(valid_until)
        )


def _certificate(app: App, thumbprint: str, algorithm: hashes.HashAlgorithm) -> Certificate | None:
    for certificate in app.certificates:
        if urlsafe_b64encode(certificate.fingerprint(algorithm)).rstrip(b"=").decode() == thumbprint:
            return certificate
    return None


def _header(assertion: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(assertion)
    except jwt.InvalidTokenError:
        return {}


def _stamp(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
