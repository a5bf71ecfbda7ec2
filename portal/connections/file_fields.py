"""The settings of one method in the settings file: read, checked, and laid over what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from portal.connections.oauth.provider import Cloud
from portal.connections.provider_texts import PROVIDER_TEXTS
from portal.connections.provider_values import SERVER_FIELDS, Credential, ProviderValues, SendThrough
from portal.connections.smtp_texts import parse_ca_certificate, parse_helo_name, parse_host, parse_sign_in_name
from portal.connections.smtp_values import DEFAULT_TIMEOUT_SECONDS, USUAL_PORTS, SMTPValues, usual_security
from portal.connections.values import PROVIDER_METHODS, SECRETS_OF, Method
from portal.placeholders import allowing
from portal.settings_file import Node
from portal.transports.smtp_settings import Auth, Security
from portal.wording import N_

SERVER_TEXTS: Mapping[str, Callable[[str], str]] = {
    "host": allowing(parse_host),
    "ca_certificate": parse_ca_certificate,
    "helo_name": allowing(parse_helo_name),
}
SIGN_IN_TEXTS: Mapping[str, Callable[[str], str]] = {
    "username": allowing(parse_sign_in_name),
    "domain": allowing(parse_sign_in_name),
}
_PROVIDER_CHOICES = {"cloud": Cloud, "send_through": SendThrough, "credential": Credential}
_AUTHS = [auth for auth in Auth if auth is not Auth.XOAUTH2]  # which follows from the method
_KEYS: Mapping[Method, frozenset[str]] = {
    method: frozenset(SECRETS_OF[method])
    | (frozenset({*SERVER_FIELDS, *SIGN_IN_TEXTS, "auth"}) if method is Method.SMTP else frozenset())
    | (frozenset({*SERVER_FIELDS, *PROVIDER_TEXTS, *_PROVIDER_CHOICES}) if method in PROVIDER_METHODS else frozenset())
    for method in Method
}
METHOD_KEYS = frozenset().union(*_KEYS.values())


def refuse_keys_of_others(node: Node, method: Method) -> None:
    """Raise SettingsFileError for a key that the method does not have."""
    for key, child in node.mapping().items():
        if key in METHOD_KEYS and key not in _KEYS[method]:
            owners = ", ".join(str(one) for one in Method if key in _KEYS[one])
            child.refuse(
                N_(
                    "%(key)s belongs to method %(owners)s, and this connection is %(method)s",
                    key=key,
                    owners=owners,
                    method=method,
                )
            )


def read_smtp(node: Node, present: SMTPValues) -> SMTPValues:
    """The settings of method `smtp`. Raises SettingsFileError."""
    named = _texts(node, SIGN_IN_TEXTS)
    is_first = not present.host
    smtp = _server(node, replace(present, **named))
    auth = node.choice("auth", [str(auth) for auth in _AUTHS])
    if auth or is_first:
        smtp = replace(smtp, auth=Auth(auth) if auth else Auth.PASSWORD if smtp.username else Auth.NONE)
    if smtp.auth is Auth.DEFAULT_CREDENTIALS:
        smtp = replace(smtp, username="", domain="")  # the host's own identity is not named here
    return smtp


def read_provider(node: Node, present: ProviderValues) -> ProviderValues:
    """The settings of a provider's method. Raises SettingsFileError."""
    named = _texts(node, PROVIDER_TEXTS)
    for key, kind in _PROVIDER_CHOICES.items():
        chosen = node.choice(key, [str(one) for one in kind])
        if chosen:
            named[key] = kind(chosen)
    has_server = any(node.has(key) for key in SERVER_FIELDS)
    server = _server(node, present.server) if has_server else present.server
    return replace(present, **named, server=server)


def _texts(node: Node, checks: Mapping[str, Callable[[str], str]]) -> dict[str, Any]:
    found = {key: node.checked(key, check) for key, check in checks.items()}
    return {key: text for key, text in found.items() if text is not None}


def _server(node: Node, present: SMTPValues) -> SMTPValues:
    named = _texts(node, SERVER_TEXTS)
    verify = node.boolean("verify_certificate")
    if verify is not None:
        named["verify_certificate"] = verify
    security = node.choice("security", [str(security) for security in Security])
    smtp = replace(present, **named)
    follows_security = smtp.port in {None, USUAL_PORTS[smtp.security]}
    if node.has("port"):
        smtp = replace(smtp, port=node.integer("port", 1, 65535))
    if node.has("timeout_seconds"):
        smtp = replace(smtp, timeout_seconds=node.integer("timeout_seconds", 1, 600) or DEFAULT_TIMEOUT_SECONDS)
    is_new = not present.host and present.port is None
    if security or is_new:
        smtp = replace(smtp, security=Security(security) if security else usual_security(smtp.port))
    if smtp.port is None or (follows_security and not node.has("port")):
        smtp = replace(smtp, port=USUAL_PORTS[smtp.security])
    return smtp
