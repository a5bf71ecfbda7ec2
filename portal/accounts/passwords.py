"""Passwords become hashes, and are compared with them: argon2id (RFC 9106), bounded so that a flood of sign-ins
can take neither the memory nor every thread.

One hash costs about 30 ms of a core and 19 MiB. A process makes one per core at a time; a few more wait.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST = 1024  # bytes of UTF-8; longer input is refused before it costs anything
RETRY_AFTER_SECONDS = 2
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified where there is no account or no password, so that the answer takes the same time. Nobody knows its password.
_DUMMY = "$argon2id$v=19$m=19456,t=2,p=1$szQk1JF/408gMidb++h81A$9Oe3V5MP+0TMYqL/S5Xck85wIefs/4l8aaAXGVnlGbU"


class TooBusy(Exception):
    """Too many passwords are being checked; nothing was decided. Worth another try after RETRY_AFTER_SECONDS."""


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
bound = Bound(running=_CORES, waiting=2 * _CORES, patience_seconds=2.0)


def hash_password(password: str) -> str:
    """The password's hash with its parameters (PHC string). Raises TooBusy; ValueError if it is too long."""
    if is_too_long(password):
        raise ValueError("a password longer than 1 KB was not refused before it was hashed")
    with bound.slot():
        return _hasher.hash(_normalised(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether `password` is the one of the hash. Without a hash the answer is no, after the same work.

    Raises TooBusy.
    """
    candidate = "" if is_too_long(password) else _normalised(password)
    with bound.slot():
        try:
            matches = _hasher.verify(password_hash or _DUMMY, candidate)
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
