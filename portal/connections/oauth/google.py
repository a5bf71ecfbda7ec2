"""Google: consent of a person, and tokens of a service account for a Workspace's mailboxes.

Sources: Google's pages "Using OAuth 2.0 for Web Server Applications" and "… for Server to Server Applications";
RFC 6749, RFC 7636, RFC 7523, RFC 9207. requests-oauthlib asks for the tokens, over the portal's HTTPS session.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

from oauthlib.oauth2 import WebApplicationClient
from requests_oauthlib import OAuth2Session

from portal.connections.oauth import redirects
from portal.connections.oauth.google_answers import (
    REFUSED,
    TolerantClient,
    granted_in,
    judged,
    refusal,
    refuse_less,
)
from portal.connections.oauth.google_endpoints import API_SCOPE, SMTP_SCOPE, Endpoints, scopes_for, with_identity
from portal.connections.oauth.google_service_account import service_account_token
from portal.connections.oauth.held_grant import FRESH, LAST_RESORT, HeldGrant, NoGrant
from portal.connections.oauth.id_tokens import NotOurs, claims_of, refuse_expired, text_of
from portal.connections.oauth.provider import (
    AuthorizationRequest,
    Grant,
    LessGranted,
    Registration,
    with_either_secret,
)
from portal.connections.oauth.token_answers import MustWait, json_object, lifetime, network_error, unexpected
from portal.network.https import HTTPS, HTTPSError
from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.transports.oauth_errors import BAD_SECRET
from portal.wording import Text

__all__ = [
    "API_SCOPE",
    "SMTP_SCOPE",
    "Endpoints",
    "Google",
    "redirect_problem",
    "scopes_for",
    "service_account_token",
]

# Its debug lines hold tokens, codes and secrets.
logging.getLogger("requests_oauthlib").setLevel(logging.INFO)

_ISSUERS = {"https://accounts.google.com", "accounts.google.com"}
_VERIFIER_LENGTH = 64
_VERIFIED = (True, "true")  # Google has written it both ways; where nothing is said of it, nothing stands against it


def redirect_problem(uri: str) -> Text | None:
    """Why Google would not register the redirect URI, None where nothing is known against it."""
    return redirects.redirect_problem(uri, provider="Google", needs_public_name=True)


@dataclass(frozen=True)
class Google:
    """A `ConsentProvider`."""

    https: HTTPS
    endpoints: Endpoints = field(default_factory=Endpoints)

    def authorization_request(
        self, registration: Registration, *, redirect_uri: str, state: str, scopes: tuple[str, ...], login_hint: str
    ) -> AuthorizationRequest:
        """See `ConsentProvider`. Consent is always asked for again: only then Google hands out a refresh token."""
        client, asked = WebApplicationClient(registration.client_id), with_identity(scopes)
        verifier, nonce = client.create_code_verifier(_VERIFIER_LENGTH), token_urlsafe(32)
        url = client.prepare_request_uri(
            self.https.plain.for_libraries(self.endpoints.authorization_url),
            redirect_uri=redirect_uri,
            scope=list(asked),
            state=state,
            code_challenge=client.create_code_challenge(verifier, "S256"),
            code_challenge_method="S256",
            access_type="offline",
            prompt="consent",
            nonce=nonce,
            **({"login_hint": login_hint} if login_hint else {}),
        )
        url = self.https.plain.as_called(url)
        secrets = {"verifier": verifier, "nonce": nonce, "scopes": list(asked)}
        return AuthorizationRequest(url=url, secrets=json.dumps(secrets))

    def redeem(
        self,
        registration: Registration,
        secrets: str,
        params: Mapping[str, str],
        *,
        redirect_uri: str,
        now: datetime,
    ) -> Grant:
        """See `ConsentProvider`."""
        code, held = self._code_in(params), json.loads(secrets)

        def fetch(session: OAuth2Session, secret: str) -> dict[str, Any]:
            return session.fetch_token(
                self.https.plain.for_libraries(self.endpoints.token_url),
                code=code,
                code_verifier=held["verifier"],
                client_secret=secret,
                include_client_id=True,
            )

        answer, slot = self._ask(registration, fetch, redirect_uri=redirect_uri)
        scopes = granted_in(answer, otherwise=held["scopes"])
        refuse_less(scopes, asked=held["scopes"])
        if not text_of(answer, "refresh_token"):
            raise ConnectionFault(Step.TOKEN, code="google.refresh_token_missing", seen="no refresh token came")
        claims = self._claims_in(answer, registration.client_id, nonce=held["nonce"], now=now)
        return HeldGrant(
            renewal=text_of(answer, "refresh_token"),
            access_token=answer["access_token"],
            expires_at=now + lifetime(answer.get("expires_in")),
            scopes=scopes,
            account=text_of(claims, "email"),
            tenant=text_of(claims, "hd"),
        ).as_grant(secret_slot=slot)

    def renew(
        self, registration: Registration, stored: str, *, scopes: tuple[str, ...], now: datetime, force: bool = False
    ) -> Grant:
        """See `ConsentProvider`. While Google is out of reach, a token that is still good is good enough."""
        held = _read(stored)
        refuse_less(held.scopes, asked=scopes)
        if not force and held.lasts(FRESH, now=now):
            return held.as_grant()

        def refresh(session: OAuth2Session, secret: str) -> dict[str, Any]:
            return session.refresh_token(
                self.https.plain.for_libraries(self.endpoints.token_url),
                refresh_token=held.renewal,
                client_id=registration.client_id,
                client_secret=secret,
            )

        try:
            answer, slot = self._ask(registration, refresh)
        except MustWait:
            raise  # whoever asks keeps the time, and the token that is still good
        except TransientError:
            if force or not held.lasts(LAST_RESORT, now=now):
                raise
            return held.as_grant()
        renewed = HeldGrant(
            renewal=text_of(answer, "refresh_token") or held.renewal,
            access_token=answer["access_token"],
            expires_at=now + lifetime(answer.get("expires_in")),
            scopes=granted_in(answer, otherwise=held.scopes),
            account=held.account,
            tenant=held.tenant,
        ).as_grant(secret_slot=slot)
        try:
            refuse_less(renewed.scopes, asked=scopes)
        except ConnectionFault as fault:
            raise LessGranted(code=fault.code, seen=fault.seen, renewed=renewed) from fault
        return renewed

    def revoke(self, registration: Registration, stored: str) -> bool:  # noqa: ARG002 - the protocol's
        """See `ConsentProvider`. A grant that Google has forgotten already counts as told (RFC 7009 2.2)."""
        try:
            answer = self.https.post_form(self.endpoints.revocation_url, {"token": _read(stored).renewal})
            return answer.status == 200 or json_object(answer.content.decode()).get("error") == "invalid_token"
        except (HTTPSError, TransportError, UnicodeDecodeError):
            return False

    def _code_in(self, params: Mapping[str, str]) -> str:
        if params.get("iss") and not self._is_issuer(params["iss"]):
            raise ConnectionFault(Step.TOKEN, code=REFUSED, seen="the answer came from another provider")
        if "error" in params:
            raise refusal(params)
        if not params.get("code"):
            raise ConnectionFault(Step.TOKEN, code=REFUSED, seen="the answer holds no authorization code")
        return params["code"]

    def _ask(
        self,
        registration: Registration,
        call: Callable[[OAuth2Session, str], dict[str, Any]],
        *,
        redirect_uri: str | None = None,
    ) -> tuple[dict[str, Any], int]:
        """The token endpoint's answer, which holds an access token, and the slot of the secret that it took."""

        def attempt(secret: str) -> dict[str, Any]:
            session = self.https.session(
                OAuth2Session, client=TolerantClient(registration.client_id), redirect_uri=redirect_uri
            )
            session.register_compliance_hook("access_token_response", judged)
            session.register_compliance_hook("refresh_token_response", judged)
            try:
                return call(session, secret)
            except HTTPSError as error:
                raise network_error(error) from error

        return with_either_secret(registration, attempt, bad_secret=BAD_SECRET)

    def _claims_in(self, answer: Mapping[str, Any], client_id: str, *, nonce: str, now: datetime) -> Mapping[str, Any]:
        try:
            claims = claims_of(text_of(answer, "id_token"), client_id=client_id, is_issuer=self._is_issuer)
            refuse_expired(claims, now=now)
        except NotOurs as error:
            raise unexpected(str(error)) from error
        if not compare_digest(text_of(claims, "nonce").encode(), nonce.encode()):
            raise ConnectionFault(
                Step.TOKEN, code="google.code_refused", seen="the ID token was made for another start of the consent"
            )
        if not text_of(claims, "email"):
            raise unexpected("the answer does not tell which account consented")
        if claims.get("email_verified", True) not in _VERIFIED:
            seen = "Google has not verified that the address belongs to the account"
            raise ConnectionFault(Step.TOKEN, code="google.address_unverified", seen=seen)
        return claims

    def _is_issuer(self, issuer: str) -> bool:
        return issuer in _ISSUERS or issuer == self.endpoints.consent_origin


def _read(stored: str) -> HeldGrant:
    try:
        return HeldGrant.read(stored)
    except NoGrant as error:
        raise ConnectionFault(Step.TOKEN, code="google.grant_dead", seen=str(error)) from error
