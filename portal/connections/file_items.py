"""One connection of the settings file: its keys read, checked, and laid over what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from portal.connections.smtp_texts import (
    parse_ca_certificate,
    parse_helo_name,
    parse_host,
    parse_name,
    parse_password,
    parse_sign_in_name,
)
from portal.connections.values import (
    DEFAULT_TIMEOUT_SECONDS,
    PASSWORD,
    USUAL_PORTS,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
    SecretChange,
    SMTPValues,
    usual_security,
)
from portal.mail.addresses import parse_address, parse_display_name, parse_mailbox
from portal.settings_file import Node
from portal.transports.smtp_settings import Auth, Security
from portal.wording import N_

ROLES = (Role.DEFAULT, Role.AVAILABLE, Role.DRAFT)
SMTP_TEXTS: dict[str, Callable[[str], str]] = {
    "host": parse_host,
    "ca_certificate": parse_ca_certificate,
    "username": parse_sign_in_name,
    "domain": parse_sign_in_name,
    "helo_name": parse_helo_name,
}
SENDER_TEXTS: dict[str, Callable[[str], str]] = {
    "display_name": parse_display_name,
    "reply_to": parse_address,
    "envelope_from": parse_address,
}
SMTP_KEYS = (*SMTP_TEXTS, "port", "security", "verify_certificate", "auth", "timeout_seconds", PASSWORD)
KEYS = (
    *("name", "absent", "method", "role", "from_address", *SENDER_TEXTS),
    *("messages_per_minute", "max_connections", *SMTP_KEYS),
)


@dataclass(frozen=True)
class FileItem:
    """An entry of the list. `is_absent`: it is to be removed."""

    node: Node
    name: str
    is_absent: bool


def read_item(node: Node) -> FileItem:
    """The entry's name and whether it is to go. Raises SettingsFileError."""
    node.refuse_unknown(KEYS)
    name = _checked(node, "name", parse_name) or node.required_text("name")
    is_absent = bool(node.boolean("absent"))
    if is_absent and set(node.mapping()) - {"name", "absent"}:
        node.refuse(N_("an absent connection has a name and nothing else"))
    return FileItem(node, name, is_absent)


def values_of_item(item: FileItem, present: ConnectionValues | None) -> ConnectionValues:
    """The present values, or those of a new connection, with what the entry names. Raises SettingsFileError."""
    node = item.node
    named = node.choice("method", [str(method) for method in Method])
    if named is not None:
        method = Method(named)
    elif present is not None:
        method = present.method
    else:
        node.refuse(N_("method is missing: a new connection needs one of smtp, builtin, capture"))
    values = replace(present or ConnectionValues(name=item.name, method=method), method=method)
    if method is not Method.SMTP:
        _refuse_smtp_keys(node, method)
    smtp = _smtp(node, values.smtp) if method is Method.SMTP else values.smtp
    return replace(values, smtp=smtp, **_sender(node), **_limits(node), **_role(node))


def secret_of_item(item: FileItem, *, stored: str | None) -> SecretChange:
    """What is to become of the password; one that is stored already is kept. Raises SettingsFileError."""
    given = item.node.secret(PASSWORD)
    if given is None:
        return SecretChange()
    password = _read(item.node, PASSWORD, given.value, parse_password)
    if not password:
        return SecretChange(SecretAction.CLEAR)
    return SecretChange() if password == stored else SecretChange(SecretAction.REPLACE, password)


def _checked(node: Node, key: str, check: Callable[[str], str]) -> str | None:
    """The checked text of `key`: "" where it is empty, None where the file does not name it."""
    text = node.text(key)
    return _read(node, key, text, check) if text else text


def _read(node: Node, key: str, text: str, check: Callable[[str], str]) -> str:
    """The checked text; what stands against it is refused at the key's own line."""
    try:
        return check(text)
    except ValueError as error:
        reason = getattr(error, "reason", None)
        if reason is None:
            raise
        (node.child(key) or node).refuse(reason)


def _smtp(node: Node, present: SMTPValues) -> SMTPValues:
    named: dict[str, Any] = {key: _checked(node, key, check) for key, check in SMTP_TEXTS.items()}
    named["verify_certificate"] = node.boolean("verify_certificate")
    security = node.choice("security", [str(security) for security in Security])
    auth = node.choice("auth", [str(auth) for auth in Auth])
    smtp = replace(present, **{key: value for key, value in named.items() if value is not None})
    follows_security = smtp.port in {None, USUAL_PORTS[smtp.security]}
    if node.has("port"):
        smtp = replace(smtp, port=node.integer("port", 1, 65535))
    if node.has("timeout_seconds"):
        smtp = replace(smtp, timeout_seconds=node.integer("timeout_seconds", 1, 600) or DEFAULT_TIMEOUT_SECONDS)
    is_first = not present.host
    if security or is_first:
        smtp = replace(smtp, security=Security(security) if security else usual_security(smtp.port))
    if smtp.port is None or (follows_security and not node.has("port")):
        smtp = replace(smtp, port=USUAL_PORTS[smtp.security])
    if auth or is_first:
        smtp = replace(smtp, auth=Auth(auth) if auth else Auth.PASSWORD if smtp.username else Auth.NONE)
    return smtp


def _refuse_smtp_keys(node: Node, method: Method) -> None:
    for key, child in node.mapping().items():
        if key in SMTP_KEYS:
            child.refuse(
                N_("%(key)s belongs to method smtp, and this connection is %(method)s", key=key, method=method)
            )


def _role(node: Node) -> dict[str, Any]:
    role = node.choice("role", [str(role) for role in ROLES])
    return {"role": Role(role)} if role else {}


def _sender(node: Node) -> dict[str, Any]:
    """A name given with the From address counts where the file names no other."""
    named: dict[str, Any] = {key: _checked(node, key, check) for key, check in SENDER_TEXTS.items()}
    text = node.text("from_address")
    if text is not None:
        named["from_address"] = ""
    if text:
        named["from_address"] = _read(node, "from_address", text, lambda mailbox: parse_mailbox(mailbox).address)
        named["display_name"] = named["display_name"] or parse_mailbox(text).display_name or None
    return {key: value for key, value in named.items() if value is not None}


def _limits(node: Node) -> dict[str, Any]:
    highest = {"messages_per_minute": 100_000, "max_connections": 50}
    return {key: node.integer(key, 1, most) for key, most in highest.items() if node.has(key)}
