"""An entry as the page shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from portal.audit.known_words import actor_without_account, names_a_kind, subject_in_words
from portal.audit.labels import label_of
from portal.audit.recording import CHANGED
from portal.wording import N_, Text

_MANY = 3  # fields that are shown at once; of more, and of long ones, only how many there are
_LONG = 120  # characters of a value
_SHORT = 8  # digits of an account's number that tell two of one name apart


@dataclass(frozen=True)
class ShownChange:
    """A field's old and new value; of a secret only that it was changed."""

    field: str
    is_secret: bool
    old: Text | str
    new: Text | str


@dataclass(frozen=True)
class ShownEntry:
    """`is_folded`: its changes are shown when somebody asks for them. `account`: "" where no account acted.

    `kept_subject`, where it is not "", is what the filter finds of a subject that is shown in other words.
    """

    id: int
    at: datetime
    action: str
    label: Text | str
    actor: Text | str
    account: str
    address: str
    subject: Text | str
    kept_subject: str
    changes: Sequence[ShownChange]
    is_folded: bool
    place: int | None


def shown(entry: Row[Any], kind_in_words: Callable[[str], Text | str]) -> ShownEntry:
    """Values in words; the names of fields are those of the settings file and the database."""
    changes = [_change(field, change) for field, change in sorted(entry.changes.items())]
    is_long = any(len(str(value)) > _LONG for one in changes for value in (one.old, one.new))
    return ShownEntry(
        entry.id,
        entry.at,
        entry.action,
        label_of(entry.action),
        entry.actor_name if entry.actor_id else actor_without_account(entry.actor_name or "a stranger"),
        str(entry.actor_id)[:_SHORT] if entry.actor_id else "",
        entry.actor_address,
        subject_in_words(entry.action, entry.subject, kind_in_words),
        entry.subject if names_a_kind(entry.action, entry.subject) else "",
        changes,
        len(changes) > _MANY or is_long,
        entry.place,
    )


def _change(field: str, change: Any) -> ShownChange:
    if isinstance(change, list) and len(change) == 2:
        return ShownChange(field, False, _in_words(change[0]), _in_words(change[1]))
    return ShownChange(field, change == CHANGED, "", str(change))


def _in_words(value: str | int | bool | None) -> Text | str:
    if isinstance(value, bool):
        return N_("on") if value else N_("off")
    return "" if value is None else str(value)
