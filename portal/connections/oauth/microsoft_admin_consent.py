"""The page on which a Microsoft 365 administrator agrees for the whole organisation, and what it answers.

Source: Microsoft's page "Admin consent on the Microsoft identity platform".
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from portal.connections.oauth.microsoft_answers import REFUSED, refusal
from portal.connections.oauth.microsoft_endpoints import ANY_TENANT, Endpoints
from portal.connections.oauth.microsoft_sign_in import ANY_ORGANISATION, authority_of, fault
from portal.connections.oauth.provider import Registration


def admin_consent_url(
    registration: Registration, *, endpoints: Endpoints, redirect_uri: str, state: str, scopes: tuple[str, ...]
) -> str:
    """Where an administrator agrees to `scopes`; application permissions go by one resource's `.default`.

    Without one certain tenant it is the administrator's own. Raises ConnectionFault for what is no tenant.
    """
    authority = authority_of(registration, endpoints)
    if registration.tenant_id.lower() in ANY_TENANT:
        authority = endpoints.authority(ANY_ORGANISATION)  # the page does not know `common`
    query = {
        "client_id": registration.client_id,
        "scope": " ".join(scopes),
        "redirect_uri": redirect_uri,
        "state": state,
    }
    return f"{authority}/v2.0/adminconsent?{urlencode(query)}"


def admin_consent_given(params: Mapping[str, str]) -> str:
    """The tenant for which an administrator agreed, as the redirect says it: for showing, not for deciding.

    Raises TransportError where the administrator did not agree.
    """
    if "error" in params:
        raise refusal(params)
    if params.get("admin_consent", "").lower() != "true":
        raise fault(REFUSED, "the answer does not say that an administrator agreed")
    return params.get("tenant", "")
