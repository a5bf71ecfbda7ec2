"""The section `connections` of the settings file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from portal import audit
from portal.connections import saving, secrets
from portal.connections.file_items import FileItem, read_item, secret_of_item, values_of_item
from portal.connections.stored import StoredConnection, all_connections, find_named, name_key
from portal.connections.values import (
    DEFAULT_TIMEOUT_SECONDS,
    PASSWORD,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
    SecretChange,
)
from portal.secret_box import SecretBox, Unreadable
from portal.settings_file import Change, Node, Section
from portal.wording import N_

_LEFT_OUT = {"verify_certificate": True, "timeout_seconds": DEFAULT_TIMEOUT_SECONDS}  # where they are as usual
_SMTP_ORDER = ("host", "port", "security", "verify_certificate", "ca_certificate", "auth", "username", "domain")
_ORDER = (
    *("name", "method", "role", *_SMTP_ORDER, "helo_name", "timeout_seconds"),
    *("from_address", "display_name", "reply_to", "envelope_from", "messages_per_minute", "max_connections"),
)


@dataclass(frozen=True)
class _Wish:
    """An entry of the file beside what is stored."""

    item: FileItem
    stored: StoredConnection | None
    values: ConnectionValues | None  # None: it is to go
    secret: SecretChange

    @property
    def claims_default(self) -> bool:
        """Whether the file itself says that this is the default."""
        return self.values is not None and self.values.role is Role.DEFAULT and self.item.node.has("role")


def make_section(box: SecretBox) -> Section[audit.Actor]:
    """The section, which needs the box to tell whether a password is the stored one."""
    return Section("connections", partial(describe, box=box), partial(plan, box=box), partial(apply, box=box))


def describe(session: Session, *, box: SecretBox) -> list[dict[str, Any]]:
    """Every connection without its secrets; what is as usual is left out."""
    return [_described(one.values) for one in all_connections(session, box=box)]


def plan(session: Session, node: Node, *, box: SecretBox) -> list[Change]:
    """What `apply` would change. Raises SettingsFileError."""
    return _changes(_wishes(session, node, box), all_connections(session, box=box))


def apply(session: Session, node: Node, actor: audit.Actor, now: datetime, *, box: SecretBox) -> list[Change]:
    """Store what the file names. Raises SettingsFileError."""
    wishes = _wishes(session, node, box)
    changes = _changes(wishes, all_connections(session, box=box))
    for wish in sorted(wishes, key=lambda wish: wish.values is None):
        _grant(session, wish, box=box, actor=actor, now=now)
    return changes


def _grant(session: Session, wish: _Wish, *, box: SecretBox, actor: audit.Actor, now: datetime) -> None:
    if wish.values is None:
        if wish.stored:
            saving.delete(session, wish.stored.id, actor=actor, now=now)
    elif wish.stored is None:
        saving.create(session, wish.values, wish.secret, box=box, actor=actor, now=now)
    else:
        saving.change(session, wish.stored.id, wish.values, wish.secret, box=box, actor=actor, now=now)


def _wishes(session: Session, node: Node, box: SecretBox) -> list[_Wish]:
    wishes: list[_Wish] = []
    seen: set[str] = set()
    for item in map(read_item, node.items()):
        if name_key(item.name) in seen:
            item.node.refuse(N_("the connection %(name)s stands in the file twice", name=item.name))
        seen.add(name_key(item.name))
        wishes.append(_wish(session, item, box))
    heirs = [wish for wish in wishes if wish.claims_default]
    if len(heirs) > 1:
        heirs[1].item.node.refuse(N_("a second default: there can be only one"))
    return [_with_heir(wish, heirs[0]) for wish in wishes] if heirs else [_without_heir(wish) for wish in wishes]


def _with_heir(wish: _Wish, heir: _Wish) -> _Wish:
    """Beside a new default, an entry that names no role for the old one leaves it available."""
    if wish is heir or wish.values is None or wish.values.role is not Role.DEFAULT:
        return wish
    return replace(wish, values=replace(wish.values, role=Role.AVAILABLE))


def _without_heir(wish: _Wish) -> _Wish:
    if wish.values is None and wish.stored and wish.stored.values.role is Role.DEFAULT:
        wish.item.node.refuse(N_("this is the default connection: make another one the default first"))
    return wish


def _wish(session: Session, item: FileItem, box: SecretBox) -> _Wish:
    stored = find_named(session, item.name, box=box)
    if item.is_absent:
        return _Wish(item, stored, None, SecretChange())
    values = values_of_item(item, stored.values if stored else None)
    secret = secret_of_item(item, stored=_stored_password(session, stored, values, box))
    _refuse_lack_of_password(item, values, secret, stored)
    return _Wish(item, stored, values, secret)


def _stored_password(
    session: Session, stored: StoredConnection | None, values: ConnectionValues, box: SecretBox
) -> str | None:
    """The stored password, if it may stay for these values."""
    row = secrets.find_password(session, stored.id) if stored else None
    opened = secrets.open_password(row, values.smtp, box=box) if row else None
    return None if opened is None or isinstance(opened, Unreadable) else opened


def _refuse_lack_of_password(
    item: FileItem, values: ConnectionValues, secret: SecretChange, stored: StoredConnection | None
) -> None:
    """Only where this entry causes it: a password that was lacking before does not stop other changes."""
    is_touched = stored is None or (values.method, values.smtp) != (stored.values.method, stored.values.smtp)
    if values.role is Role.DRAFT or not (is_touched or secret.action is not SecretAction.KEEP):
        return
    reason = secrets.why_password_is_needed(
        values,
        secret,
        stored_for=stored.values.smtp if stored and stored.password_stored_at else None,
        is_readable=True,
    )
    if reason:
        place = item.node.child(PASSWORD)
        if place is None:
            place = replace(item.node, path=f"{item.node.path}.{PASSWORD}")
        place.refuse(reason)


def _changes(wishes: Sequence[_Wish], stored: Sequence[StoredConnection]) -> list[Change]:
    changes = [change for wish in wishes for change in _changes_of(wish)]
    named = {wish.stored.id for wish in wishes if wish.stored}
    if any(wish.claims_default for wish in wishes):
        changes += [
            Change(f"connections.{one.values.name}.role", Role.DEFAULT, Role.AVAILABLE)
            for one in stored
            if one.values.role is Role.DEFAULT and one.id not in named
        ]
    return changes


def _changes_of(wish: _Wish) -> list[Change]:
    path = f"connections.{wish.item.name}"
    if wish.values is None:
        return [Change(path, wish.stored.values.method, None)] if wish.stored else []
    before = wish.stored.values.named() if wish.stored else {}
    after = wish.values.named() if wish.stored else _described(wish.values)
    changes = [
        Change(f"{path}.{name}", _shown(before.get(name)), _shown(after[name]))
        for name in _ORDER
        if name in after and before.get(name) != after[name]
    ]
    if wish.secret.action is SecretAction.REPLACE or _drops_password(wish):
        changes.append(Change(f"{path}.{PASSWORD}", is_secret=True))
    return changes


def _drops_password(wish: _Wish) -> bool:
    if wish.stored is None or wish.values is None or wish.stored.password_stored_at is None:
        return False
    is_moved = wish.stored.values.smtp.destination != wish.values.smtp.destination
    return is_moved or wish.secret.action is SecretAction.CLEAR


def _described(values: ConnectionValues) -> dict[str, Any]:
    """The settings that say something, in the order in which people read them."""
    hidden = () if values.method is Method.SMTP else (*_SMTP_ORDER, "helo_name", "timeout_seconds")
    named = values.named()
    return {
        name: named[name] if isinstance(named[name], bool | int) else str(named[name])
        for name in _ORDER
        if name not in hidden and named[name] not in {None, ""} and named[name] != _LEFT_OUT.get(name)
    }


def _shown(value: str | int | bool | None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or value == "" else str(value)
