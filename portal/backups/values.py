"""Values of a row as JSON holds them, the same whichever database they come from or go to."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, LargeBinary, String, Uuid
from sqlalchemy.types import TypeEngine

from portal.database import UtcDateTime

_KINDS: tuple[tuple[type[TypeEngine[Any]] | type[UtcDateTime], str], ...] = (
    (Uuid, "uuid"),
    (UtcDateTime, "moment"),
    (LargeBinary, "octets"),
    (JSON, "json"),
    (Boolean, "boolean"),
    (Integer, "whole"),  # and its relatives
    (String, "text"),
)
_WRITTEN: Mapping[str, Callable[[Any], Any]] = {
    "uuid": str,
    "moment": datetime.isoformat,
    "octets": lambda value: base64.b64encode(value).decode(),
}
_READ: Mapping[str, Callable[[Any], Any]] = {
    "uuid": UUID,
    "moment": datetime.fromisoformat,
    "octets": lambda value: base64.b64decode(value, validate=True),
}
_TYPES: Mapping[str, TypeEngine[Any]] = {
    "uuid": Uuid(),
    "moment": UtcDateTime(),
    "octets": LargeBinary(),
    "boolean": Boolean(),
    "whole": BigInteger(),
    "text": String(),
}


@dataclass(frozen=True)
class StoredColumn:
    """A column as the backup describes it."""

    name: str
    kind: str
    is_nullable: bool

    @classmethod
    def of(cls, column: Column[Any]) -> StoredColumn:
        """Raises TypeError for a type that no backup can hold."""
        for known, kind in _KINDS:
            if isinstance(column.type, known):
                return cls(column.name, kind, bool(column.nullable))
        raise TypeError(f"{column} has a type that a backup cannot hold: {column.type!r}")

    def write(self, value: Any) -> Any:
        """The value as JSON holds it."""
        return None if value is None else _WRITTEN.get(self.kind, _as_it_is)(value)

    def read(self, written: Any) -> Any:
        """The value again. Raises ValueError or TypeError for what `write` cannot have written."""
        return None if written is None else _READ.get(self.kind, _as_it_is)(written)

    @property
    def type(self) -> TypeEngine[Any]:
        """For statements on a table that may be older than this version's."""
        return JSON(none_as_null=self.is_nullable) if self.kind == "json" else _TYPES[self.kind]


def _as_it_is(value: Any) -> Any:
    return value
