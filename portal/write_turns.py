"""Whose turn it is to write into a SQLite database, among the threads and processes of one machine.

SQLite has one writer at a time, and who finds it taken sleeps for one to a hundred milliseconds and looks again
(https://sqlite.org/c3ref/busy_timeout.html). Beside a writer that begins anew as soon as it has ended, such as a worker
with a backlog, others miss their moment again and again: an acceptance waited for half a second. So writers stand in
line here before they ask SQLite: whoever waits is next. The price is the moment in which the next one notices, a tenth
of a millisecond or two; many tiny transactions of several processes take longer in all.

It is a courtesy, no lock that anything relies on: after a second, or beside a program that knows nothing of it, a
transaction begins without its turn, and SQLite decides. A killed process gives its turn back by ending (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import suppress
from typing import Any
from weakref import WeakSet

WAIT_SECONDS = 1.0
REST_SECONDS = 10.0  # nobody waits for so long after somebody waited in vain: a process may be frozen in its turn
_ENDINGS = ("-turn", "-turn-next")  # of the database's name, as "-wal" and "-shm" are
_SOON_SECONDS = 0.002
_LOOK_SOON_SECONDS = 0.0001
_LOOK_SECONDS = 0.0005


class WriteTurns:
    """The turns of one database, as one engine of one process sees them. A turn is a number, none is 0."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.database = ""  # its whole path, once it is known
        self._wait_seconds = wait_seconds
        self._files: list[int] = []  # locked by whoever writes, and by whoever is next
        self._among_threads = threading.Lock()
        self._rests_until = 0.0
        self._process = 1  # this one and its forked ones are told apart by number
        _all.add(self)

    def take(self) -> int:
        """Wait for a turn; 0 when it did not come in time, or where the files cannot be made or locked."""
        now = time.monotonic()
        end = now if now < self._rests_until else now + self._wait_seconds
        if not self._among_threads.acquire(timeout=end - now):
            return self._rest()
        turn = 0
        try:
            with suppress(OSError):
                turn = self._process if self._take_among_processes(end) else 0
        finally:
            if not turn:
                self._among_threads.release()
        return turn or self._rest()

    def give_back(self, turn: int) -> None:
        """What `take` gave; what it gave before a fork is the parent's."""
        if turn == self._process:
            _unlock(self._files[:1])
            self._among_threads.release()

    def begin_anew(self) -> None:
        """In a forked process: it has its parent's files, and with them its parent's locks."""
        self._close()
        self._among_threads = threading.Lock()
        self._process += 1

    def __del__(self) -> None:
        self._close()

    def _rest(self) -> int:
        self._rests_until = time.monotonic() + REST_SECONDS
        return 0

    def _take_among_processes(self, end: float) -> bool:
        if not self._files:
            self._open()
        writing, following = self._files
        if not _lock(following, end):
            return False
        try:
            has_turn = _lock(writing, end)
        finally:
            _unlock([following])
        if has_turn:
            self._rests_until = 0.0
        return has_turn

    def _open(self) -> None:
        try:
            for ending in _ENDINGS:
                self._files.append(_opened(self.database, ending))
        except OSError:
            self._close()
            raise

    def _close(self) -> None:
        files, self._files = self._files, []
        for file in files:
            with suppress(OSError):
                os.close(file)


_all: WeakSet[WriteTurns] = WeakSet()


def _after_fork() -> None:
    for turns in list(_all):
        turns.begin_anew()


os.register_at_fork(after_in_child=_after_fork)


class TurnTakingConnection(sqlite3.Connection):
    """A connection that gives its turn back when its transaction has ended."""

    turns: WriteTurns | None = None
    _turn = 0

    def take_turn(self) -> None:
        """Before BEGIN IMMEDIATE."""
        if self.turns is not None and not self._turn:
            self._turn = self.turns.take()

    def give_back_turn(self) -> None:
        """If it has one."""
        turn, self._turn = self._turn, 0
        if turn and self.turns is not None:
            self.turns.give_back(turn)

    def commit(self) -> None:
        try:
            super().commit()
        finally:
            self.give_back_turn()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self.give_back_turn()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.give_back_turn()

    def __del__(self) -> None:
        if finalize := getattr(super(), "__del__", None):  # from Python 3.12 on it closes the database
            finalize()
        self.give_back_turn()


def connection_in_turn(turns: WriteTurns) -> Any:
    """The factory for `sqlite3.connect`; the turns are those of the file that it opens. One in memory has none."""

    def connect(*arguments: Any, **options: Any) -> TurnTakingConnection:
        connection = TurnTakingConnection(*arguments, **options)
        _, _, path = connection.execute("PRAGMA database_list").fetchone()
        if path:
            turns.database, connection.turns = path, turns
        return connection

    return connect


def _opened(database: str, ending: str) -> int:
    """The file, made if it is missing, with the database's owner and mode: as SQLite does for its own beside it."""
    file = os.open(database + ending, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    with suppress(OSError):
        like = os.stat(database)  # noqa: PTH116 - a text in, numbers out
        os.fchmod(file, like.st_mode & 0o666)
        os.fchown(file, like.st_uid, like.st_gid)
    return file


def _lock(file: int, end: float) -> bool:
    soon = time.monotonic() + _SOON_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        now = time.monotonic()
        if now >= end:
            return False
        time.sleep(_LOOK_SOON_SECONDS if now < soon else _LOOK_SECONDS)


def _unlock(files: list[int]) -> None:
    for file in files:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
