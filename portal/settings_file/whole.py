"""The whole file: its difference from what is stored, its application, and its export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import yaml
from sqlalchemy.orm import Session

from portal.settings_file.node import Node
from portal.settings_file.section import Change, Section

ActorT = TypeVar("ActorT")
HEADER = """\
# Settings of Mail Portal. "portal settings plan FILE" shows what a file would change, "apply FILE" changes it.
# Secrets are never exported: what is stored stays when a file does not name it. To set one, add it as a text,
# {env: NAME} or {file: PATH}. What the file does not name is left alone; "absent: true" removes an item.
"""


def plan(session: Session, file: Node, sections: Sequence[Section[ActorT]]) -> list[Change]:
    """What applying `file` would change; writes nothing. Raises SettingsFileError."""
    return _each(file, sections, lambda section, node: section.plan(session, node))


def apply(
    session: Session, file: Node, sections: Sequence[Section[ActorT]], *, actor: ActorT, now: datetime
) -> list[Change]:
    """Change what differs, in the caller's unit of work: with it, all or nothing. Raises SettingsFileError."""
    return _each(file, sections, lambda section, node: section.apply(session, node, actor, now))


def export(session: Session, sections: Sequence[Section[Any]]) -> str:
    """The stored settings as a file that `plan` calls unchanged; without secrets."""
    described = {section.key: section.describe(session) for section in sections}
    stored = {key: value for key, value in described.items() if value}
    return HEADER + (_dumped(stored) if stored else "")


def _each(
    file: Node, sections: Sequence[Section[ActorT]], ask: Callable[[Section[ActorT], Node], list[Change]]
) -> list[Change]:
    """Sections are asked in their own order, whatever the file's: later ones build on earlier ones."""
    file.refuse_unknown([section.key for section in sections])
    changes: list[Change] = []
    for section in sections:
        node = file.child(section.key)
        if node is not None:
            changes += ask(section, replace(node, root=file))
    return changes


class _Dumper(yaml.SafeDumper):
    """Long texts (certificates) as blocks, and no anchors: the reader refuses them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _dumped(settings: Any) -> str:
    return yaml.dump(settings, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
