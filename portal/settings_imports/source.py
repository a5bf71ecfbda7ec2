"""What a text of another program comes to: entries of the settings file whose places are those of the text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from portal.settings_file import Node, SettingsFileError, refuse_references
from portal.settings_file.node import Scalar
from portal.wording import N_, Text

_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", "", "null", "none"})
_NOT_TEXTS = frozenset({"port", "verify_certificate", "timeout_seconds"})
# `${NAME}` and `$(env:NAME)` of Keycloak, Docker and Laravel, `${vault.name}`, `<no value>` of templates left alone.
_REFERENCE = re.compile(r"\$\{[^{}]{1,200}\}|\$\([^()]{1,200}\)")
_LONGEST_NAME = 90  # the connection's own has 100 characters; a number may follow

ELSEWHERE = N_("The portal has no such setting of a connection.")
ABOUT_SENDER = N_("The portal does not overwrite the sender by this: see Servers, Senders.")
OTHER_WAY = N_("It belongs to a way of sending that was not in use.")
SAME_HERE = N_("The portal does so anyway.")
OWN_LOG = N_("The portal keeps a log of its own.")
MASKED = N_("The export shows stars in its place. Type it into the draft.")
CONSENT = N_("A consent holds for the program that it was given to. Open the draft and choose Connect.")


@dataclass(frozen=True)
class LeftOut:
    """A value that becomes nothing, and why."""

    line: int
    path: str
    reason: Text


@dataclass(frozen=True)
class Entry:
    """One connection as the settings file would name it; each value knows where it stood."""

    node: Node
    name: str


@dataclass(frozen=True)
class User:
    """Somebody who signed in at the other program, to send: what becomes a server with a log-in."""

    line: int
    path: str
    username: str
    password: str = field(repr=False)  # "" where none stands there
    senders: tuple[str, ...]  # addresses that it may write as; (): any


@dataclass(frozen=True)
class Import:
    """A text that was recognised."""

    origin: str  # the program's own name
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]
    users: tuple[User, ...] = ()


class Reading:
    """Collects entries, users and what is left out."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._entries: list[Entry] = []
        self._left_out: list[LeftOut] = []
        self._users: list[User] = []

    def leave(self, node: Node | None, reason: Text) -> None:
        """Say that this value becomes nothing; one that is empty or missing needs no word."""
        if node is not None and not _is_empty(node):
            self._left_out.append(LeftOut(node.line, node.path, reason))

    def leave_others(self, node: Node, known: frozenset[str], reason: Text = ELSEWHERE) -> None:
        """The same of every key that is not known."""
        for key, child in node.mapping().items():
            if key not in known:
                self.leave(child, reason)

    def add(self, place: Node, name: str, fields: EntryFields) -> None:
        """One connection, as a draft."""
        name = " ".join(name.split())[:_LONGEST_NAME] or self.origin
        named = {"name": _value(place, name), "role": _value(place, "draft"), **fields.nodes}
        self._entries.append(Entry(replace(place, content=named), name))

    def add_user(self, user: User) -> None:
        self._users.append(user)

    def result(self) -> Import:
        left_out = tuple(sorted(self._left_out, key=lambda one: one.line))
        return Import(self.origin, tuple(self._entries), left_out, tuple(self._users))


class EntryFields:
    """The values of one connection, by the names of the settings file."""

    def __init__(self, reading: Reading, place: Node, method: str) -> None:
        self._reading = reading
        self.nodes: dict[str, Node] = {"method": _value(place, method)}

    def take(self, field: str, node: Node | None, text: str | None = None) -> None:
        """This value, or what it means here. What only names a value that stands elsewhere is left out."""
        if node is None:
            return
        written = node.as_text().strip() if text is None else text
        if reference := reference_in(written):
            self._reading.leave(node, refers_elsewhere(reference))
        elif written:
            self.nodes[field] = _value(node, written, is_plain=field in _NOT_TEXTS)

    def text(self, field: str) -> str:
        """What was taken, "" where nothing was."""
        return self.nodes[field].as_text() if field in self.nodes else ""


def reference_in(text: str) -> str:
    """The first reference that stands in a text, "" where none does."""
    found = _REFERENCE.search(text)
    return found[0] if found else ""


def refers_elsewhere(reference: str) -> Text:
    """Why a reference is not followed, with its name, so that somebody can look it up."""
    return N_("It refers to %(reference)s, which stands elsewhere. Type the value into the draft.", reference=reference)


def truth(node: Node | None) -> bool:
    """Whether a switch is on, in the spellings of JSON, YAML, PHP and the environment. Raises SettingsFileError."""
    if node is None:
        return False
    word = node.as_text().strip().lower()
    if word not in _YES | _NO:
        node.refuse(N_("expected true or false"))
    return word in _YES


def at(node: Node | None, *keys: str) -> Node | None:
    """What stands below these keys; None where one of them is missing or holds no keys."""
    for key in keys:
        if node is None or not isinstance(node.content, dict):
            return None
        node = node.child(key)
    return node


def written(node: Node | None) -> str:
    """The text of a single value, "" for anything else."""
    return node.as_text().strip() if node is not None and isinstance(node.content, Scalar) else ""


def scalar(line: int, path: str, text: str, *, is_plain: bool = False) -> Node:
    """A value that stands at this place."""
    return Node(line, path, Scalar(text, is_plain=is_plain), refuse_references)


def unusable(line: int, reason: Text, path: str = "") -> SettingsFileError:
    """The error that names this place."""
    return SettingsFileError(line, path, reason)


def _value(place: Node, text: str, *, is_plain: bool = False) -> Node:
    return replace(place, content=Scalar(text, is_plain=is_plain))


def _is_empty(node: Node) -> bool:
    """What says nothing: empty, or switched off."""
    if isinstance(node.content, Scalar):
        return node.as_text().strip().lower() in _NO
    return not node.content
