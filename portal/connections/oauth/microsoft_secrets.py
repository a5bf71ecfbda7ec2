"""A Microsoft application's secret: whether it is one, and until when it is good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from portal.connections.oauth.id_tokens import text_of
from portal.connections.oauth.microsoft_endpoints import is_guid
from portal.connections.oauth.token_answers import json_object, network_error, refuse_failures
from portal.network.https import HTTPS, HTTPSError

_SELECTED = "displayName,passwordCredentials,keyCredentials"


def looks_like_a_secret_id(secret: str) -> bool:
    """Whether somebody copied the Secret ID, a GUID, instead of the Value beside it."""
    return is_guid(secret.strip())


def secret_expiry(
    https: HTTPS, graph_url: str, access_token: str, client_id: str, *, client_secret: str = ""
) -> date | None:
    """The day (UTC) on which the application's secret ends, None where that cannot be known.

    Of several secrets it is the one that begins like `client_secret`; where that does not single one out, none. The
    token needs the permission Application.Read.All. Raises TransportError where Graph is out of reach.
    """
    if not is_guid(client_id):
        return None
    try:
        answer = https.request(
            "GET",
            f"{graph_url}/v1.0/applications(appId='{client_id}')",
            headers={"Authorization": f"Bearer {access_token}"},
            params={"$select": _SELECTED},
        )
    except HTTPSError as error:
        raise network_error(error) from error
    refuse_failures(answer.status, answer.headers, code="graph.unavailable")
    if answer.status != 200:
        return None
    held = json_object(answer.content.decode(errors="replace"))
    return _expiry_in(held.get("passwordCredentials"), client_secret)


def _expiry_in(credentials: object, client_secret: str) -> date | None:
    secrets = [entry for entry in credentials if isinstance(entry, dict)] if isinstance(credentials, list) else []
    if len(secrets) > 1:
        secrets = [entry for entry in secrets if _begins(client_secret, entry)]
    return _end_of(secrets[0]) if len(secrets) == 1 else None


def _begins(client_secret: str, entry: Mapping[str, Any]) -> bool:
    """`hint` is the secret's first three characters."""
    hint = text_of(entry, "hint")
    return bool(hint) and client_secret.startswith(hint)


def _end_of(entry: Mapping[str, Any]) -> date | None:
    try:
        return datetime.fromisoformat(text_of(entry, "endDateTime")).date()
    except ValueError:
        return None
