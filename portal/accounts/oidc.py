"""The organisation's provider, spoken to by OpenID Connect: what it says of itself, the way there, and who came back.

Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749, RFC 7636, RFC 9207, RFC 9700. requests-oauthlib asks for
the tokens, over the portal's HTTPS session, which refuses addresses that an administrator's text must not lead to.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import requests
from oauthlib.oauth2 import OAuth2Error, OAuth2Token, WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from portal.accounts.provider_id_tokens import checked_claims
from portal.accounts.provider_keys import CALL_SECONDS, ProviderKeys, fetch_json
from portal.accounts.provider_metadata import DISCOVERY, Metadata, metadata_in
from portal.accounts.provider_refusals import (
    ProviderRefused,
    bad_token,
    of_redirect,
    of_token_endpoint,
    out_of_reach,
)
from portal.connections.oauth.token_answers import json_object
from portal.network.https import HTTPS, HTTPSError
from portal.transports import TransportError

# Its debug lines hold tokens, codes and secrets.
logging.getLogger("requests_oauthlib").setLevel(logging.INFO)

SCOPES = ("openid", "email", "profile")
KEPT = timedelta(minutes=10)  # what a provider says of itself
_OF_ADDRESS = ("email", "email_verified", "xms_edov", "hd")
_TELL_WHEN = json.dumps({"id_token": {"auth_time": {"essential": True}}})  # OpenID Connect Core 1.0, 5.5
_VERIFIER_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class Client:
    """What the portal is at the provider."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)  # "" for none
    scopes: tuple[str, ...] = ()  # besides SCOPES


@dataclass(frozen=True)
class Started:
    """Where the browser goes, and what is needed when it comes back."""

    url: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)


_TOLD_OF_A_CLIENT = {"token.invalid_grant": True, "token.invalid_client": False, "token.unauthorized_client": False}


