"""The stand-in's Microsoft Graph: who asks, may they, and what they get to see; mail is handed on."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from tests.outside.microsoft_directory import GRAPH, App, Directory, Mailbox
from tests.outside.microsoft_errors import GraphRefused
from tests.outside.microsoft_scripts import Call
from tests.outside.microsoft_tokens import Clock, Mint
from tests.outside.stand_in_http import Answer, Request, json_answer

_GRAPH_APP = "00000003-0000-0000-c000-000000000000"
_READS_USERS = frozenset({"User.Read.All", "User.ReadBasic.All"})


@dataclass(frozen=True)
class Caller:
    """Whom an access token stands for."""

    app: App
    account: Mailbox | None  # None: the app itself
    permissions: frozenset[str]


class Doorkeeper:
    """Reads access tokens, and lets so many requests for one mailbox in at a time."""

    def __init__(
        self, directory: Directory, mint: Mint, login_url: str, clock: Clock, *, most_at_once: int | None
    ) -> None:
        self._directory = directory
        self._mint = mint
        self._login_url = login_url
        self._clock = clock
        self._most_at_once = most_at_once
        self._inside: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()

    def caller(self, request: Request) -> Caller:
        """Raises GraphRefused 401 for a token that is not good here."""
        if not request.bearer:
            raise self._refused("Access token is empty.")
        try:
            claims = self._mint.read(request.bearer)
        except jwt.InvalidTokenError:
            raise self._refused("Access token validation failure.") from None
        if claims["aud"] not in {GRAPH, self._directory.own_graph, _GRAPH_APP}:
            raise self._refused("Access token validation failure. Invalid audience.")
        if not claims["nbf"] <= self._clock().timestamp() < claims["exp"]:
            raise self._refused("Lifetime validation failed, the token is expired.")
        app = self._directory.apps[claims["appid"].lower()]
        if claims["idtyp"] == "app":
            return Caller(app, None, frozenset(claims.get("roles", [])))
        account = self._directory.mailbox(claims["oid"])
        assert account is not None
        return Caller(app, account, frozenset(claims["scp"].split()))

    @contextmanager
    def room(self, call: Call) -> Iterator[bool]:
        """Whether there is room for one more request of this app for this mailbox; it counts until the end."""
        place = self._app_of(call.request), call.parts.get("user", "me").lower()
        with self._counting:
            self._inside[place] += 1
            has_room = self._most_at_once is None or self._inside[place] <= self._most_at_once
        try:
            yield has_room
        finally:
            with self._counting:
                self._inside[place] -= 1

    def _refused(self, message: str) -> GraphRefused:
        return GraphRefused(
            401, "InvalidAuthenticationToken", message, headers={"WWW-Authenticate": _challenge(self._login_url)}
        )

    def _app_of(self, request: Request) -> str:
        try:
            return str(self._mint.read(request.bearer)["appid"])
        except jwt.InvalidTokenError:
            return ""


def claims_challenge(login_url: str) -> dict[str, str]:
    """The header of a 401 that asks for a token of a later date (continuous access evaluation)."""
    claims = b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()
    return {"WWW-Authenticate": f'{_challenge(login_url)}, error="insufficient_claims", claims="{claims}"'}


def _challenge(login_url: str) -> str:
    authorize = f"{login_url}/common/oauth2/authorize"
    return f'Bearer realm="", authorization_uri="{authorize}", client_id="{_GRAPH_APP}"'


class Lookups:
    """Reading: oneself, users, applications."""

    def __init__(self, directory: Directory, doorkeeper: Doorkeeper) -> None:
        self._directory = directory
        self._doorkeeper = doorkeeper

    def me(self, call: Call) -> Answer:
        caller = self._doorkeeper.caller(call.request)
        if caller.account is None:
            raise GraphRefused(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        if not caller.permissions & {"User.Read", *_READS_USERS}:
            raise GraphRefused(403, "Authorization_RequestDenied")
        return _selected(call, _user(caller.account))

    def user(self, call: Call) -> Answer:
        caller = self._doorkeeper.caller(call.request)
        mailbox = self._directory.mailbox(call.parts["user"])
        is_oneself = mailbox is not None and caller.account is mailbox and "User.Read" in caller.permissions
        if not is_oneself and not caller.permissions & _READS_USERS:
            raise GraphRefused(403, "Authorization_RequestDenied")
        if mailbox is None:
            raise _not_there(call.parts["user"])
        return _selected(call, _user(mailbox))

    def application(self, call: Call) -> Answer:
        caller = self._doorkeeper.caller(call.request)
        if "Application.Read.All" not in caller.permissions:
            raise GraphRefused(403, "Authorization_RequestDenied")
        app = self._directory.apps.get(call.parts["app"].lower())
        if app is None or app.tenant is not (caller.account or caller.app).tenant:
            raise _not_there(call.parts["app"])
        return _selected(call, _application(app))


def _selected(call: Call, resource: dict[str, Any]) -> Answer:
    """What `$select` names; all without it."""
    names = [name.strip() for name in call.request.query.get("$select", "").split(",") if name.strip()]
    return json_answer({name: resource[name] for name in names if name in resource} if names else resource)


def _user(mailbox: Mailbox) -> dict[str, Any]:
    return {
        "id": mailbox.object_id,
        "displayName": mailbox.display_name,
        "mail": mailbox.address if mailbox.has_exchange else None,
        "userPrincipalName": mailbox.user_principal_name,
        "proxyAddresses": [
            *([f"SMTP:{mailbox.address}"] if mailbox.has_exchange else []),
            *(f"smtp:{alias}" for alias in mailbox.aliases),
        ],
    }


def _application(app: App) -> dict[str, Any]:
    passwords = [
        {
            "customKeyIdentifier": None,
            "displayName": "Mail Portal",
            "endDateTime": _stamp(expires_at or datetime(2299, 12, 31, tzinfo=UTC)),
            "hint": value[:3],
            "keyId": app.secret_id(value),
            "secretText": None,
        }
        for value, expires_at in app.secrets.items()
    ]
    keys = [
        {
            "displayName": certificate.subject.rfc4514_string(),
            "endDateTime": _stamp(certificate.not_valid_after_utc),
            "key": None,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        }
        for certificate in app.certificates
    ]
    return {
        "id": app.object_id,
        "appId": app.client_id,
        "displayName": app.display_name,
        "passwordCredentials": passwords,
        "keyCredentials": keys,
    }


def _not_there(name: str) -> GraphRefused:
    message = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return GraphRefused(404, "Request_ResourceNotFound", message)


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
