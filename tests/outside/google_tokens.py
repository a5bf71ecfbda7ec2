"""The stand-in's token, revocation and userinfo endpoints, and the keys that its ID tokens are signed with."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from functools import cache
from hashlib import sha256
from hmac import compare_digest
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.outside.google_refusals import TokenRefused, refusal
from tests.outside.google_registry import DEATHS, AccessToken, Account, Client, Registry
from tests.outside.google_scopes import EMAIL, PROFILE, scopes_in
from tests.outside.google_service_accounts import granted_by_assertion
from tests.outside.google_sign_in import ISSUER
from tests.outside.stand_in_http import Answer, Request, json_answer

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_KEY_ID = "stand-in-1"


class Tokens:
    def __init__(self, registry: Registry, token_url: str) -> None:
        self._registry = registry
        self._token_url = token_url

    def token(self, request: Request) -> Answer:
        grants = {
            "authorization_code": self._redeem,
            "refresh_token": self._refresh,
            JWT_BEARER: self._assert,
        }
        kind = request.form.get("grant_type", "")
        try:
            if kind not in grants:
                raise TokenRefused(400, "unsupported_grant_type", f"Invalid grant_type: {kind}")
            return json_answer(grants[kind](request))
        except TokenRefused as refused:
            return refused.answer

    def revoke(self, request: Request) -> Answer:
        """By an access or a refresh token; either ends all that the account granted to this client."""
        token = request.form.get("token") or request.query.get("token", "")
        if not token:
            return TokenRefused(400, "invalid_request", "Bad Request").answer
        if not self._registry.revoke(token):
            return TokenRefused(400, "invalid_token", "Token expired or revoked").answer
        return json_answer({})

    def userinfo(self, request: Request) -> Answer:
        token = self._registry.live_access_token(request.bearer)
        account = self._registry.account(token.account) if token else None
        if token is None or account is None:
            body = {"error": "invalid_request", "error_description": "Invalid Credentials"}
            challenge = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
            return json_answer(body, status=401, headers={"WWW-Authenticate": challenge})
        if not token.scopes & {"openid", EMAIL, PROFILE}:
            return refusal("insufficientPermissions")
        return json_answer(_claims(account, token.scopes))

    def keys(self, request: Request) -> Answer:
        key: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(_signing_key().public_key()))
        return json_answer({"keys": [key | {"kid": _KEY_ID, "alg": "RS256", "use": "sig"}]})

    def _redeem(self, request: Request) -> dict[str, object]:
        client = self._client(request)
        form = request.form
        if not form.get("code"):
            raise TokenRefused(400, "invalid_request", "Missing required parameter: code")
        code = self._registry.codes.get(form["code"])
        if code is None:
            raise TokenRefused(400, "invalid_grant", "Malformed auth code.")
        if code.is_used or code.client_id != client.client_id or code.expires_at <= self._registry.now():
            raise TokenRefused(400, "invalid_grant", "Bad Request")
        if form.get("redirect_uri") != code.redirect_uri:
            raise TokenRefused(400, "redirect_uri_mismatch", "Bad Request")
        _check_verifier(code.challenge, form.get("code_verifier", ""))
        code.is_used = True
        answer = self._answer(client.client_id, code.account, code.scopes, nonce=code.nonce)
        if code.gives_refresh_token:
            granted = self._registry.issue_refresh_token(client.client_id, code.account, code.scopes)
            answer["refresh_token"] = granted.token
        return answer

    def _refresh(self, request: Request) -> dict[str, object]:
        client = self._client(request)
        if not request.form.get("refresh_token"):
            raise TokenRefused(400, "invalid_request", "Missing required parameter: refresh_token")
        token = self._registry.refresh_tokens.get(request.form["refresh_token"])
        if token is None:
            raise TokenRefused(400, "invalid_grant", "Bad Request")
        if token.client_id != client.client_id:
            raise TokenRefused(401, "unauthorized_client", "Unauthorized")
        if died_of := self._registry.died_of(token):
            death = DEATHS[died_of]
            raise TokenRefused(400, death["error"], death["error_description"], **_without_both(death))
        account = self._registry.accounts[token.account]
        if not self._registry.is_let_in(client.client_id, account):
            raise TokenRefused(
                400,
                "admin_policy_enforced",
                "Access to your account data is restricted by policies within your organization.",
            )
        scopes = scopes_in(request.form.get("scope", "")) or token.scopes
        if not scopes <= token.scopes:
            raise TokenRefused(400, "invalid_scope", "Bad Request")
        token.used_at = self._registry.now()
        return self._answer(client.client_id, token.account, scopes)

    def _assert(self, request: Request) -> dict[str, object]:
        return self._answer(*granted_by_assertion(self._registry, self._token_url, request.form.get("assertion", "")))

    def _client(self, request: Request) -> Client:
        """Who asks, by HTTP Basic or by the form. Raises TokenRefused."""
        client_id, secret = _credentials(request)
        if not client_id:
            raise TokenRefused(400, "invalid_request", "Could not determine client ID from request.")
        client = self._registry.clients.get(client_id)
        if client is None:
            raise TokenRefused(401, "invalid_client", "The OAuth client was not found.")
        if client.is_deleted:
            raise TokenRefused(401, "deleted_client", "The OAuth client was deleted.")
        if not secret:
            raise TokenRefused(400, "invalid_request", "client_secret is missing.")
        if not any(compare_digest(secret.encode(), known.encode()) for known in client.secrets):
            raise TokenRefused(401, "invalid_client", "Unauthorized")
        return client

    def _answer(self, client_id: str, address: str, scopes: frozenset[str], *, nonce: str = "") -> dict[str, object]:
        token = self._registry.issue_access_token(client_id, address, scopes)
        answer: dict[str, object] = {
            "access_token": token.token,
            # What is left of it when the answer arrives, as Google counts.
            "expires_in": int(self._registry.access_token_life.total_seconds()) - 1,
            "scope": " ".join(sorted(scopes)),
            "token_type": "Bearer",
        }
        account = self._registry.account(address)
        if account is not None and "openid" in scopes:
            answer["id_token"] = self._id_token(token, account, nonce)
        return answer

    def _id_token(self, token: AccessToken, account: Account, nonce: str) -> str:
        now = int(self._registry.now().timestamp())
        claims = {"iss": ISSUER, "azp": token.client_id, "aud": token.client_id, "iat": now, "exp": now + 3600}
        claims |= {"nonce": nonce} if nonce else {}
        return jwt.encode(claims | _claims(account, token.scopes), _signing_key(), "RS256", headers={"kid": _KEY_ID})


def _claims(account: Account, scopes: frozenset[str]) -> dict[str, object]:
    claims: dict[str, object] = {"sub": account.subject}
    if EMAIL in scopes:
        claims |= {"email": account.address, "email_verified": True}
    if PROFILE in scopes:
        claims["name"] = account.name
    return claims | ({"hd": account.organisation} if account.organisation else {})


def _credentials(request: Request) -> tuple[str, str]:
    kind, _, encoded = (request.headers["Authorization"] or "").partition(" ")
    if kind.lower() == "basic":
        client_id, _, secret = b64decode(encoded).decode().partition(":")
        return client_id, secret
    return request.form.get("client_id", ""), request.form.get("client_secret", "")


def _check_verifier(challenge: str, verifier: str) -> None:
    if not challenge and verifier:
        raise TokenRefused(400, "invalid_grant", "code_verifier or verifier is not needed.")
    if challenge and not verifier:
        raise TokenRefused(400, "invalid_grant", "Missing code verifier.")
    made = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    if challenge and not compare_digest(made, challenge):
        raise TokenRefused(400, "invalid_grant", "Invalid code verifier.")


def _without_both(death: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in death.items() if name not in {"error", "error_description"}}


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
