"""Who changed what, and when: an append-only record, written in the transaction of the change.

Offers `record`, `Actor` and `CHANGED`. Never holds a secret's value, never changes or removes an entry.
"""

from __future__ import annotations

from portal.audit.recording import CHANGED, COMMAND_LINE, Changed, record
from portal.web.access import Actor

__all__ = ["CHANGED", "COMMAND_LINE", "Actor", "Changed", "record"]
