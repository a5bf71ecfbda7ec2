"""What a request may hold, said once: a shape reads a value, naming whatever is wrong, and describes itself.

The description is JSON Schema as OpenAPI 3.1 has it (draft 2020-12). What a schema cannot say (an address that is
one, attachments that are too large together) is a fault as well.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from portal.api.json_text import shown
from portal.mail.header_text import HeaderTextError
from portal.web.problems import Fault
from portal.wording import N_, Text

BAD: Final = object()  # what reading gives besides a fault
MOST_FAULTS = 50
_NOTHING = Text("")
Schema = dict[str, Any]


class Shape(Protocol):
    """One kind of value."""

    def read(self, value: Any, name: str, faults: list[Fault]) -> Any:
        """The value as the portal uses it; BAD with a fault where it is none of this shape."""

    def schema(self) -> Schema:
        """Its description."""


@dataclass(frozen=True, kw_only=True)
class String:
    """A text. `parse` makes of it what is used, and raises HeaderTextError for what it is not."""

    description: Text = _NOTHING
    longest: int | None = None  # characters
    shortest: int = 0
    pattern: str = ""
    parse: Callable[[str], Any] = str
    example: str | None = None

    def read(self, value: Any, name: str, faults: list[Fault]) -> Any:
        if not isinstance(value, str):
            return _bad(faults, name, N_("A text is expected here."))
        if reason := self._reason(value):
            return _bad(faults, name, reason)
        try:
            return self.parse(value)
        except HeaderTextError as error:
            return _bad(faults, name, error.reason)

    def schema(self) -> Schema:
        found: Schema = {"type": "string"}
        if self.shortest:
            found["minLength"] = self.shortest
        if self.longest is not None:
            found["maxLength"] = self.longest
        if self.pattern:
            found["pattern"] = f"^{self.pattern}$"
        return _described(found, self.description, self.example)

    def _reason(self, value: str) -> Text | None:
        if len(value) < self.shortest:
            return N_("This is empty. Write something, or leave it out.")
        if self.longest is not None and len(value) > self.longest:
            return N_("This is longer than %(limit)s characters. Shorten it.", limit=self.longest)
        if self.pattern and not re.fullmatch(self.pattern, value):
            return N_("This does not have the form that the documentation describes.")
        if "\0" in value:
            return N_("This holds a NUL character, which no mail can.")
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            return N_("This holds half a surrogate pair, which is no character.")
        return None


@dataclass(frozen=True, kw_only=True)
class Base64:
    """Bytes as base64 (RFC 4648 4), with its padding, on one line."""

    description: Text = _NOTHING
    largest: int  # octets, decoded
    example: str | None = None

    def read(self, value: Any, name: str, faults: list[Fault]) -> Any:
        if not isinstance(value, str):
            return _bad(faults, name, N_("A text is expected here: the content as base64."))
        try:
            content = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return _bad(faults, name, N_("This is not base64. It has no line breaks, and = at its end."))
        if len(content) > self.largest:
            return _bad(faults, name, N_("This is larger than %(limit)s bytes.", limit=f"{self.largest:,}"))
        return content

    def schema(self) -> Schema:
        found: Schema = {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        }
        return _described(found, self.description, self.example)


@dataclass(frozen=True, kw_only=True)
class Integer:
    """A whole number."""

    least: int
    most: int
    description: Text = _NOTHING

    def read(self, value: Any, name: str, faults: list[Fault]) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            reason = N_("A whole number from %(least)s to %(most)s is expected here.", least=self.least, most=self.most)
            return _bad(faults, name, reason)
        return value

    def schema(self) -> Schema:
        return _described({"type": "integer", "minimum": self.least, "maximum": self.most}, self.description, None)


@dataclass(frozen=True, kw_only=True)
class Array:
    """Several of one shape, in their order."""

    of: Shape
    most: int
    least: int = 0
    description: Text = _NOTHING

    def read(self, value: Any, name: str, faults: list[Fault]) -> Any:
        if not isinstance(value, list):
            return _bad(faults, name, N_("A list is expected here, in square brackets."))
        if not self.least <= len(value) <= self.most:
            return _bad(faults, name, self._wrong_length())
        return tuple(self.of.read(one, f"{name}[{number}]", faults) for number, one in enumerate(value))

    def schema(self) -> Schema:
        found: Schema = {"type": "array", "items": self.of.schema(), "maxItems": self.most}
        if self.least:
            found["minItems"] = self.least
        return _described(found, self.description, None)

    def _wrong_length(self) -> Text:
        if self.least:
            return N_("From %(least)s to %(most)s entries are taken here.", least=self.least, most=self.most)
        return N_("At most %(most)s entries are taken here.", most=self.most)


@dataclass(frozen=True, kw_only=True)
class Object:
    """Named values. Every name that is not one of these is refused."""

    title: str  # under which the description lists it
    members: dict[str, Shape]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()  # at least one of these is there
    later: dict[str, Text] = field(default_factory=dict)  # what other versions take, and what is said of it here

    def read(self, value: Any, name: str, faults: list[Fault]) -> Any:
        if not isinstance(value, dict):
            return _bad(faults, name or "body", N_("An object is expected here, in curly brackets."))
        before = len(faults)
        self._refuse_unknown(value, name, faults)
        for key in self.required:
            if key not in value:
                _bad(faults, _path(name, key), N_("This is missing."))
        if self.one_of and not any(key in value for key in self.one_of):
            reason = N_("At least one of these is needed: %(names)s.", names=", ".join(self.one_of))
            _bad(faults, _path(name, self.one_of[0]), reason)
        found = {
            key: shape.read(value[key], _path(name, key), faults) for key, shape in self.members.items() if key in value
        }
        return found if len(faults) == before else BAD

    def schema(self) -> Schema:
        return {"$ref": f"#/components/schemas/{self.title}"}

    def definition(self) -> Schema:
        """What `schema` refers to."""
        found: Schema = {
            "type": "object",
            "properties": {name: shape.schema() for name, shape in self.members.items()},
            "additionalProperties": False,
        }
        if self.required:
            found["required"] = list(self.required)
        if self.one_of:
            found["anyOf"] = [{"required": [name]} for name in self.one_of]
        return found

    def _refuse_unknown(self, value: dict[str, Any], name: str, faults: list[Fault]) -> None:
        for key in value:
            if key in self.later:
                _bad(faults, _path(name, key), self.later[key])
            elif key not in self.members:
                reason = N_("There is no such field. The fields are: %(names)s.", names=", ".join(self.members))
                _bad(faults, _path(name, shown(key)), reason)


class _EnoughFaults(Exception):
    """As many as are told. What is wrong a million times is not collected."""


def read(shape: Shape, value: Any) -> tuple[Any, Sequence[Fault]]:
    """The value as it is used, and what is wrong with it: one of the two. At most MOST_FAULTS are told."""
    faults: list[Fault] = []
    try:
        return shape.read(value, "", faults), faults
    except _EnoughFaults:
        return BAD, faults


def _path(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _bad(faults: list[Fault], name: str, reason: Text) -> Any:
    faults.append(Fault(name, reason))
    if len(faults) >= MOST_FAULTS:
        raise _EnoughFaults
    return BAD


def _described(schema: Schema, description: Text, example: str | None) -> Schema:
    more: Schema = {"description": str(description)} if description else {}
    if example is not None:
        more["examples"] = [example]
    return schema | more
