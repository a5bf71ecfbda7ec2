"""JSON text into nodes that know their lines, as strictly as the settings file is read.

Refused with their line: what is not JSON, duplicate keys, deep nesting, very many values. A key may be any text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder
from typing import NoReturn

from portal.settings_file import Node, refuse_references
from portal.settings_file.node import Scalar
from portal.settings_imports.source import unusable
from portal.wording import N_, Text

DEEPEST = 40  # a realm of Keycloak has about ten levels
MOST_VALUES = 100_000
LONGEST_PATH = 500  # characters; each value knows its own, so that a long key above many grows with each of them
_STRINGS = JSONDecoder()  # asked at a quote alone, so a text is all that it finds
_BLANKS = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)


def read_json(text: str) -> Node:
    """The value that the text holds. Raises SettingsFileError."""
    reader = _Reader(text)
    node = reader.value("", 1)
    reader.expect_end()
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._breaks = [place.start() for place in re.finditer("\n", text)]
        self._place = 0
        self._values = 0

    def value(self, path: str, depth: int) -> Node:
        self._values += 1
        if depth > DEEPEST or self._values > MOST_VALUES:
            self._refuse(N_("nested too deep") if depth > DEEPEST else N_("this holds too many values"))
        sign, line = self._peek(), self._line()
        if sign == "{":
            return Node(line, path, self._mapping(path, depth), refuse_references)
        if sign == "[":
            return Node(line, path, self._sequence(path, depth), refuse_references)
        if sign == '"':
            return Node(line, path, Scalar(self._string(), is_plain=False), refuse_references)
        found = _WORD.match(self._text, self._place)
        if found is None:
            self._refuse(N_("this is not JSON: a value was expected here"))
        self._place = found.end()
        return Node(line, path, Scalar(found[0], is_plain=True), refuse_references)

    def expect_end(self) -> None:
        if self._peek():
            self._refuse(N_("this is not JSON: something follows its end"))

    def _mapping(self, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        self._place += 1
        while self._peek() != "}":
            if found:
                self._expect(",")
            if self._peek() != '"':
                self._refuse(N_("this is not JSON: a key in double quotes was expected here"))
            key = self._string()
            child_path = f"{path}.{key}" if path else key
            if len(child_path) > LONGEST_PATH:
                self._refuse(N_("keys of more than %(limit)s characters lead here", limit=LONGEST_PATH))
            if key in found:
                earlier = found[key].line
                raise unusable(
                    self._line(), N_("this key was given before, on line %(line)s", line=earlier), child_path
                )
            self._expect(":")
            found[key] = self.value(child_path, depth + 1)
        self._place += 1
        return found

    def _sequence(self, path: str, depth: int) -> tuple[Node, ...]:
        found: list[Node] = []
        self._place += 1
        while self._peek() != "]":
            if found:
                self._expect(",")
            found.append(self.value(f"{path}[{len(found)}]", depth + 1))
        self._place += 1
        return tuple(found)

    def _string(self) -> str:
        try:
            text, self._place = _STRINGS.raw_decode(self._text, self._place)
        except JSONDecodeError:
            self._refuse(N_("this is not JSON: a text in double quotes does not end, or is misspelt"))
        # Half of a pair stands for no character and cannot be stored.
        if any("\ud800" <= sign <= "\udfff" or sign == "\0" for sign in text):
            self._refuse(N_("this text holds a character that does not exist"))
        return str(text)

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            self._refuse(N_("this is not JSON: %(sign)s was expected here", sign=sign))
        self._place += 1

    def _peek(self) -> str:
        blanks = _BLANKS.match(self._text, self._place)
        self._place = blanks.end() if blanks else self._place
        return self._text[self._place : self._place + 1]

    def _line(self) -> int:
        return bisect_right(self._breaks, self._place) + 1

    def _refuse(self, reason: Text) -> NoReturn:
        raise unusable(self._line(), reason)
