"""The addresses of an account at Microsoft: its sign-in name is often none that mail is sent by.

Source: Microsoft's page "user resource type" (mail, userPrincipalName, proxyAddresses).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from portal.connections.oauth.held_grant import HeldGrant
from portal.connections.oauth.id_tokens import text_of
from portal.connections.oauth.microsoft_endpoints import ANY_TENANT, Endpoints
from portal.connections.oauth.microsoft_sign_in import missing_in
from portal.connections.oauth.provider import Registration
from portal.connections.oauth.token_answers import json_object
from portal.mail.addresses import same_address_key
from portal.network.https import HTTPS, HTTPSError
from portal.transports import TransportError

_READS_ONESELF = "User.Read"
_SMTP = "smtp:"  # in upper case for the primary address
_MOST_ADDRESSES = 400  # Exchange's own limit


def with_addresses(held: HeldGrant, registration: Registration, *, https: HTTPS, endpoints: Endpoints) -> HeldGrant:
    """The same with what Microsoft Graph calls the account besides its sign-in name, as far as it can be read.

    Asked for only where one organisation is named. Its administrators alone decide what addresses an account has, but
    those of any other organisation may write any address into an account of theirs. Never raises for network or
    provider: without an answer the account is known by its sign-in name alone.
    """
    is_open = not registration.tenant_id or registration.tenant_id.lower() in ANY_TENANT
    if is_open or missing_in(held.scopes, asked=[_READS_ONESELF]):
        return held
    try:
        answer = https.request(
            "GET",
            f"{endpoints.graph_url}/v1.0/me",
            headers={"Authorization": f"Bearer {held.access_token}"},
            params={"$select": "mail,userPrincipalName,proxyAddresses"},
        )
        user = json_object(answer.content.decode(errors="replace")) if answer.status == 200 else {}
    except (HTTPSError, TransportError):
        return held
    return replace(held, addresses=frozenset(_addresses_in(user)) - {held.account})


def _addresses_in(user: Mapping[str, Any]) -> set[str]:
    proxies = user.get("proxyAddresses")
    written = [one for one in proxies if isinstance(one, str)] if isinstance(proxies, list) else []
    by_mail = {one[len(_SMTP) :] for one in written[:_MOST_ADDRESSES] if one.lower().startswith(_SMTP)}
    named = {text_of(user, "mail"), text_of(user, "userPrincipalName")}
    return {address for address in named | by_mail if same_address_key(address)}
