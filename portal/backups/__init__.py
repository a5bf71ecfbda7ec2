"""Backups: every row of every table in one file that fits SQLite and PostgreSQL alike.

Offers `save` and `restore`. Never overwrites a backup or an installation unless told to, and never leaves half of one.
"""

from __future__ import annotations

from portal.backups.archive import NotABackup
from portal.backups.restoring import NotRestored, Restored, restore
from portal.backups.saving import Saved, save

__all__ = ["NotABackup", "NotRestored", "Restored", "Saved", "restore", "save"]
