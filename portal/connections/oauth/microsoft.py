"""Microsoft: consent of a person, and tokens of the application itself, in each of Microsoft's clouds.

Sources: Microsoft's pages "Microsoft identity platform and OAuth 2.0 authorization code flow" and "… client
credentials flow"; RFC 6749, RFC 7636, RFC 7523, RFC 9207. msal asks for the tokens, over the portal's HTTPS session.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msal  # type: ignore[import-untyped]

from portal.connections.oauth import redirects
from portal.connections.oauth.held_grant import FRESH, LAST_RESORT, HeldGrant, NoGrant
from portal.connections.oauth.id_tokens import text_of
from portal.connections.oauth.microsoft_addresses import with_addresses
from portal.connections.oauth.microsoft_admin_consent import admin_consent_given, admin_consent_url
from portal.connections.oauth.microsoft_answers import refusal
from portal.connections.oauth.microsoft_device import DeviceCode, device_code, poll_device_code
from portal.connections.oauth.microsoft_endpoints import ANY_TENANT, Endpoints
from portal.connections.oauth.microsoft_secrets import looks_like_a_secret_id, secret_expiry
from portal.connections.oauth.microsoft_sign_in import (
    application,
    fault,
    for_msal,
    granted_in,
    missing_in,
    msal_errors,
    new_grant,
    refuse_missing,
    renewal_in,
    with_credential,
)
from portal.connections.oauth.provider import AuthorizationRequest, Grant, LessGranted, Registration
from portal.connections.oauth.token_answers import MustWait, lifetime
from portal.network.https import HTTPS
from portal.transports import ConnectionFault, TransientError
from portal.transports.graph_check import claims_of, roles_in
from portal.wording import Text

__all__ = [
    "DeviceCode",
    "Endpoints",
    "Microsoft",
    "admin_consent_given",
    "admin_consent_url",
    "app_token",
    "device_code",
    "looks_like_a_secret_id",
    "poll_device_code",
    "redirect_problem",
    "secret_expiry",
]


def redirect_problem(uri: str) -> Text | None:
    """Why Microsoft's form would not take the redirect URI, None where nothing is known against it.

    Names of inner networks and, with https, addresses in figures are good enough. Source: Microsoft's page "Redirect
    URI (reply URL) restrictions and limitations".
    """
    return redirects.redirect_problem(uri, provider="Microsoft", needs_public_name=False, needs_localhost=True)


@dataclass(frozen=True)
class Microsoft:
    """A `ConsentProvider`. `overrides` are the global cloud's addresses that the operator set."""

    https: HTTPS
    overrides: Mapping[str, str] = field(default_factory=dict)

    def endpoints_of(self, registration: Registration) -> Endpoints:
        """The registration's cloud."""
        return Endpoints.of(registration.cloud, self.overrides)

    def authorization_request(
        self, registration: Registration, *, redirect_uri: str, state: str, scopes: tuple[str, ...], login_hint: str
    ) -> AuthorizationRequest:
        """See `ConsentProvider`. Asks Microsoft for the tenant's addresses, so a wrong tenant is told here."""
        with msal_errors():
            flow = self._application(registration, "").initiate_auth_code_flow(
                for_msal(scopes),
                redirect_uri=redirect_uri,
                state=state,
                prompt="select_account",
                login_hint=login_hint or None,
                response_mode="form_post",
            )
        url = self.https.plain.as_called(_answered_by_get(flow.pop("auth_uri")))
        return AuthorizationRequest(url=url, secrets=json.dumps({"flow": flow, "scopes": list(scopes)}))

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
        endpoints = self.endpoints_of(registration)
        code, held = _code_in(params, endpoints), json.loads(secrets)
        flow = held["flow"] | {"redirect_uri": redirect_uri}

        def attempt(secret: str) -> HeldGrant:
            cache = msal.SerializableTokenCache()
            with msal_errors():
                signed_in = self._application(registration, secret, cache)
                # The state was compared by the caller; what else came with the code is not msal's to read.
                answer = signed_in.acquire_token_by_auth_code_flow(dict(flow), {"code": code, "state": flow["state"]})
            return new_grant(
                answer, cache, registration=registration, endpoints=endpoints, asked=held["scopes"], now=now
            )

        grant, slot = with_credential(registration, attempt)
        return with_addresses(grant, registration, https=self.https, endpoints=endpoints).as_grant(secret_slot=slot)

    def renew(
        self, registration: Registration, stored: str, *, scopes: tuple[str, ...], now: datetime, force: bool = False
    ) -> Grant:
        """See `ConsentProvider`. While Microsoft is out of reach, a token that is still good is good enough.

        A grant also renews for scopes that it was not asked for, if somebody has consented to them since.
        """
        held = _read(stored)
        may_serve = not force and not missing_in(held.scopes, asked=scopes)
        if may_serve and held.lasts(FRESH, now=now):
            return held.as_grant()
        try:
            grant, slot = with_credential(
                registration, lambda secret: self._renewed(registration, secret, held, scopes=scopes, now=now)
            )
        except MustWait:
            raise  # whoever asks keeps the time, and the token that is still good
        except TransientError:
            if not (may_serve and held.lasts(LAST_RESORT, now=now)):
                raise
            return held.as_grant()
        return grant.as_grant(secret_slot=slot)

    def revoke(self, registration: Registration, stored: str) -> bool:  # noqa: ARG002 - the protocol's
        """See `ConsentProvider`. Microsoft offers applications no way to do it, so it is never told.

        The person does it at myapps.microsoft.com, an administrator with "Revoke sessions".
        """
        return False

    def _renewed(
        self, registration: Registration, secret: str, held: HeldGrant, *, scopes: tuple[str, ...], now: datetime
    ) -> HeldGrant:
        cache = msal.SerializableTokenCache()
        with msal_errors():
            cache.deserialize(held.renewal)
            signed_in = self._application(registration, secret, cache)
            accounts = signed_in.get_accounts()
            answer = accounts and signed_in.acquire_token_silent_with_error(
                for_msal(scopes), accounts[0], force_refresh=True
            )
        if not answer:
            raise fault("microsoft.grant_dead", "the stored grant is for another sign-in host or application")
        renewed = HeldGrant(
            renewal=renewal_in(cache),
            access_token=text_of(answer, "access_token"),
            expires_at=now + lifetime(answer.get("expires_in")),
            scopes=granted_in(answer, otherwise=scopes),
            account=held.account,
            tenant=held.tenant,
            addresses=held.addresses,
        )
        try:
            refuse_missing(renewed.scopes, asked=scopes)
        except ConnectionFault as less:
            raise LessGranted(code=less.code, seen=less.seen, renewed=renewed.as_grant()) from less
        return renewed

    def _application(
        self, registration: Registration, secret: str, cache: msal.SerializableTokenCache | None = None
    ) -> Any:
        endpoints = self.endpoints_of(registration)
        return application(registration, secret, https=self.https, endpoints=endpoints, cache=cache)


