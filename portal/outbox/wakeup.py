"""Tells the worker that something was committed, and lets it notice.

PostgreSQL: `NOTIFY` in the storing transaction, `LISTEN` on a connection of its own. SQLite: the storing
commit changes what `PRAGMA data_version` answers on a connection of its own, asked every 100 ms.
A missed call costs at most the worker's next look at the table, not a message.
"""

from __future__ import annotations

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


def watcher_for(engine: Engine) -> Watcher:
    """The way of noticing that fits the database."""
    return _Listener(engine) if engine.dialect.name == "postgresql" else _DataVersion(engine)


class _Thread:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._passing: tuple[type[Exception], ...] = (SQLAlchemyError, engine.dialect.loaded_dbapi.Error)
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
                connection = self._engine.raw_connection()
                driver = connection.driver_connection
                connection.detach()  # it must not go back into the pool in another mode
                with closing(connection):
                    self._watch(driver)
            except self._passing as error:
                _log.warning("watching for new messages failed; trying again", error=type(error).__name__)
                self._stop.wait(_RECONNECT_AFTER_SECONDS)

    def _watch(self, driver: Any) -> None:
        raise NotImplementedError


class _DataVersion(_Thread):
    def _watch(self, driver: Any) -> None:
        seen = None
        while not self._stop.is_set():
            version = driver.execute("PRAGMA data_version").fetchone()[0]
            if version != seen:
                seen = version
                self._on_commit()
            self._stop.wait(LOOK_EVERY_SECONDS)


class _Listener(_Thread):
    def _watch(self, driver: Any) -> None:
        driver.rollback()
        driver.autocommit = True
        driver.execute(f"LISTEN {CHANNEL}")
        self._on_commit()  # whatever was committed before the LISTEN
        while not self._stop.is_set():
            for _ in driver.notifies(timeout=_STOP_IS_SEEN_WITHIN_SECONDS, stop_after=1):
                self._on_commit()
