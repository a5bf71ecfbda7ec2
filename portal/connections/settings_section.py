"""The section `connections` of the settings file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

from sqlalchemy.orm import Session

from portal import audit
from portal.connections import saving, secrets
from portal.connections.file_items import FileItem, read_item, secrets_of_item, values_of_item
from portal.connections.installation import Installation
from portal.connections.lost_consents import what_becomes_of_consent, what_stays_at_providers
from portal.connections.safe_sign_in import what_is_unsafe
from portal.connections.secrets import SecretState, why_secret_is_needed
from portal.connections.smtp_values import DEFAULT_TIMEOUT_SECONDS, SMTPValues
from portal.connections.stored import StoredConnection, all_connections, find_named, name_key
from portal.connections.unfilled import destination_unfilled
from portal.connections.values import (
    KEPT,
    NO_CHANGES,
    SECRETS_OF,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
    SecretChanges,
    changes_anything,
)
from portal.secret_box import SecretBox
from portal.settings_file import Change, Node, Section
from portal.wording import N_, Text

_LEFT_OUT = {  # where they are as usual
    "verify_certificate": True,
    "timeout_seconds": DEFAULT_TIMEOUT_SECONDS,
    "cloud": "global",
    "credential": "secret",
}
_PROVIDER_ORDER = (
    *("client_id", "tenant_id", "cloud", "credential", "client_certificate", "federated_token_file"),
    *("secret_id", "secret_expires_on", "scope", "mailbox", "send_through"),
)
_SMTP_ORDER = ("host", "port", "security", "verify_certificate", "ca_certificate", "auth", "username", "domain")
_ORDER = (
    *("name", "method", "role", "fallback_order", *_PROVIDER_ORDER, *_SMTP_ORDER, "helo_name", "timeout_seconds"),
    *("from_address", "display_name", "reply_to", "envelope_from", "messages_per_minute", "max_connections"),
)


@dataclass(frozen=True)
class _Wish:
    """An entry of the file beside what is stored."""

    item: FileItem
    stored: StoredConnection | None
    values: ConnectionValues | None  # None: it is to go
    secrets: SecretChanges
    of_consent: tuple[Text, ...] = ()  # what it means for stored consents

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
    # The new default first, since it frees the former one for whatever the file wants of it.
    for wish in sorted(wishes, key=lambda wish: (not wish.claims_default, wish.values is None)):
        _grant(session, wish, box=box, actor=actor, now=now)
    return changes


def _grant(session: Session, wish: _Wish, *, box: SecretBox, actor: audit.Actor, now: datetime) -> None:
    if wish.values is None:
        if wish.stored:
            saving.delete(session, wish.stored.id, actor=actor, now=now)
    elif wish.stored is None:
        saving.create(session, wish.values, wish.secrets, box=box, actor=actor, now=now)
    else:
        saving.change(session, wish.stored.id, wish.values, wish.secrets, box=box, actor=actor, now=now)


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
    was_default = wish.stored is not None and wish.stored.values.role is Role.DEFAULT
    if was_default and (wish.values is None or wish.values.role is not Role.DEFAULT):
        place = wish.item.node.child("role") or wish.item.node
        place.refuse(N_("this is the default connection: make another one the default first"))
    return wish


def _wish(session: Session, item: FileItem, box: SecretBox) -> _Wish:
    stored = find_named(session, item.name, box=box)
    if item.is_absent:
        left = what_stays_at_providers(session, stored, box=box) if stored else ()
        return _Wish(item, stored, None, NO_CHANGES, left)
    values = values_of_item(item, stored.values if stored else None)
    changes = secrets_of_item(item, values.method, stored=_stored_secrets(session, stored, values, box))
    _refuse_secret_for_nowhere(item, values, changes)
    _refuse_lack_of_secret(item, values, changes, stored)
    _refuse_unsafe(item, values)
    lost = what_becomes_of_consent(session, stored, values, box=box) if stored else None
    return _Wish(item, stored, values, changes, (lost,) if lost else ())


def _stored_secrets(
    session: Session, stored: StoredConnection | None, values: ConnectionValues, box: SecretBox
) -> dict[str, str]:
    """The stored secrets that may stay for these values, by field."""
    return secrets.readable_secrets(session, stored.id, values, box=box) if stored else {}


def _refuse_secret_for_nowhere(item: FileItem, values: ConnectionValues, changes: SecretChanges) -> None:
    """The shell may lack the portal's variables: what it seals then, in place of a good secret, nobody could open."""
    if any(change.action is SecretAction.REPLACE for change in changes.values()):
        for field, reason in destination_unfilled(values).items():
            _refuse(item, field, reason)


def _refuse_lack_of_secret(
    item: FileItem, values: ConnectionValues, changes: SecretChanges, stored: StoredConnection | None
) -> None:
    """Only where this entry causes it: a secret that was lacking before does not stop other changes."""
    is_touched = stored is None or (values.method, values.destination) != (
        stored.values.method,
        stored.values.destination,
    )
    is_touched = is_touched or (stored is not None and _settings(values) != _settings(stored.values))
    if values.role is Role.DRAFT or not (is_touched or changes_anything(changes)):
        return
    kept = stored.secrets_of(values.method) if stored else {}
    held = {field: SecretState(one.stored_at, True) for field, one in kept.items()}
    lack = why_secret_is_needed(values, changes, stored=held, stored_for=stored.values if stored else None)
    if lack:
        _refuse(item, *lack)


def _refuse_unsafe(item: FileItem, values: ConnectionValues) -> None:
    """Also for drafts: they are checked and tried."""
    for field, reason in what_is_unsafe(values, installation=Installation.current()).items():
        _refuse(item, field, reason)


def _refuse(item: FileItem, field: str, reason: Text) -> NoReturn:
    (item.node.child(field) or replace(item.node, path=f"{item.node.path}.{field}")).refuse(reason)


def _settings(values: ConnectionValues) -> object:
    return values.typed_provider or values.smtp


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
    notes = [Change(path, note=str(note)) for note in wish.of_consent]
    if wish.values is None:
        return [Change(path, wish.stored.values.method, None), *notes] if wish.stored else []
    before = wish.stored.values.named() if wish.stored else {}
    after = wish.values.named() if wish.stored else _described(wish.values)
    changes = [
        Change(f"{path}.{name}", _shown(before.get(name)), _shown(after[name]))
        for name in _ORDER
        if name in after and before.get(name) != after[name]
    ]
    for field in SECRETS_OF[wish.values.method]:
        change = wish.secrets.get(field, KEPT)
        if change.action is SecretAction.REPLACE or _drops(wish, field):
            changes.append(Change(f"{path}.{field}", is_secret=True))
    return changes + notes


def _drops(wish: _Wish, field: str) -> bool:
    if wish.stored is None or wish.values is None or field not in wish.stored.secrets_of(wish.values.method):
        return False
    is_moved = replace(wish.stored.values, method=wish.values.method).destination != wish.values.destination
    return is_moved or wish.secrets.get(field, KEPT).action is SecretAction.CLEAR


def _described(values: ConnectionValues) -> dict[str, Any]:
    """The settings that say something, in the order in which people read them."""
    own = values.typed_provider
    has_server = values.method is Method.SMTP or (own is not None and own.server != SMTPValues())
    hidden = () if has_server else (*_SMTP_ORDER, "helo_name", "timeout_seconds")
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
