"""What would become of an import, and the draft connections made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from portal import audit
from portal.connections import connection_names, saving
from portal.connections.file_items import read_item, secrets_of_item, values_of_item
from portal.connections.labels import FIELDS, shown
from portal.connections.stored import name_key
from portal.connections.values import SECRETS_OF, ConnectionValues, SecretChanges
from portal.secret_box import SecretBox
from portal.settings_imports.source import Entry, Import
from portal.wording import Text

_NOT_SHOWN = frozenset({"name", "role", "method"})  # the heading of a preview says them
_PLACEHOLDER = re.compile(r"%(?:env|server):[^%]*%")


@dataclass(frozen=True)
class Field:
    """One value of a preview: what it becomes, and where it stood."""

    key: str
    label: Text
    value: Text | str  # "" for a secret
    is_secret: bool
    path: str
    line: int
    reference: str = ""  # the placeholder that the value holds, which is looked up when mail is sent


@dataclass(frozen=True)
class Draft:
    """One connection as it would be stored."""

    values: ConnectionValues
    secrets: SecretChanges
    fields: tuple[Field, ...]


def previewed(session: Session, imported: Import) -> list[Draft]:
    """The connections that would be made, under names that are free. Raises SettingsFileError."""
    taken = {name_key(name) for name in connection_names(session)}
    drafts = []
    for entry in imported.entries:
        draft = _draft(entry)
        name = _free_name(draft.values.name, taken)
        taken.add(name_key(name))
        drafts.append(replace(draft, values=replace(draft.values, name=name)))
    return drafts


def create_drafts(
    session: Session, drafts: Sequence[Draft], *, box: SecretBox, actor: audit.Actor, now: datetime
) -> list[str]:
    """Store them, in the caller's unit of work; returns their names. Raises NameTaken."""
    for draft in drafts:
        saving.create(session, draft.values, draft.secrets, box=box, actor=actor, now=now)
    return [draft.values.name for draft in drafts]


def _draft(entry: Entry) -> Draft:
    item = read_item(entry.node)
    values = values_of_item(item, None)
    secrets = secrets_of_item(item, values.method, stored={})
    named, nodes = values.named(), entry.node.mapping()
    fields = [
        Field(
            key=key,
            label=FIELDS[key],
            value="" if key in SECRETS_OF[values.method] else shown(key, named[key]),
            is_secret=key in SECRETS_OF[values.method],
            path=nodes[key].path,
            line=nodes[key].line,
            reference=_reference(named.get(key)),
        )
        for key in FIELDS
        if key in nodes and key not in _NOT_SHOWN
    ]
    return Draft(values, secrets, tuple(fields))


def _reference(value: object) -> str:
    found = _PLACEHOLDER.search(value) if isinstance(value, str) else None
    return found[0] if found else ""


def _free_name(name: str, taken: set[str]) -> str:
    numbered = (name if number == 1 else f"{name} {number}" for number in range(1, len(taken) + 2))
    return next(one for one in numbered if name_key(one) not in taken)
