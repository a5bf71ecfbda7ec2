"""The settings file: YAML whose places know their lines, compared with what is stored, applied all or nothing.

Offers the reader (`read`), the types that a room hands in (`Section`, `Change`, `Node`), `plan`, `apply` and
`export`. It knows no room and no table: each room brings a section. It never sees a stored secret, and never
follows a reference to a secret by itself: the caller says how, or that there is none.
"""

from __future__ import annotations

from portal.settings_file.node import (
    Node,
    ReferenceFailed,
    SecretReference,
    SecretValue,
    SettingsFileError,
)
from portal.settings_file.reading import read
from portal.settings_file.references import follow_on_this_machine, refuse_references
from portal.settings_file.section import Change, Section
from portal.settings_file.whole import apply, export, plan

__all__ = [
    "Change",
    "Node",
    "ReferenceFailed",
    "SecretReference",
    "SecretValue",
    "Section",
    "SettingsFileError",
    "apply",
    "export",
    "follow_on_this_machine",
    "plan",
    "read",
    "refuse_references",
]
