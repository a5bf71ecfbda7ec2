"""The settings file as JSON: the same keys, the same rules, and every fault by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from portal import audit, settings_file
from portal.settings_file.node import Node, Scalar, SettingsFileError
from portal.settings_file.reading import LARGEST_FILE, LONGEST_PATH, MOST_VALUES
from portal.settings_file.references import refuse_references
from portal.web.problems import Fault, Problem
from portal.wording import N_

Json = dict[str, Any]
LARGEST = LARGEST_FILE  # octets, here as there
Sections = Sequence[settings_file.Section[audit.Actor]]
_DEEPEST = 10
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOTHING_CHANGED = N_("Nothing was changed. The list of errors names the place and what is wrong with it.")


def describe(session: Session, sections: Sections) -> Json:
    """The stored settings; without secrets."""
    return {section.key: section.describe(session) for section in sections}


def apply(
    session: Session, value: Any, sections: Sections, *, actor: audit.Actor, is_trial: bool, now: datetime
) -> Json:
    """Change what differs, all or nothing; what is not named stays. A trial changes nothing. Raises Problem."""
    try:
        node = _node(value, "", 1, count(1))
        if not isinstance(value, dict):
            node.refuse(N_("expected keys with values"))
        if is_trial:
            changes = settings_file.plan(session, node, sections)
        else:
            changes = settings_file.apply(session, node, sections, actor=actor, now=now)
    except SettingsFileError as error:
        fault = Fault(error.path or "body", error.reason)
        raise Problem("invalid-request", _NOTHING_CHANGED, faults=[fault]) from None
    return {"changes": [_change(one) for one in changes], "is_trial": is_trial}


def _change(one: settings_file.Change) -> Json:
    return {"path": one.path, "old": one.old, "new": one.new, "is_secret": one.is_secret, "note": one.note or None}


def _node(value: Any, path: str, depth: int, numbers: Iterator[int]) -> Node:
    """JSON's types are the file's: a text stays a text, a number a number. `numbers` counts the values."""
    if depth > _DEEPEST:
        raise SettingsFileError(1, path, N_("nested too deep"))
    if next(numbers) > MOST_VALUES:
        raise SettingsFileError(1, path, N_("this holds too many values"))
    if isinstance(value, dict):
        below = {_checked(key, path): (_below(path, key), one) for key, one in value.items()}
        children = {key: _node(one, place, depth + 1, numbers) for key, (place, one) in below.items()}
        return Node(1, path, children, refuse_references)
    if isinstance(value, list):
        items = tuple(_node(one, f"{path}[{number}]", depth + 1, numbers) for number, one in enumerate(value))
        return Node(1, path, items, refuse_references)
    return Node(1, path, _scalar(value, path), refuse_references)


def _scalar(value: Any, path: str) -> Scalar:
    if isinstance(value, str):
        return Scalar(_checked(value, path), is_plain=False)
    if value is None:
        return Scalar("", is_plain=True)
    return Scalar(str(value).lower() if isinstance(value, bool) else str(value), is_plain=True)


def _checked(text: str, path: str) -> str:
    if odd := _NOT_PRINTABLE.search(text):
        raise SettingsFileError(1, path, N_("control character U+%(code)s", code=f"{ord(odd[0]):04X}"))
    return text


def _below(path: str, key: str) -> str:
    place = f"{path}.{key}" if path else key
    if len(place) > LONGEST_PATH:
        raise SettingsFileError(1, path, N_("keys of more than %(limit)s characters lead here", limit=LONGEST_PATH))
    return place