class OpenID:
    """Asks providers; used by all threads. What the last one said of itself is kept for ten minutes."""

    def __init__(self, https: HTTPS) -> None:
        self._https = https
        self._keys = ProviderKeys(https)
        self._lock = threading.Lock()
        self._known: tuple[Metadata, datetime] | None = None

    def discover(self, issuer: str, *, now: datetime, anew: bool = False) -> Metadata:
        """What the provider says of itself. Raises ProviderRefused, also where it is another than it was called."""
        with self._lock:
            known = self._known
        if not anew and known and known[0].issuer == issuer and timedelta() <= now - known[1] < KEPT:
            return known[0]
        found = metadata_in(fetch_json(self._https, issuer.removesuffix("/") + DISCOVERY), issuer)
        with self._lock:
            self._known = (found, now)
        return found

    def start(self, client: Client, *, redirect_uri: str, asks_again: bool = False, now: datetime) -> Started:
        """The way to the provider. With `asks_again` it asks for the password even of somebody signed in there."""
        metadata, plain = self.discover(client.issuer, now=now), self._https.plain
        flow = WebApplicationClient(client.client_id)
        state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        verifier = flow.create_code_verifier(_VERIFIER_LENGTH)
        url = flow.prepare_request_uri(
            plain.for_libraries(metadata.authorization_endpoint),
            redirect_uri=redirect_uri,
            scope=list(dict.fromkeys((*SCOPES, *client.scopes))),
            state=state,
            nonce=nonce,
            code_challenge=flow.create_code_challenge(verifier, "S256"),
            code_challenge_method="S256",
            **({"prompt": "login", "max_age": "0", "claims": _TELL_WHEN} if asks_again else {}),
        )
        return Started(plain.as_called(url), state, verifier, nonce)

    def redeem(
        self,
        client: Client,
        answer: Mapping[str, str],
        *,
        verifier: str,
        nonce: str,
        redirect_uri: str,
        wanted: tuple[str, ...] = (),
        now: datetime,
    ) -> Mapping[str, Any]:
        """The checked claims about who came back. `answer` are the parameters of the redirect.

        Claims in `wanted` that the ID token lacks are asked for at the provider's userinfo endpoint. Raises
        ProviderRefused.
        """
        metadata = self.discover(client.issuer, now=now)
        _check_sender(metadata, answer)
        if "error" in answer:
            raise of_redirect(answer["error"], answer.get("error_description", ""))
        if not answer.get("code"):
            raise bad_token("the redirect holds neither a code nor an error")
        tokens = self._tokens(client, metadata, answer["code"], verifier, redirect_uri)

        claims = checked_claims(
            tokens.get("id_token"),
            key_for=lambda key_id, algorithm: self._keys.key_for(
                metadata.jwks_uri, key_id=key_id, algorithm=algorithm, now=now
            ),
            issuer=client.issuer,
            client_id=client.client_id,
            nonce=nonce,
            now=now,
        )
        return self._completed(claims, metadata, tokens.get("access_token"), wanted)

    def accepts(self, client: Client, *, redirect_uri: str, now: datetime) -> bool | None:
        """Whether the provider knows this client ID with this secret; None where it does not tell.

        It is offered a code that it never gave out: who the client is comes first (RFC 6749 5.2).
        """
        try:
            metadata = self.discover(client.issuer, now=now)
            self._tokens(client, metadata, secrets.token_urlsafe(32), secrets.token_urlsafe(48), redirect_uri)
        except ProviderRefused as refusal:
            return _TOLD_OF_A_CLIENT.get(refusal.code)
        return None

    def _completed(
        self, claims: Mapping[str, Any], metadata: Metadata, access_token: object, wanted: tuple[str, ...]
    ) -> Mapping[str, Any]:
        if (
            not metadata.userinfo_endpoint
            or not isinstance(access_token, str)
            or all(name in claims for name in wanted)
        ):
            return claims
        told = fetch_json(self._https, metadata.userinfo_endpoint, bearer=access_token)
        if told.get("sub") != claims["sub"]:  # OpenID Connect Core 1.0, 5.3.2: else it may be about somebody else
            raise bad_token("the userinfo endpoint tells of another person")
        # An address and whether it was proved belong together: the other source may speak of another address.
        left_out = _OF_ADDRESS if "email" in claims else ()
        return {
            **{name: value for name, value in told.items() if name not in left_out},
            **{name: value for name, value in claims.items() if left_out or name not in _OF_ADDRESS},
        }

    def _tokens(
        self, client: Client, metadata: Metadata, code: str, verifier: str, redirect_uri: str
    ) -> Mapping[str, Any]:
        flow = _TolerantClient(client.client_id)
        session = self._https.session(OAuth2Session, client=flow, redirect_uri=redirect_uri)
        hidden = [code, verifier, client.client_secret]
        session.register_compliance_hook("access_token_response", lambda response: _judged(response, hidden))
        in_header = bool(client.client_secret) and not metadata.takes_secret_in_body
        try:
            tokens: Mapping[str, Any] = session.fetch_token(
                self._https.plain.for_libraries(metadata.token_endpoint),
                code=code,
                code_verifier=verifier,
                # RFC 6749 2.3.1: both are encoded as in a form before they become a user name and a password.
                auth=HTTPBasicAuth(quote_plus(client.client_id), quote_plus(client.client_secret))
                if in_header
                else _no_auth,
                include_client_id=not in_header,
                timeout=CALL_SECONDS,
                client_secret=None if in_header else client.client_secret or None,
            )
        except HTTPSError as error:
            raise out_of_reach(error.seen) from error
        except (OAuth2Error, ValueError) as error:
            raise bad_token("the token endpoint's answer is none that it should give") from error
        return tokens


class _TolerantClient(WebApplicationClient):
    """Takes token answers as `_judged` let them pass: oauthlib's own reading raises for scopes that differ."""

    def parse_request_body_response(self, body: str, scope: Any = None, **_: Any) -> OAuth2Token:  # noqa: ARG002
        answer = json_object(body)
        self.token = OAuth2Token({name: answer[name] for name in ("access_token", "id_token") if name in answer})
        return self.token


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _judged(response: requests.Response, hidden: list[str]) -> requests.Response:
    """A compliance hook of requests-oauthlib: nothing but a JSON object without an error gets past it."""
    if response.status_code >= 500:
        raise out_of_reach(f"it answered with the HTTP status {response.status_code}")
    try:
        answer = json_object(response.text)
    except TransportError:
        raise out_of_reach("its token endpoint answered with something that is no JSON object") from None
    if response.status_code != 200 or "error" in answer:
        raise of_token_endpoint(str(answer.get("error", "")), str(answer.get("error_description", "")), hidden)
    return response


def _check_sender(metadata: Metadata, answer: Mapping[str, str]) -> None:
    """RFC 9207: the answer says whose it is, where the provider does so at all."""
    sender = answer.get("iss")
    if sender != metadata.issuer and (sender is not None or metadata.names_itself):
        raise bad_token("the redirect came from another provider")
