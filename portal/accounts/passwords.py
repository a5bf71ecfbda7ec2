"""Passwords become hashes, and are compared with them: argon2id (RFC 9106), bounded so that a flood of sign-ins
can take neither the memory nor every thread.

One hash costs about 30 ms of a core and 19 MiB. A process makes as many at a time as there are cores, less one for
pages; a few more wait. They are made in threads of their own, which on Linux give way to those that answer pages:
argon2 releases the interpreter's lock.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TypeVar, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST = 1024  # bytes of UTF-8; longer input is refused before it costs anything
RETRY_AFTER_SECONDS = (2, 8)  # the shortest and the longest
NICENESS = 10  # of the threads that hash, above that of the process
Result = TypeVar("Result")
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified where there is no account or no password, so that the answer takes the same time. Nobody knows its password.
_DUMMY = "$argon2id$v=19$m=19456,t=2,p=1$szQk1JF/408gMidb++h81A$9Oe3V5MP+0TMYqL/S5Xck85wIefs/4l8aaAXGVnlGbU"


class TooBusy(Exception):
    """Too many passwords are being checked; nothing was decided. Worth another try after `retry_after_seconds`.

    Drawn by lot: those who are sent away together do not come back together, to keep all threads from pages again.
    """

    def __init__(self) -> None:
        super().__init__()
        shortest, longest = RETRY_AFTER_SECONDS
        self.retry_after_seconds = shortest + secrets.randbelow(longest - shortest + 1)


class Bound:
    """At most `running` at once and `waiting` more, each for at most `patience_seconds`."""

    def __init__(self, *, running: int, waiting: int, patience_seconds: float) -> None:
        self._admitted = threading.BoundedSemaphore(running + waiting)
        self._running = threading.BoundedSemaphore(running)
        self._patience = patience_seconds

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Raises TooBusy where no slot comes free in time."""
        if not self._admitted.acquire(blocking=False):
            raise TooBusy
        try:
            if not self._running.acquire(timeout=self._patience):
                raise TooBusy
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._admitted.release()


_CORES = os.cpu_count() or 1
AT_ONCE = max(1, _CORES - 1)  # a core is left for pages
WAITING = 2 * _CORES
bound = Bound(running=AT_ONCE, waiting=WAITING, patience_seconds=2.0)


class _Hashing:
    """The threads that hash; begun with the first hash, and anew in a forked process, which has none of them.

    They end with the process, not before the last request in hand, as those of a pool would.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: SimpleQueue[tuple[Callable[[], object], Future[object]]] | None = None

    def run(self, work: Callable[[], Result]) -> Result:
        done: Future[Result] = Future()
        with self._lock:
            if self._asked is None:
                self._asked = SimpleQueue()
                for number in range(AT_ONCE):
                    threading.Thread(
                        target=self._hash, args=(self._asked,), name=f"hashing-{number}", daemon=True
                    ).start()
        self._asked.put((work, cast("Future[object]", done)))
        return done.result()

    @staticmethod
    def _hash(asked: SimpleQueue[tuple[Callable[[], object], Future[object]]]) -> None:
        _give_way()
        while True:
            work, done = asked.get()
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the hash was asked for
                done.set_exception(error)


def _give_way() -> None:
    """Only on Linux is a thread's number one of a process for the scheduler; elsewhere it may be somebody else's."""
    if sys.platform == "linux":
        with suppress(OSError):  # not allowed in this container: no slower than without
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + NICENESS))


_hashing = _Hashing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hashing.__init__)  # type: ignore[misc]


def hash_password(password: str) -> str:
    """The password's hash with its parameters (PHC string). Raises TooBusy; ValueError if it is too long."""
    if is_too_long(password):
        raise ValueError("a password longer than 1 KB was not refused before it was hashed")
    with bound.slot():
        return _hashing.run(lambda: _hasher.hash(_normalised(password)))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether `password` is the one of the hash. Without a hash the answer is no, after the same work.

    Raises TooBusy.
    """
    candidate = "" if is_too_long(password) else _normalised(password)
    with bound.slot():
        try:
            matches = _hashing.run(lambda: _hasher.verify(password_hash or _DUMMY, candidate))
        except (VerificationError, InvalidHashError):
            return False
    return matches and password_hash is not None and not is_too_long(password)


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def is_too_long(password: str) -> bool:
    return len(password.encode(errors="replace")) > LONGEST


def _normalised(password: str) -> bytes:
    """NFKC, so that two keyboards that type the same letters mean the same password (NIST SP 800-63B 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode(errors="replace")
