"""The section `servers` of the settings file. Keys and log-ins are no settings: they are made on the page alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit
from portal.connections import connection_names
from portal.servers import saving
from portal.servers.file_items import KEYS, read_values
from portal.servers.names_in_file import known_names
from portal.servers.sender_matrix import Decisions, why_not_its_sender
from portal.servers.sender_section import still_decided
from portal.servers.stored import StoredServer, all_servers, find_named, lock_all, name_key
from portal.servers.values import ServerValues, check_name
from portal.settings_file import Change, Node, Section
from portal.wording import N_

_LEFT_OUT = {"enabled": True, "exempt": False, "unlisted_sender": "rewrite", "allows_cram_md5": False}


@dataclass(frozen=True)
class _Wish:
    """An entry of the file beside what is stored. `values` is None where the server is to go."""

    node: Node
    name: str
    stored: StoredServer | None
    values: ServerValues | None


def describe(session: Session) -> list[dict[str, Any]]:
    """Every server; what is inherited or as usual is left out."""
    names = {connection_id: name for name, connection_id in connection_names(session).items()}
    return [_described(one.values, names) for one in all_servers(session)]


def plan(session: Session, node: Node) -> list[Change]:
    """What `apply` would change. Raises SettingsFileError."""
    return _changes(session, *_planned(session, node))


def apply(session: Session, node: Node, actor: audit.Actor, now: datetime) -> list[Change]:
    """Store what the file names. Raises SettingsFileError."""
    lock_all(session)  # what the file does not name stays as it is now
    wishes = _wishes(session, node, _by_key(connection_names(session)))
    changes = _changes(session, wishes, {})
    for wish in wishes:
        if wish.values is None:
            if wish.stored:
                saving.delete(session, wish.stored.id, actor=actor, now=now)
        elif wish.stored is None:
            saving.create(session, wish.values, actor=actor, now=now)
        else:
            saving.change(session, wish.stored.id, wish.values, actor=actor, now=now)
    return changes


section: Section[audit.Actor] = Section("servers", describe, plan, apply)


def coming(session: Session, file: Node | None) -> dict[str, ServerValues]:
    """The servers that there are once the whole `file` is applied, by `name_key`. Raises SettingsFileError."""
    found = {name_key(one.values.name): one.values for one in all_servers(session)}
    listed = file.child(section.key) if file else None
    for wish in _planned(session, replace(listed, root=file))[0] if listed else ():
        found.pop(name_key(wish.name), None)
        if wish.values is not None:
            found[name_key(wish.name)] = wish.values
    return found


def _planned(session: Session, node: Node) -> tuple[list[_Wish], dict[str, UUID]]:
    """The entries, and the connections that there will be, by name; stand-ins for ids that are still to come."""
    stored = connection_names(session)
    known = known_names(node, "connections", stored).values()
    ids = {name: stored.get(name) or UUID(int=number) for number, name in enumerate(known, 1)}
    return _wishes(session, node, _by_key(ids)), ids


def _wishes(session: Session, node: Node, connections: Mapping[str, UUID]) -> list[_Wish]:
    wishes: list[_Wish] = []
    seen: set[str] = set()
    decided = still_decided(session, node.root)
    for item in node.items():
        item.refuse_unknown(KEYS)
        name = item.required_text("name")
        if name_key(name) in seen:
            item.refuse(N_("the server %(name)s stands in the file twice", name=name))
        seen.add(name_key(name))
        wishes.append(_wish(session, item, name, connections, decided))
    return wishes


def _wish(session: Session, item: Node, name: str, connections: Mapping[str, UUID], decided: Decisions) -> _Wish:
    stored = find_named(session, item.passed(name, check_name))
    if item.boolean("absent"):
        if set(item.mapping()) - {"name", "absent"}:
            item.refuse(N_("an absent server has a name and nothing else"))
        return _Wish(item, name, stored, None)
    values = read_values(item, stored.values if stored else None, connections=connections)
    reason = why_not_its_sender(session, values, stored.values if stored else None, decided)
    if reason is not None:
        (item.child("from_address") or item).refuse(reason)
    return _Wish(item, name, stored, values)


def _changes(session: Session, wishes: list[_Wish], brought: Mapping[str, UUID]) -> list[Change]:
    names = {connection_id: name for name, connection_id in connection_names(session).items()}
    names = {connection_id: name for name, connection_id in brought.items()} | names
    return [change for wish in wishes for change in _changes_of(wish, names)]


def _changes_of(wish: _Wish, names: Mapping[UUID, str]) -> Iterator[Change]:
    path = f"servers.{wish.name}"
    if wish.values is None:
        if wish.stored:
            yield Change(path, wish.stored.values.name, None)
        return
    if wish.stored is None:
        yield Change(f"{path}.name", None, wish.values.name)
        before: dict[str, Any] = {}
    else:
        before = _described(wish.stored.values, names)
    after = _described(wish.values, names)
    for key in KEYS:
        old, new = _shown(before.get(key)), _shown(after.get(key))
        if old != new and not (key == "name" and wish.stored is None):
            yield Change(f"{path}.{key}", old, new)


def _described(values: ServerValues, names: Mapping[UUID, str]) -> dict[str, Any]:
    own = values.connection_id
    plain: dict[str, Any] = {
        **{key: getattr(values, key) for key in KEYS if hasattr(values, key)},
        "enabled": values.is_enabled,
        "exempt": values.is_exempt,
        "connection": names.get(own, "") if own else "",
        "allowed_senders": list(values.allowed_senders),
        "networks": list(values.networks),
        "legacy_networks": list(values.legacy_networks),
        "variables": dict(values.variables),
    }
    found = {
        key: plain[key]
        for key in KEYS
        if key in plain and plain[key] not in ("", None, [], {}) and plain[key] != _LEFT_OUT.get(key)
    }
    if values.fallback_ids is not None:
        found["fallbacks"] = [names[one] for one in values.fallback_ids if one in names]
    return found


def _shown(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(value)
        case dict():
            return ", ".join(f"{name}={text}" for name, text in value.items())
    return str(value)


def _by_key(names: Mapping[str, UUID]) -> dict[str, UUID]:
    return {name_key(name): connection_id for name, connection_id in names.items()}
