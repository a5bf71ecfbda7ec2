"""Tokens of the stand-in for Microsoft: JSON Web Tokens signed with a key of its own, and how they are read back."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

from tests.outside.microsoft_directory import App, Mailbox, Tenant

Clock = Callable[[], datetime]

# Times are judged by the server's own clock, and audiences by who reads.
SIGNATURE_ALONE: Options = {
    "verify_signature": True,
    "verify_aud": False,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
_KEY_ID = "stand-in-key-1"


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    """One for all servers of a process: making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def published_keys() -> dict[str, object]:
    """The JWK set that discovery points at (RFC 7517)."""
    numbers = _signing_key().public_key().public_numbers()
    key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID}
    return {"keys": [key | {"n": _base64url(numbers.n), "e": _base64url(numbers.e)}]}


class Mint:
    """Makes access tokens and ID tokens, and reads access tokens."""

    def __init__(self, clock: Clock) -> None:
        self.lifetime = timedelta(seconds=3599)
        self.login_url = ""  # known once the server listens
        self._clock = clock

    def user_token(self, app: App, mailbox: Mailbox, resource: str, permissions: Iterable[str]) -> str:
        """An access token for what a person consented to, in `scp`."""
        person = {
            "idtyp": "user",
            "oid": mailbox.object_id,
            "upn": mailbox.user_principal_name,
            "unique_name": mailbox.user_principal_name,
            "name": mailbox.display_name,
            "scp": " ".join(permissions),
        }
        return self._access_token(app, mailbox.tenant, resource, person)

    def app_token(self, app: App, tenant: Tenant, resource: str, roles: list[str]) -> str:
        """An access token of the app itself; without application permissions it has no `roles` at all."""
        own = {"idtyp": "app", "oid": app.object_id, "sub": app.object_id}
        return self._access_token(app, tenant, resource, own | ({"roles": roles} if roles else {}))

    def id_token(self, app: App, mailbox: Mailbox, nonce: str, changes: Mapping[str, object]) -> str:
        """`changes` replace claims, for tests of clients that believe too much."""
        claims = {
            "aud": app.client_id,
            "iss": f"{self.login_url}/{mailbox.tenant.id}/v2.0",
            "name": mailbox.display_name,
            "oid": mailbox.object_id,
            "preferred_username": mailbox.user_principal_name,
            "sub": f"{app.client_id}.{mailbox.object_id}",
            "tid": mailbox.tenant.id,
            "ver": "2.0",
        }
        return self._signed(claims | self._times() | ({"nonce": nonce} if nonce else {}) | dict(changes))

    def read(self, token: str) -> dict[str, Any]:
        """The claims of an access token that this server signed; its times and audience are the reader's to judge.

        Raises jwt.InvalidTokenError.
        """
        return jwt.decode(token, _signing_key().public_key(), algorithms=["RS256"], options=SIGNATURE_ALONE)

    def _access_token(self, app: App, tenant: Tenant, resource: str, claims: Mapping[str, object]) -> str:
        shared = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{tenant.id}/",
            "app_displayname": app.display_name,
            "appid": app.client_id,
            "tid": tenant.id,
            "uti": uuid4().hex,
            "ver": "1.0",
        }
        return self._signed(shared | self._times() | dict(claims))

    def _times(self) -> dict[str, object]:
        now = int(self._clock().timestamp())
        return {"iat": now, "nbf": now, "exp": now + int(self.lifetime.total_seconds())}

    def _signed(self, claims: Mapping[str, object]) -> str:
        return jwt.encode(dict(claims), _signing_key(), algorithm="RS256", headers={"kid": _KEY_ID})


def _base64url(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()