def app_token(registration: Registration, *, scope: str, https: HTTPS, endpoints: Endpoints, now: datetime) -> Grant:
    """A token of the application itself (client credentials), by secret, certificate or federated token file.

    `scope` is one resource's `.default`; what it stands for is added to the grant's scopes as far as the token names
    it. Nothing is stored: the next token is asked for in the same way. Raises TransportError of the step TOKEN.
    """
    if not registration.tenant_id or registration.tenant_id.lower() in ANY_TENANT:
        raise fault("microsoft.tenant_needed", "an application signs in to one organisation, named by its tenant")
    if not _has_credential(registration):
        raise fault("microsoft.secret_missing", "neither a secret nor a certificate is set")

    def attempt(secret: str) -> tuple[Mapping[str, Any], str]:
        with msal_errors():
            signed_in = application(registration, secret, https=https, endpoints=endpoints)
            return signed_in.acquire_token_for_client([scope]), signed_in.authority.tenant

    (answer, tenant), slot = with_credential(registration, attempt)
    access_token = text_of(answer, "access_token")
    return Grant(
        stored="",
        account="",
        tenant=tenant,
        scopes=frozenset({scope, *roles_in(claims_of(access_token) or {})}),
        access_token=access_token,
        expires_at=now + lifetime(answer.get("expires_in")),
        secret_slot=slot,
    )


def _has_credential(registration: Registration) -> bool:
    return bool(
        registration.client_secret
        or registration.next_client_secret
        or registration.private_key
        or registration.federated_token_file
    )


def _answered_by_get(url: str) -> str:
    """The same request with its answer in the redirect's query.

    A form posted across sites would come without the session's cookie (SameSite=Lax). msal warns of this choice,
    and a warning's filter would be the whole process', so it is told the other and never knows.
    """
    parts = urlsplit(url)
    query = [(name, "query" if name == "response_mode" else value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _code_in(params: Mapping[str, str], endpoints: Endpoints) -> str:
    if params.get("iss") and not endpoints.signs_in_at(params["iss"]):
        raise fault("microsoft.flow_mixed_up", "the answer came from another provider")
    if "error" in params:
        raise refusal(params)
    if not params.get("code"):
        raise fault("microsoft.flow_mixed_up", "the answer holds no authorization code")
    return params["code"]


def _read(stored: str) -> HeldGrant:
    try:
        return HeldGrant.read(stored)
    except NoGrant as error:
        raise fault("microsoft.grant_dead", str(error)) from error
