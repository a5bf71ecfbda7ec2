"""One connection of the settings file: its keys read, checked, and laid over what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from portal.connections.file_fields import (
    METHOD_KEYS,
    read_provider,
    read_smtp,
    refuse_keys_of_others,
)
from portal.connections.provider_values import ProviderValues
from portal.connections.scopes import scope_problem
from portal.connections.secret_texts import check_of_secret
from portal.connections.smtp_texts import parse_name
from portal.connections.values import (
    SECRETS_OF,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
    SecretChange,
    SecretChanges,
)
from portal.mail.addresses import parse_address, parse_display_name, parse_mailbox
from portal.placeholders import allowing, check_sender, has_placeholder
from portal.settings_file import Node
from portal.wording import N_

ROLES = (Role.DEFAULT, Role.FALLBACK, Role.AVAILABLE, Role.DRAFT)
SENDER_TEXTS: dict[str, Callable[[str], str]] = {
    "display_name": allowing(parse_display_name),
    "reply_to": allowing(parse_address),
    "envelope_from": allowing(parse_address),
}
KEYS = (
    *("name", "absent", "method", "role", "fallback_order", "from_address", *SENDER_TEXTS),
    *("messages_per_minute", "max_connections", *sorted(METHOD_KEYS)),
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
    name = node.checked("name", parse_name) or node.required_text("name")
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
        node.refuse(N_("method is missing: a new connection needs one of %(methods)s", methods=", ".join(Method)))
    values = replace(present or ConnectionValues(name=item.name, method=method), method=method)
    refuse_keys_of_others(node, method)
    if method is Method.SMTP:
        values = replace(values, smtp=read_smtp(node, values.smtp))
    elif values.typed_provider is not None:
        values = values.with_provider(_usable(node, method, read_provider(node, values.typed_provider)))
    return replace(values, **_sender(node), **_limits(node), **_role(node))


def secrets_of_item(item: FileItem, method: Method, *, stored: Mapping[str, str]) -> SecretChanges:
    """What is to become of the method's secrets; one that is stored already is kept. Raises SettingsFileError."""
    return {field: _secret(item.node, field, method, stored.get(field)) for field in SECRETS_OF[method]}


def _secret(node: Node, field: str, method: Method, stored: str | None) -> SecretChange:
    given = node.secret(field)
    if given is None:
        return SecretChange()
    secret = (node.child(field) or node).passed(given.value, check_of_secret(field, method))
    if not secret:
        return SecretChange(SecretAction.CLEAR)
    return SecretChange() if secret == stored else SecretChange(SecretAction.REPLACE, secret)


def _usable(node: Node, method: Method, own: ProviderValues) -> ProviderValues:
    """The same, unless the file itself makes scopes of it that cannot send. Raises SettingsFileError."""
    key = next((key for key in ("scope", "send_through", "cloud") if node.has(key)), None)
    problem = scope_problem(method, own) if key else None
    if key and problem:
        (node.child(key) or node).refuse(problem)
    return own


def _role(node: Node) -> dict[str, Any]:
    role = node.choice("role", [str(role) for role in ROLES])
    named: dict[str, Any] = {"role": Role(role)} if role else {}
    if node.has("fallback_order"):
        named["fallback_order"] = node.integer("fallback_order", 1, 1_000)
    return named


def _sender(node: Node) -> dict[str, Any]:
    """A name given with the From address counts where the file names no other."""
    named: dict[str, Any] = {key: node.checked(key, check) for key, check in SENDER_TEXTS.items()}
    text = node.text("from_address")
    if text is not None:
        named["from_address"] = ""
    if text:
        named["from_address"] = (node.child("from_address") or node).passed(text, check_sender)
        typed_name = "" if has_placeholder(text) else parse_mailbox(text).display_name
        named["display_name"] = named["display_name"] or typed_name or None
    return {key: value for key, value in named.items() if value is not None}


def _limits(node: Node) -> dict[str, Any]:
    highest = {"messages_per_minute": 100_000, "max_connections": 50}
    return {key: node.integer(key, 1, most) for key, most in highest.items() if node.has(key)}
