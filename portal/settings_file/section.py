"""The words between the settings file and the rooms whose settings it holds: a section, a change, an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from portal.settings_file.node import Node

ActorT = TypeVar("ActorT")


@dataclass(frozen=True)
class Change:
    """One value that differs: `old` is None where there was none, `new` is None where it goes.

    `path` reads as in the file (`connections.main.port`). A secret change has neither value, it only happened; nor has
    a `note`, which says what other changes bring about.
    """

    path: str
    old: str | None = None
    new: str | None = None
    is_secret: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if (self.is_secret or self.note) and (self.old is not None or self.new is not None):
            raise ValueError("a change of a secret carries no values, nor does a note")

    def __str__(self) -> str:
        if self.note:
            return f"{self.path}: {self.note}"
        if self.is_secret:
            return f"{self.path}: changed (secret)"
        if self.old is None:
            return f"{self.path}: {_shown(self.new)} (new)"
        if self.new is None:
            return f"{self.path}: {_shown(self.old)} (removed)"
        return f"{self.path}: {_shown(self.old)} -> {_shown(self.new)}"


@dataclass(frozen=True)
class Section(Generic[ActorT]):
    """One top-level key of the file and the room that owns it. What the file does not name is left alone.

    `describe` gives the present settings as plain lists, dicts, texts, numbers, booleans and None, without
    secrets; an empty answer leaves the key out. `plan` and `apply` raise SettingsFileError for what they refuse
    and return the same changes: `plan` writes nothing, `apply` writes as a page would, audited, in the caller's
    unit of work. The actor is whatever the rooms' audit log takes.
    """

    key: str
    describe: Callable[[Session], Any]
    plan: Callable[[Session, Node], list[Change]]
    apply: Callable[[Session, Node, ActorT, datetime], list[Change]]


def _shown(value: str | None) -> str:
    """One line: a certificate of many lines shows its first."""
    first, _, rest = (value or "").partition("\n")
    return f"{first} …" if rest else first or '""'
