"""Why a message was not accepted, for whoever asked, and how soon it is worth asking again."""

from __future__ import annotations

import sqlite3
from enum import StrEnum

from sqlalchemy import exc

from portal.wording import N_, Text

_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_POSTGRESQL_DISK_FULL = "53100"
_POSTGRESQL_LOCKS = {"55P03", "40P01", "40001"}  # the wait was too long, two waited for each other, came between
_POSTGRESQL_AWAY = {"", "08", "53", "57"}  # classes of sqlstate: no answer, connection, resources, shut down
_RETRY_AFTER_SECONDS = 5


class AcceptError(Exception):
    """The message is not stored, or nobody can say. `reason` is a sentence for whoever sent it."""

    def __init__(self, reason: Text, *, retry_after: int | None = None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.retry_after = retry_after  # seconds; None: asking again changes nothing


class Busy(AcceptError):
    """More wait to be stored than there is room for, or the wait was too long. Nothing is stored."""

    def __init__(self) -> None:
        super().__init__(
            N_("More messages arrive than can be stored at the moment. Send this one again in a few seconds."),
            retry_after=1,
        )


class IdempotencyConflict(AcceptError):
    """The key belongs to another request. Nothing is stored."""

    def __init__(self) -> None:
        super().__init__(
            N_("This idempotency key was used for another request before. Use a new key for a new request.")
        )


class Cause(StrEnum):
    """What kept the database from storing."""

    BUSY = "busy"
    FULL = "full"
    AWAY = "away"
    LOCKED = "locked"  # of others that wrote the same
    REFUSED = "refused"
    UNKNOWN = "unknown"  # whether it is stored
    STOPPING = "stopping"

    @property
    def is_everybodys(self) -> bool:
        """Whether it hits whatever else would be stored now."""
        return self in {Cause.BUSY, Cause.AWAY, Cause.UNKNOWN}


_REASONS = {
    Cause.BUSY: N_("The database is busy: the message was not stored. Send it again in a few seconds."),
    Cause.FULL: N_("The disk of the database is full: the message was not stored. An administrator must make room."),
    Cause.AWAY: N_("The database does not answer: the message was not stored. Send it again in a few seconds."),
    Cause.LOCKED: N_("Others held up the storing of this message for too long. Send it again in a few seconds."),
    Cause.REFUSED: N_(
        "The database refused the message: it was not stored. An administrator finds the cause in the log."
    ),
    Cause.UNKNOWN: N_("Whether the message was stored is not known. Send it again in a few seconds."),
    Cause.STOPPING: N_("The portal is stopping: the message was not stored. Send it again in a few seconds."),
}


class NotStored(AcceptError):
    """The database did not take it; `cause` says why. Nothing is stored, except perhaps with Cause.UNKNOWN."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(_REASONS[cause], retry_after=None if cause is Cause.REFUSED else _RETRY_AFTER_SECONDS)
        self.cause = cause


def cause_of(error: BaseException) -> Cause:
    """What an error says of the message that was to be stored."""
    if isinstance(error, NotStored):
        return error.cause
    if isinstance(error, exc.TimeoutError):
        return Cause.BUSY  # every connection of the pool is taken
    if not isinstance(error, exc.DBAPIError):
        return Cause.REFUSED
    return _cause_on_sqlite(error.orig) if isinstance(error.orig, sqlite3.Error) else _cause_on_postgresql(error)


def said_by(error: BaseException) -> str:
    """What an error says, for the log. The lines after the first would name recipients and subjects."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _cause_on_postgresql(error: exc.DBAPIError) -> Cause:
    sqlstate = getattr(error.orig, "sqlstate", None) or ""
    if sqlstate in _POSTGRESQL_LOCKS:
        return Cause.LOCKED
    if sqlstate == _POSTGRESQL_DISK_FULL:
        return Cause.FULL
    is_lost = error.connection_invalidated or isinstance(error, (exc.OperationalError, exc.InterfaceError))
    return Cause.AWAY if is_lost and sqlstate[:2] in _POSTGRESQL_AWAY else Cause.REFUSED


def _cause_on_sqlite(error: sqlite3.Error) -> Cause:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells the kind of the kind
    if code in _SQLITE_BUSY:
        return Cause.BUSY
    if code == sqlite3.SQLITE_FULL:
        return Cause.FULL
    return Cause.AWAY if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} else Cause.REFUSED
