"""YAML text into nodes with lines: events of PyYAML's parser, a tree of our own.

Refused with their line: what is not YAML 1.1 or not UTF-8, duplicate keys, anchors and aliases (so that no
small file can grow into a large one), tags, several documents, deep nesting, more than 1 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from portal.settings_file.node import FollowReference, Node, Scalar, SettingsFileError
from portal.wording import N_, Text

LARGEST_FILE = 1_000_000  # bytes
DEEPEST = 10
LONGEST_PATH = 500  # characters; each value knows its own, so that a long key above many grows with each of them
MOST_VALUES = 100_000
_NO_ANCHORS = N_("anchors (&) and aliases (*) are not possible here")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML has it: 10 times as fast
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(content: bytes, *, follow: FollowReference) -> Node:
    """The file's top level. `follow` resolves references to secrets when they are asked for.

    An empty file is a node without keys. Raises SettingsFileError.
    """
    events = _events(_decoded(content))
    top = None
    for event in events:
        if isinstance(event, DocumentStartEvent):
            if top is not None:
                raise SettingsFileError(_line(event), "", N_("a second document begins; one file holds one"))
            top = _Tree(events, follow).value(next(events), "", 1)
    return top or Node(1, "", Scalar("", is_plain=True), follow)


class _Tree:
    """Builds nodes from the stream of events, one value at a time."""

    def __init__(self, events: Iterator[Event], follow: FollowReference) -> None:
        self._events = events
        self._follow = follow
        self._values = 0

    def value(self, event: Event, path: str, depth: int) -> Node:
        line = _line(event)
        self._refuse_cleverness(event, path)
        if depth > DEEPEST:
            raise SettingsFileError(line, path, N_("nested too deep"))
        self._values += 1
        if self._values > MOST_VALUES:
            raise SettingsFileError(line, path, N_("this holds too many values"))
        if isinstance(event, MappingStartEvent):
            return Node(line, path, self._mapping(path, depth), self._follow)
        if isinstance(event, SequenceStartEvent):
            return Node(line, path, self._sequence(path, depth), self._follow)
        if isinstance(event, ScalarEvent):
            return Node(line, path, Scalar(event.value, is_plain=event.implicit[0]), self._follow)
        raise SettingsFileError(line, path, _NO_ANCHORS)  # an alias: nothing else is left

    def _mapping(self, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            self._refuse_cleverness(event, path)
            if not isinstance(event, ScalarEvent):
                raise SettingsFileError(_line(event), path, N_("a key must be a single word"))
            child_path = f"{path}.{event.value}" if path else event.value
            if len(child_path) > LONGEST_PATH:
                reason = N_("keys of more than %(limit)s characters lead here", limit=LONGEST_PATH)
                raise SettingsFileError(_line(event), path, reason)
            if event.value in found:
                raise SettingsFileError(
                    _line(event),
                    child_path,
                    N_("this key was given before, on line %(line)s", line=found[event.value].line),
                )
            found[event.value] = self.value(next(self._events), child_path, depth + 1)
        return found

    def _sequence(self, path: str, depth: int) -> tuple[Node, ...]:
        found: list[Node] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            found.append(self.value(event, f"{path}[{len(found)}]", depth + 1))
        return tuple(found)

    @staticmethod
    def _refuse_cleverness(event: Event, path: str) -> None:
        if getattr(event, "anchor", None):
            raise SettingsFileError(_line(event), path, _NO_ANCHORS)
        if getattr(event, "tag", None):
            raise SettingsFileError(_line(event), path, N_("tags (!) are not possible here"))


def _decoded(content: bytes) -> str:
    if len(content) > LARGEST_FILE:
        raise SettingsFileError(1, "", N_("the file has more than %(limit)s bytes", limit=f"{LARGEST_FILE:,}"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsFileError(line, "", N_("this is not UTF-8 text")) from None
    if odd := _NOT_PRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise SettingsFileError(line, "", N_("control character U+%(code)s", code=f"{ord(odd[0]):04X}"))
    return text


def _events(text: str) -> Iterator[Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise SettingsFileError(line, "", _not_yaml(error.problem or error.context)) from None
    except yaml.YAMLError:
        raise SettingsFileError(1, "", _not_yaml(None)) from None


def _not_yaml(problem: str | None) -> Text:
    return N_("this is not YAML: %(problem)s", problem=problem or "it cannot be read")


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
