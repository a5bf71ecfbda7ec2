"""Mail settings of other programs, as draft connections: what becomes of each value is shown before anything is stored.

Offers `read_import`, which recognises a text by its content, `previewed`, which says what would become of it, and
`create_drafts`; `planned_servers` and `create_servers` for the users of a program that takes mail itself. A draft
never sends and is never the default by itself. It follows no reference that stands in a text, keeps a text sealed for
a quarter of an hour at most, and never shows a secret of it.
"""

from __future__ import annotations

from portal.settings_imports.drafts import Draft, Field, create_drafts, previewed
from portal.settings_imports.recognition import read_import
from portal.settings_imports.source import Import, LeftOut
from portal.settings_imports.users import MadeServer, PlannedServer, create_servers, planned_servers

__all__ = [
    "Draft",
    "Field",
    "Import",
    "LeftOut",
    "MadeServer",
    "PlannedServer",
    "create_drafts",
    "create_servers",
    "planned_servers",
    "previewed",
    "read_import",
]
