"""The text of a `.env` file into values that know their lines.

`NAME=value`, `export NAME=value`, quotes of both kinds (in double quotes over several lines too), remarks after `#`,
and `${NAME}` for what else stands in the same file. Nothing of the machine's environment is ever read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from portal.settings_file import Node, SettingsFileError
from portal.settings_imports.source import scalar, unusable
from portal.wording import N_

LONGEST_VALUE = 20_000  # characters
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*", re.ASCII)
_EMPTY = re.compile(r"[ \t]*(?:#.*)?$")
_QUOTED = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.]*)\}", re.ASCII)
_REMARK = re.compile(r"(?:^|[ \t])#")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def is_env(text: str) -> bool:
    """Whether the first line that says something gives a variable its value."""
    said = next((line for line in text.splitlines() if not _EMPTY.match(line)), "")
    return bool(_NAME.match(said))


@dataclass(frozen=True)
class Variable:
    """A value as it stands; `is_literal`: in single quotes, where nothing is filled in."""

    line: int
    name: str
    text: str = field(repr=False)
    is_literal: bool


def read_env(text: str) -> dict[str, list[Variable]]:
    """Every variable with its values: programs differ in which counts where there are two. Raises SettingsFileError."""
    found: dict[str, list[Variable]] = {}
    text = text.replace("\r\n", "\n")
    place, line = 0, 1
    while place < len(text):
        end = _end_of_line(text, place)
        if not _EMPTY.match(text[place:end]):
            name = _NAME.match(text, place, end)
            if name is None:
                raise unusable(line, N_("expected NAME=value"))
            value, end = _value(text, name.end(), end, Variable(line, name[1], "", is_literal=False))
            found.setdefault(value.name, []).append(value)
        line += text.count("\n", place, end + 1)
        place = end + 1
    return found


def filled_in(variable: Variable, variables: Mapping[str, list[Variable]]) -> Node:
    """The value with `${NAME}` replaced by what the file says of it; a name that it lacks stays as it is written.

    One step only: a value that refers to others itself is not filled in, so no small file grows into a large one.
    """

    def known(reference: re.Match[str]) -> str:
        others = variables.get(reference[1], [])
        is_plain = len(others) == 1 and (others[0].is_literal or not _REFERENCE.search(others[0].text))
        return others[0].text if is_plain else reference[0]

    text = variable.text
    if len(text) > LONGEST_VALUE:
        raise _too_long(variable)
    if not variable.is_literal:
        if sum(len(known(one)) for one in _REFERENCE.finditer(text)) > LONGEST_VALUE:
            raise _too_long(variable)
        text = _REFERENCE.sub(known, text)
    return scalar(variable.line, variable.name, text)


def _value(text: str, start: int, end: int, empty: Variable) -> tuple[Variable, int]:
    """The value that begins here, and where its last line ends."""
    if start >= end or text[start] not in "'\"":
        bare = _REMARK.split(text[start:end], maxsplit=1)[0].strip()
        return replace(empty, text=bare), end
    quoted = _QUOTED.match(text, start)
    if quoted is None:
        raise unusable(empty.line, N_("the quote is not closed"), empty.name)
    after = _end_of_line(text, quoted.end())
    if not _EMPTY.match(text[quoted.end() : after]):
        raise unusable(empty.line, N_("something follows the closing quote"), empty.name)
    if quoted[1] is not None:
        return replace(empty, text=quoted[1], is_literal=True), after
    return replace(empty, text=_ESCAPE.sub(lambda sign: _ESCAPES.get(sign[1], sign[1]), quoted[2])), after


def _end_of_line(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _too_long(variable: Variable) -> SettingsFileError:
    reason = N_("this value is longer than %(limit)s characters", limit=LONGEST_VALUE)
    return unusable(variable.line, reason, variable.name)
