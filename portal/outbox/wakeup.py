"""Tells the worker that something was committed, and lets it notice.

PostgreSQL: `NOTIFY` in the storing transaction, `LISTEN` on a connection of its own. SQLite: the storing
commit changes what `PRAGMA data_version` answers on the connection that the worker writes by, asked every 100 ms.
A missed call costs at most the worker's next look at the table, not a message.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol

import structlog
from sqlalchemy import func, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

CHANNEL = "portal_outbox"
LOOK_EVERY_SECONDS = 0.1
_RECONNECT_AFTER_SECONDS = 2.0
_STOP_IS_SEEN_WITHIN_SECONDS = 0.2
_log = structlog.get_logger("portal.outbox")


def notify(connection: Connection) -> None:
    """Wake every worker when this transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, "")))


def wake(session: Session) -> None:
    """As `notify`, for rooms that leave work for the worker's jobs in a unit of work."""
    notify(session.connection())


class Watcher(Protocol):
    """Notices commits of others."""

    def start(self, on_commit: Callable[[], None]) -> None:
        """Call it after commits from now on, until `close`."""

    def close(self) -> None:
        """Stop noticing; returns when the thread has ended."""


class _Thread:
    def __init__(self) -> None:
        self._stop = threading.Event()
        self._on_commit: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="outbox-watcher", daemon=True)

    def start(self, on_commit: Callable[[], None]) -> None:
        self._on_commit = on_commit
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch()
            except self._passing() as error:
                _log.warning("watching for new messages failed; trying again", error=type(error).__name__)
                self._stop.wait(_RECONNECT_AFTER_SECONDS)

    def _passing(self) -> tuple[type[Exception], ...]:
        raise NotImplementedError

    def _watch(self) -> None:
        raise NotImplementedError


class VersionWatcher(_Thread):
    """Of a database file: `version` answers differently when others have committed."""

    def __init__(self, version: Callable[[], object]) -> None:
        super().__init__()
        self._version = version

    def _passing(self) -> tuple[type[Exception], ...]:
        return (SQLAlchemyError, sqlite3.Error)

    def _watch(self) -> None:
        seen = None
        while not self._stop.is_set():
            version = self._version()
            if version != seen:
                seen = version
                self._on_commit()
            self._stop.wait(LOOK_EVERY_SECONDS)


class Listener(_Thread):
    """Of a PostgreSQL server: LISTEN, on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def _passing(self) -> tuple[type[Exception], ...]:
        return (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)

    def _watch(self) -> None:
        connection = self._engine.raw_connection()
        driver = connection.driver_connection
        connection.detach()  # it must not go back into the pool in another mode
        with closing(connection):
            self._listen(driver)

    def _listen(self, driver: Any) -> None:
        driver.rollback()
        driver.autocommit = True
        driver.execute(f"LISTEN {CHANNEL}")
        self._on_commit()  # whatever was committed before the LISTEN
        while not self._stop.is_set():
            for _ in driver.notifies(timeout=_STOP_IS_SEEN_WITHIN_SECONDS, stop_after=1):
                self._on_commit()
