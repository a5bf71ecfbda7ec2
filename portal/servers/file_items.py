"""One server of the settings file: its keys read, checked, and laid over what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from portal.mail.addresses import Mailbox, parse_address, parse_display_name, parse_mailbox
from portal.placeholders import allowing, has_placeholder, names_server
from portal.servers import values
from portal.servers.stored import name_key
from portal.servers.values import ServerValues
from portal.settings_file import Node
from portal.wording import N_

_TEXTS: dict[str, Callable[[str], str]] = {
    "description": values.check_description,
    "display_name": parse_display_name,
    "reply_to": parse_address,
    "automatic_bcc": parse_address,
}
_NUMBERS = {
    "messages_per_minute": values.MOST_MESSAGES,
    "messages_per_day": values.MOST_MESSAGES,
    "largest_message": values.LARGEST_MESSAGE,
    "most_recipients": values.MOST_RECIPIENTS,
}
_LISTS: dict[str, Callable[[str], str]] = {
    "allowed_senders": values.check_sender,
    "networks": values.check_network,
    "legacy_networks": values.check_network,
}
_PLACES: dict[str, Callable[[str], str]] = {  # where placeholders may stand
    "from_address": parse_address,
    "display_name": parse_display_name,
    "reply_to": parse_address,
    "automatic_bcc": parse_address,
}
KEYS = (
    *("name", "absent", "description", "enabled", "exempt", "from_address", "display_name", "reply_to"),
    *("automatic_bcc", "format", "connection", "fallbacks", *_NUMBERS, "allowed_senders", "unlisted_sender"),
    *("networks", "legacy_networks", "allows_cram_md5", "variables"),
)


def read_values(node: Node, present: ServerValues | None, *, connections: Mapping[str, UUID]) -> ServerValues:
    """The present values, or those of a new server, with what the entry names. Raises SettingsFileError.

    `connections` are the ids by the folded names. An empty value is inherited again.
    """
    named: dict[str, Any] = {"name": _checked(node, "name", values.check_name)}
    named |= {key: _checked(node, key, check) for key, check in _TEXTS.items() if node.has(key)}
    named |= {key: node.integer(key, 1, most) for key, most in _NUMBERS.items() if node.has(key)}
    named |= {key: _listed(node, key, check) for key, check in _LISTS.items() if node.has(key)}
    for key, field in (("enabled", "is_enabled"), ("exempt", "is_exempt"), ("allows_cram_md5", "allows_cram_md5")):
        if node.has(key):
            named[field] = node.boolean(key)
    if node.has("format"):
        named["format"] = node.choice("format", ("", *values.FORMATS))
    if node.has("unlisted_sender"):
        named["unlisted_sender"] = node.choice("unlisted_sender", values.UNLISTED_SENDER)
    if node.has("connection"):
        named["connection_id"] = _connection(node.child("connection"), connections)
    if fallbacks := node.child("fallbacks"):
        named["fallback_ids"] = None if fallbacks.is_null() else _fallbacks(fallbacks, connections)
    if variables := node.child("variables"):
        named["variables"] = dict(_variable(one, name) for name, one in variables.mapping().items())
    found = replace(_with_sender(node, named, present or ServerValues(name="")), **named)
    _check_placeholders(node, found)
    return found


def _with_sender(node: Node, named: dict[str, Any], present: ServerValues) -> ServerValues:
    """A name that stands with the address goes before the stored one, unless the file names another."""
    if not node.has("from_address"):
        return present
    sender = _checked(node, "from_address", parse_mailbox)
    if not isinstance(sender, Mailbox):
        return replace(present, from_address=sender)
    name = sender.display_name or present.display_name
    return replace(present, from_address=sender.address, display_name=named.get("display_name", name))


def _checked(node: Node, key: str, check: Callable[[str], Any]) -> Any:
    """The checked text of `key`, "" where it is empty; one with placeholders is checked once all is read."""
    text = node.text(key)
    if text and has_placeholder(text) and key in _PLACES:
        return text
    return (node.child(key) or node).passed(text, check) if text else ""


def _check_placeholders(node: Node, found: ServerValues) -> None:
    """What stands for nothing, or for what the field cannot hold, is refused: at the key's own line where it has one.

    A text that is stored already counts too, since it may name a variable that the entry takes away.
    """
    variables = found.placeholders()
    for key, check in _PLACES.items():
        text: str = getattr(found, key)
        is_touched = node.has(key) or (node.has("variables") and names_server(text))
        if is_touched and has_placeholder(text):
            (node.child(key) or node.child("variables") or node).passed(text, allowing(check, variables))


def _listed(node: Node, key: str, check: Callable[[str], str]) -> tuple[str, ...]:
    found = node.child(key)
    items = found.items() if found else ()
    if found and len(items) > values.MOST_LISTED:
        found.refuse(N_("expected at most %(most)s entries", most=values.MOST_LISTED))
    return tuple(dict.fromkeys(item.passed(item.as_text(), check) for item in items))


def _variable(node: Node, name: str) -> tuple[str, str]:
    return node.passed(f"{name}={node.as_text()}", values.check_variable)


def _fallbacks(node: Node, connections: Mapping[str, UUID]) -> tuple[UUID, ...]:
    """Each once, in the order given; no more than the page can show, which would drop the others."""
    items = node.items()
    if len(items) > values.MOST_FALLBACKS:
        node.refuse(N_("expected at most %(most)s entries", most=values.MOST_FALLBACKS))
    found: list[UUID] = []
    for item in items:
        connection_id = _connection(item, connections)
        if connection_id is None:
            item.refuse(N_("expected the name of a connection"))
        found.append(connection_id)
    return tuple(dict.fromkeys(found))


def _connection(node: Node | None, connections: Mapping[str, UUID]) -> UUID | None:
    if node is None or not (name := node.as_text()):
        return None
    found = connections.get(name_key(name))
    if found is None:
        node.refuse(N_("there is no connection %(name)s", name=name))
    return found
