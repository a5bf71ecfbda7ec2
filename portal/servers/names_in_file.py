"""Names of connections and servers that entries of the settings file refer to, stored or brought by the same file."""

from __future__ import annotations

from collections.abc import Iterable

from portal.servers.stored import name_key
from portal.settings_file import Node
from portal.wording import Text


def known_names(node: Node, section: str, stored: Iterable[str]) -> dict[str, str]:
    """By what makes two names the same: those that the file's own section brings or leaves; stored ones as stored."""
    listed = node.root.child(section) if node.root else None
    items = listed.items() if listed else ()
    brought = [item.text("name") or "" for item in items if not item.boolean("absent")]
    gone = {name_key(item.text("name") or "") for item in items if item.boolean("absent")}
    return {name_key(one): one for one in [*filter(None, brought), *stored] if name_key(one) not in gone}


def named(node: Node, key: str, known: dict[str, str], unknown: Text) -> str:
    """The name as it is known, "" where the entry leaves it out or empty. Raises SettingsFileError with `unknown`."""
    text = node.text(key) or ""
    if text and name_key(text) not in known:
        (node.child(key) or node).refuse(unknown)
    return known[name_key(text)] if text else ""
