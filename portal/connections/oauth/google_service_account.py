"""Google's service accounts: their JSON key read, and a token asked for in a mailbox's name with it.

A Workspace's administrator lets the account act for its mailboxes by domain-wide delegation.
Sources: RFC 7523; Google's page "Using OAuth 2.0 for Server to Server Applications".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from portal.connections.oauth.google_answers import granted_in, token_in
from portal.connections.oauth.google_endpoints import Endpoints
from portal.connections.oauth.provider import Grant, Registration
from portal.connections.oauth.token_answers import lifetime, network_error
from portal.network.https import HTTPS, HTTPSError
from portal.transports import ConnectionFault, Step
from portal.wording import N_, Text

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE = timedelta(minutes=10)  # Google allows an hour; a shorter one is of less use to a thief
_CLOCK_TOLERANCE = timedelta(seconds=30)  # a portal whose clock is ahead would sign in the future


class UnusableKey(ValueError):
    """The text is no key of a service account; `reason` is a sentence for the person who gave it."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class ServiceAccountKey:
    """What of the file is used. Its addresses are not: the portal asks Google's own endpoint, and no other."""

    client_email: str
    client_id: str  # digits; what a Workspace administrator authorises
    key_id: str
    private_key: RSAPrivateKey = field(repr=False)

    def assertion(self, *, subject: str, scopes: tuple[str, ...], audience: str, now: datetime) -> str:
        """A JWT, signed with RS256, that asks for a token in the name of `subject`, a mailbox."""
        claims = {
            "iss": self.client_email,
            "sub": subject,
            "scope": " ".join(scopes),
            "aud": audience,
            "iat": int((now - _CLOCK_TOLERANCE).timestamp()),
            "exp": int((now + _LIFE).timestamp()),
        }
        return jwt.encode(claims, self.private_key, algorithm="RS256", headers={"kid": self.key_id})


def read_service_account_key(text: str) -> ServiceAccountKey:
    """The key in the JSON file that the Google Cloud console offers once. Raises UnusableKey."""
    held = _object(text)
    if held.get("type") != "service_account":
        raise UnusableKey(
            N_(
                "This JSON is no key of a service account. In the Google Cloud console open the service account, "
                "Keys, Add key, Create new key, JSON."
            )
        )
    named = {name: held.get(name) for name in ("client_email", "client_id", "private_key_id", "private_key")}
    missing = [name for name, value in named.items() if not isinstance(value, str) or not value]
    if missing:
        raise UnusableKey(N_("The key file lacks %(names)s. Give the whole file.", names=", ".join(missing)))
    return ServiceAccountKey(
        client_email=str(named["client_email"]),
        client_id=str(named["client_id"]),
        key_id=str(named["private_key_id"]),
        private_key=_private_key(str(named["private_key"])),
    )


def service_account_token(
    registration: Registration,
    *,
    subject: str,
    scopes: tuple[str, ...],
    https: HTTPS,
    endpoints: Endpoints,
    now: datetime,
) -> Grant:
    """A token with which the service account acts for the mailbox `subject` (domain-wide delegation, RFC 7523).

    Nothing is stored: the key signs for the next token too. Raises TransportError of the step TOKEN.
    """
    try:
        key = read_service_account_key(registration.service_account_key)
    except UnusableKey as error:
        raise ConnectionFault(Step.TOKEN, code="google.key_refused", seen=str(error)) from error
    assertion = key.assertion(subject=subject, scopes=scopes, audience=endpoints.token_url, now=now)
    try:
        reply = https.post_form(endpoints.token_url, {"grant_type": _JWT_BEARER, "assertion": assertion})
    except HTTPSError as error:
        raise network_error(error) from error
    text = reply.content.decode(errors="replace")
    answer = token_in(reply.status, text, sent=(assertion,), headers=reply.headers)
    return Grant(
        stored="",
        account=subject,
        tenant=subject.rpartition("@")[2],
        scopes=granted_in(answer, otherwise=scopes),
        access_token=answer["access_token"],
        expires_at=now + lifetime(answer.get("expires_in")),
        secret_slot=0,
    )


def _object(text: str) -> dict[str, object]:
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):  # its text may hold a part of the key
        held = None
    if not isinstance(held, dict):
        raise UnusableKey(N_("This is no JSON file. Give the whole file as it was downloaded, from { to }."))
    return held


def _private_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise UnusableKey(N_("The private key in the file cannot be read. Give the whole file as it was downloaded."))
    return key
