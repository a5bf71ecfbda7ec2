"""What a provider says of itself (OpenID Connect Discovery 1.0): that it is whom it was called, and its endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from portal.accounts.provider_refusals import ProviderRefused, out_of_reach
from portal.network.https_origins import origin_of
from portal.wording import N_

DISCOVERY = "/.well-known/openid-configuration"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What the provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    names_itself: bool = False  # in each answer (RFC 9207)
    takes_secret_in_body: bool = False


def metadata_in(told: Mapping[str, Any], issuer: str) -> Metadata:
    """What a discovery document says. Raises ProviderRefused, also where it names another issuer."""
    if told.get("issuer") != issuer:
        named = told.get("issuer")
        raise ProviderRefused(
            "other_issuer",
            N_(
                "The provider calls itself %(named)s. Type exactly that as the issuer, if it is yours.",
                named=named[:300] if isinstance(named, str) else "?",
            ),
            "the discovery document names another issuer",
        )
    for name in _ENDPOINTS:
        if not _is_callable(told.get(name)):
            raise out_of_reach(f"it names no usable {name}")
    methods, userinfo = told.get("token_endpoint_auth_methods_supported"), told.get("userinfo_endpoint")
    return Metadata(
        issuer=issuer,
        authorization_endpoint=told["authorization_endpoint"],
        token_endpoint=told["token_endpoint"],
        jwks_uri=told["jwks_uri"],
        userinfo_endpoint=userinfo if isinstance(userinfo, str) and _is_callable(userinfo) else "",
        names_itself=told.get("authorization_response_iss_parameter_supported") is True,
        takes_secret_in_body=isinstance(methods, list) and "client_secret_post" in methods,
    )


def _is_callable(url: object) -> bool:
    """Whether the portal calls it, and a browser may be sent there: https, or http to this machine itself."""
    if not isinstance(url, str) or not url.isascii():
        return False
    try:
        origin_of(url)
    except ValueError:
        return False
    return not urlsplit(url).fragment
