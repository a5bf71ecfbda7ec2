"""An OpenID provider on loopback that does what a test says, and knows one application.

    with OIDCProvider(certificate) as provider:
        provider.claims = {"sub": "1001", "email": "ada@contoso.test", "email_verified": True}
        back = provider.sign_in(url)             # the address that the browser is sent back to
        provider.changes = {"nonce": "another"}  # of the next ID tokens; None leaves a claim out
        provider.algorithm = "none"              # "HS256" signs with the public key
        provider.rotate()                        # another key; the former is listed no more

It checks what a provider checks: redirect URI, secret, PKCE, one use of a code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from jwt.algorithms import RSAAlgorithm

from tests.outside.certificates import ServerCertificate
from tests.outside.stand_in_http import Answer, HTTPListener, Request, json_answer

CLIENT_ID, CLIENT_SECRET = "portal-at-the-provider", "provider+geheim:Kanarie/7"
ADA = {"sub": "1001", "email": "ada@contoso.test", "email_verified": True, "name": "Ada Lovelace"}


@cache
def signing_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


class OIDCProvider(HTTPListener):
    """See the module for what it can do. Without a certificate it speaks plain HTTP."""

    def __init__(self, certificate: ServerCertificate | None = None) -> None:
        super().__init__(self._respond_to, context=certificate.context() if certificate else None)
        self._scheme = "https" if certificate else "http"
        self.redirect_uris = ["http://localhost/sign-in/oidc/callback"]
        self.client_secret = CLIENT_SECRET
        self.claims: Mapping[str, Any] = ADA
        self.changes: Mapping[str, Any] = {}
        self.userinfo: Mapping[str, Any] | None = None
        self.metadata: Mapping[str, Any] = {}  # what it says of itself otherwise
        self.algorithm = "RS256"
        self.key = signing_key(1)
        self.key_id: str | None = "key-1"
        self.listed: list[dict[str, Any]] = []
        self.token_answer: Answer | None = None
        self.names_itself = True
        self.requests: list[Request] = []
        self._codes: dict[str, dict[str, str]] = {}
        self.list_key()

    @property
    def issuer(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(request.path == path for request in self.requests)

    def list_key(self) -> None:
        """The key in use stands in the key set, alone."""
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        self.listed = [public | {"use": "sig"} | ({"kid": self.key_id} if self.key_id else {})]

    def rotate(self) -> None:
        self.key, self.key_id = signing_key(2), "key-2"
        self.list_key()

    def sign_in(self, url: str, **changed: str) -> str:
        """The address that a person who signs in is sent back to, as a path of the portal; `changed` alters it."""
        return self._back(dict(_pairs(url)), **changed)

    def refuse(self, url: str, error: str, description: str = "") -> str:
        """The same where the provider answers with an error."""
        query = dict(_pairs(url))
        told = {"error": error, "error_description": description, "state": query["state"]}
        return "/sign-in/oidc/callback?" + urlencode(told)

    def _back(self, query: Mapping[str, str], **changed: str) -> str:
        assert query["redirect_uri"] in self.redirect_uris, query["redirect_uri"]
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT_ID)
        assert (query["code_challenge_method"], "openid" in query["scope"].split()) == ("S256", True)
        code = secrets.token_urlsafe(8)
        self._codes[code] = dict(query)
        told = {"code": code, "state": query["state"], **({"iss": self.issuer} if self.names_itself else {}), **changed}
        return urlsplit(query["redirect_uri"]).path + "?" + urlencode(told)

    def _respond_to(self, request: Request) -> Answer | None:
        self.requests.append(request)
        match request.path:
            case "/.well-known/openid-configuration":
                return json_answer(self._metadata())
            case "/jwks":
                return json_answer({"keys": self.listed})
            case "/authorize":
                return self._page(request)
            case "/token":
                return self.token_answer or self._token(request)
            case "/userinfo" if self.userinfo is not None:
                return json_answer(self.userinfo)
        return Answer(status=404)

    def _metadata(self) -> Mapping[str, Any]:
        told = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo" if self.userinfo is not None else None,
        }
        return {name: value for name, value in {**told, **self.metadata}.items() if value is not None}

    def _page(self, request: Request) -> Answer:
        """The provider's own sign-in page, for a browser."""
        parts = urlsplit(request.query["redirect_uri"])
        back = f"{parts.scheme}://{parts.netloc}{self._back(request.query)}"
        page = '<!doctype html><html lang="en"><title>Provider</title><link rel="icon" href="data:,"><h1>Provider</h1>'
        page += f'<a href="{escape(back)}">Sign in as Ada</a></html>'
        return Answer(content=page.encode(), headers={"Content-Type": "text/html"})

    def _token(self, request: Request) -> Answer:
        form, asked = request.form, self._codes.pop(request.form.get("code", ""), None)
        if self._secret_of(request) != (CLIENT_ID, self.client_secret):
            return json_answer({"error": "invalid_client"}, status=401)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked is None or asked["code_challenge"] != base64.urlsafe_b64encode(challenge).decode().rstrip("="):
            return json_answer({"error": "invalid_grant"}, status=400)
        if form.get("redirect_uri") != asked["redirect_uri"] or form.get("grant_type") != "authorization_code":
            return json_answer({"error": "invalid_grant"}, status=400)
        tokens = {"access_token": "an-access-token", "token_type": "Bearer", "id_token": self._id_token(asked)}
        return json_answer(tokens)

    def _secret_of(self, request: Request) -> tuple[str, str]:
        kind, _, given = (request.headers["Authorization"] or "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(given).decode().partition(":")
            return unquote_plus(name), unquote_plus(secret)
        return request.form.get("client_id", ""), request.form.get("client_secret", "")

    def _id_token(self, asked: Mapping[str, str]) -> str:
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked.get("nonce")}
        usual |= {"auth_time": now} if "max_age" in asked else {}
        every = {**usual, **self.claims, **self.changes}
        claims = {name: value for name, value in every.items() if value is not None}
        headers = {"kid": self.key_id} if self.key_id else {}
        parts = ({"alg": self.algorithm, "typ": "JWT", **headers}, claims)
        said = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{said}.{_encoded(_signature(self.algorithm, self.key, said.encode()))}"


def _pairs(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, strict_parsing=True)


def _signature(algorithm: str, key: rsa.RSAPrivateKey, said: bytes) -> bytes:
    """By hand (RFC 7515, RFC 7518): libraries refuse to sign what no portal may believe."""
    if algorithm == "none":
        return b""
    if algorithm == "HS256":
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hmac.new(pem, said, hashlib.sha256).digest()
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[2:]]
    is_pss = algorithm.startswith("PS")
    return key.sign(
        said, padding.PSS(padding.MGF1(digest), digest.digest_size) if is_pss else padding.PKCS1v15(), digest
    )


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
