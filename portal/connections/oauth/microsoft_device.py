"""Consent on another device: the portal shows a code, a person types it at Microsoft (RFC 8628).

For portals whose address Microsoft would not register, or that no browser with the right account reaches. The
application's registration must allow public client flows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msal  # type: ignore[import-untyped]

from portal.connections.oauth.held_grant import HeldGrant
from portal.connections.oauth.id_tokens import text_of
from portal.connections.oauth.microsoft_addresses import with_addresses
from portal.connections.oauth.microsoft_answers import PENDING, JudgedClient
from portal.connections.oauth.microsoft_endpoints import Endpoints
from portal.connections.oauth.microsoft_sign_in import (
    authority_of,
    for_msal,
    msal_errors,
    new_grant,
    refuse_other_clouds,
)
from portal.connections.oauth.provider import Grant, Registration, with_either_secret
from portal.connections.oauth.token_answers import unexpected
from portal.network.https import HTTPS
from portal.transports.oauth_errors import BAD_SECRET


@dataclass(frozen=True, kw_only=True)
class DeviceCode:
    """What a person is told, and when to ask again."""

    user_code: str
    verification_url: str
    expires_at: datetime
    interval: timedelta  # between two calls of `poll_device_code`, at least
    secrets: str = field(repr=False)  # JSON, to be sealed until the end


def device_code(
    registration: Registration, *, scopes: tuple[str, ...], https: HTTPS, endpoints: Endpoints, now: datetime
) -> DeviceCode:
    """Begin. Raises TransportError of the step TOKEN."""
    with msal_errors():
        flow = _application(registration, https=https, endpoints=endpoints).initiate_device_flow(for_msal(scopes))
        lasts = timedelta(seconds=flow["expires_in"])
    return _shown(flow, scopes=scopes, expires_at=now + lasts)


def poll_device_code(
    registration: Registration, begun: DeviceCode, *, https: HTTPS, endpoints: Endpoints, now: datetime
) -> Grant | DeviceCode:
    """The grant, or while nobody has agreed yet the code once more, perhaps with a longer interval.

    Raises TransportError of the step TOKEN: declined, too late, or the network.
    """
    held = json.loads(begun.secrets)
    scopes = tuple(held["scopes"])

    def attempt(secret: str) -> HeldGrant | DeviceCode:
        flow, cache = dict(held["flow"]), msal.SerializableTokenCache()
        with msal_errors():
            signed_in = _application(registration, https=https, endpoints=endpoints, cache=cache)
            answer = signed_in.acquire_token_by_device_flow(
                flow, data={"client_secret": secret} if secret else {}, exit_condition=lambda _: True
            )
        if answer.get("error") in PENDING:
            return _shown(flow, scopes=scopes, expires_at=begun.expires_at)
        return new_grant(answer, cache, registration=registration, endpoints=endpoints, asked=scopes, now=now)

    outcome, slot = with_either_secret(registration, attempt, bad_secret=BAD_SECRET)
    if isinstance(outcome, DeviceCode):
        return outcome
    return with_addresses(outcome, registration, https=https, endpoints=endpoints).as_grant(secret_slot=slot)


def _application(
    registration: Registration,
    *,
    https: HTTPS,
    endpoints: Endpoints,
    cache: msal.SerializableTokenCache | None = None,
) -> msal.PublicClientApplication:
    """msal offers the flow to public applications alone; a secret, where there is one, goes along when polling."""
    made = msal.PublicClientApplication(
        registration.client_id,
        authority=https.plain.for_libraries(authority_of(registration, endpoints)),
        token_cache=cache,
        http_client=JudgedClient(https.msal_client()),
        instance_discovery=False,
    )
    refuse_other_clouds(made, endpoints, https=https)
    return made


def _shown(flow: Mapping[str, Any], *, scopes: tuple[str, ...], expires_at: datetime) -> DeviceCode:
    user_code, url = text_of(flow, "user_code"), text_of(flow, "verification_uri", "verification_url")
    if not (user_code and url.startswith("https://") and text_of(flow, "device_code")):
        raise unexpected("the answer holds no code to show")
    kept = {name: value for name, value in flow.items() if name != "latest_attempt_at"}  # when to ask is the caller's
    return DeviceCode(
        user_code=user_code,
        verification_url=url,
        expires_at=expires_at,
        interval=timedelta(seconds=flow["interval"]),
        secrets=json.dumps({"flow": kept, "scopes": list(scopes)}),
    )
