"""A value of the settings file that knows its line; types come from the reader, not from YAML's guesses.

`name: no` is the text "no" where a text is asked for, `password: 007` keeps its zeros, and `port: "25"` is
refused where a number is asked for. An empty value (`reply_to:`, `null`, `~`) empties what it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from portal.wording import N_, Text

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
Checked = TypeVar("Checked")


class SettingsFileError(Exception):
    """The file cannot be used: where (line counted from 1, path such as `connections[0].port`) and why."""

    def __init__(self, line: int, path: str, reason: Text) -> None:
        super().__init__(line, path, reason)
        self.line = line
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.path}" if self.path else "")
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class SecretValue:
    """A secret as the file gives it, resolved. Empty means: clear what is stored."""

    value: str = field(repr=False)


@dataclass(frozen=True)
class SecretReference:
    """`{env: NAME}` or `{file: PATH}`."""

    kind: str  # "env" or "file"
    target: str


class ReferenceFailed(Exception):
    """A reference to a secret cannot be followed; `reason` says why."""

    def __init__(self, reason: Text) -> None:
        super().__init__(reason)
        self.reason = reason


FollowReference = Callable[[SecretReference], str]  # raises ReferenceFailed


@dataclass(frozen=True)
class Scalar:
    """A text, number, boolean or null as written. `is_plain`: not quoted, so it may be other than a text."""

    written: str = field(repr=False)
    is_plain: bool


@dataclass(frozen=True)
class Node:
    """One place of the file. Its content is read by asking for a type; a wrong type raises SettingsFileError."""

    line: int
    path: str
    content: Scalar | Mapping[str, Node] | tuple[Node, ...] = field(repr=False)
    follow: FollowReference = field(repr=False)
    root: Node | None = field(default=None, repr=False)  # of a section: the whole file, whose names it may refer to

    def refuse(self, reason: Text) -> NoReturn:
        """Raise SettingsFileError for this place."""
        raise self._error(reason)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Refuse the first key that is not one of `known`."""
        for key, child in self.mapping().items():
            if key not in known:
                raise child._error(N_("unknown key; known here: %(known)s", known=", ".join(sorted(known))))

    def mapping(self) -> Mapping[str, Node]:
        """Keys and values in the order of the file; an empty value has none."""
        if isinstance(self.content, Mapping):
            return self.content
        if self.is_null():
            return {}
        raise self._error(N_("expected keys with values"))

    def items(self) -> tuple[Node, ...]:
        """The entries of a list; an empty value has none."""
        if isinstance(self.content, tuple):
            return self.content
        if self.is_null():
            return ()
        raise self._error(N_("expected a list (each entry begins with a dash)"))

    def has(self, key: str) -> bool:
        """Whether the file names `key` here, be it with an empty value."""
        return key in self.mapping()

    def child(self, key: str) -> Node | None:
        """The value of `key`, None where the file does not name it."""
        return self.mapping().get(key)

    def is_null(self) -> bool:
        """Whether the value is empty, `null` or `~`."""
        return self._plain() in _NULLS

    def text(self, key: str) -> str | None:
        """The text of `key` as written: "" where it is empty, None where the file does not name it."""
        child = self.child(key)
        return None if child is None else child.as_text()

    def checked(self, key: str, check: Callable[[str], Checked]) -> Checked | str | None:
        """What `check` makes of the text of `key`: "" where it is empty, None where the file does not name it."""
        text = self.text(key)
        return (self.child(key) or self).passed(text, check) if text else text

    def passed(self, text: str, check: Callable[[str], Checked]) -> Checked:
        """What `check` makes of a text that stands here; the `reason` of its ValueError is refused at this place."""
        try:
            return check(text)
        except ValueError as error:
            reason = getattr(error, "reason", None)
            if reason is None:
                raise
            self.refuse(reason)

    def required_text(self, key: str) -> str:
        """The text of `key`, which must be there and not be empty."""
        text = self.text(key)
        if not text:
            raise (self.child(key) or self)._error(N_("%(key)s is missing", key=key))
        return text

    def integer(self, key: str, minimum: int, maximum: int) -> int | None:
        """The whole number of `key`, None where it is empty or not named (`has` tells them apart)."""
        child = self.child(key)
        return None if child is None or child.is_null() else child.as_integer(minimum, maximum)

    def boolean(self, key: str) -> bool | None:
        """`true` or `false` of `key`, None where the file does not name it."""
        child = self.child(key)
        return None if child is None else child.as_boolean()

    def choice(self, key: str, allowed: Collection[str]) -> str | None:
        """One of `allowed`, None where the file does not name `key`."""
        child = self.child(key)
        if child is None:
            return None
        text = child.as_text()
        if text not in allowed:
            raise child._error(N_("%(text)s is not one of: %(allowed)s", text=text or '""', allowed=", ".join(allowed)))
        return text

    def secret(self, key: str) -> SecretValue | None:
        """The secret of `key`: a text, `{env: NAME}` or `{file: PATH}`; None where the file does not name it."""
        child = self.child(key)
        if child is None:
            return None
        return SecretValue(child.as_text() if isinstance(child.content, Scalar) else child._followed())

    def as_text(self) -> str:
        """This value as a text: any single value as written, "" where it is empty."""
        if not isinstance(self.content, Scalar):
            raise self._error(N_("expected a text"))
        return "" if self.is_null() else self.content.written

    def as_integer(self, minimum: int, maximum: int) -> int:
        """This value as a whole number within the bounds, both included."""
        plain = self._plain()
        number = int(plain) if plain is not None and _INTEGER.fullmatch(plain) else None
        if number is None or not minimum <= number <= maximum:
            raise self._error(N_("expected a whole number from %(low)s to %(high)s", low=minimum, high=maximum))
        return number

    def as_boolean(self) -> bool:
        """This value as true or false."""
        value = _BOOLEANS.get((self._plain() or "").lower())
        if value is None:
            raise self._error(N_("expected true or false"))
        return value

    def _error(self, reason: Text) -> SettingsFileError:
        return SettingsFileError(self.line, self.path, reason)

    def _plain(self) -> str | None:
        """What is written without quotes, None for anything else."""
        if isinstance(self.content, Scalar) and self.content.is_plain:
            return self.content.written
        return None

    def _followed(self) -> str:
        entries = list(self.content.items()) if isinstance(self.content, Mapping) else []
        if len(entries) != 1 or entries[0][0] not in {"env", "file"}:
            raise self._error(N_("expected a text, {env: NAME} or {file: PATH}"))
        kind, target = entries[0]
        try:
            return self.follow(SecretReference(kind, target.as_text()))
        except ReferenceFailed as failure:
            raise self._error(failure.reason) from None
