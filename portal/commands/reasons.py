"""Whatever stops a command, as one line for the person at the keyboard."""

from __future__ import annotations

import traceback
from pathlib import Path

from portal.config import ConfigError
from portal.paths import PACKAGE
from portal.wording import Text


def in_one_line(error: Exception) -> str:
    """What happened, and for what nobody foresaw where; never a message that may hold what was read."""
    from sqlalchemy.exc import DBAPIError

    from portal.schema import SchemaMismatch

    reason = getattr(error, "reason", None)
    if isinstance(reason, Text):
        return str(reason)
    if isinstance(error, ConfigError | SchemaMismatch):
        return str(error)
    if isinstance(error, DBAPIError):
        return f"the database cannot be used: {_first_line(error.orig)}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return where + (error.strerror or str(error))
    return f"this is an error in the portal itself ({_place(error)}); PORTAL_LOG_LEVEL=debug shows all of it"


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or ["no reason was given"])[0]


def _place(error: Exception) -> str:
    """The innermost line of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    kind = type(error).__name__
    return f"{kind} in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else kind
