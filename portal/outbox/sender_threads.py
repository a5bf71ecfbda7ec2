"""Threads that run senders, and hand their lines to each other: see `crew.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from portal.outbox.crew import Crew
from portal.outbox.ledger import PASSING, Ledger
from portal.outbox.lines import Line
from portal.outbox.pool import Pool
from portal.outbox.senders import Sender

_RETRY_AFTER_SECONDS = 1.0
_log = structlog.get_logger("portal.outbox")


class SenderThread(threading.Thread):
    """Runs a sender until its pool is closed, has no place for it, or has long had no work.

    It begins with a line of its own, or with one that another sender parted with; see `crew.py`.
    """

    def __init__(self, pool: Pool, ledger: Ledger, *, must_stop: Callable[[], bool], line: Line | None = None) -> None:
        super().__init__(name=f"outbox-{pool.way_out.name[:30]}", daemon=True)
        self._pool = pool
        self._crew = pool.crew
        self._ledger = ledger
        self._must_stop = must_stop
        self._sender = Sender(pool, ledger, line or Line(pool, ledger, must_stop=must_stop))
        self._gathers = False
        self._idle_after = ledger.settings.idle_after.total_seconds()
        self._idle_since = time.monotonic()

    def run(self) -> None:
        try:
            self._sender.resume()
            while self._goes_on():
                pass
        except Exception:  # noqa: BLE001 - one sender must not end the worker
            _log.exception("a sender stopped", connection=self._pool.way_out.name)
        finally:
            self._end()

    def _end(self) -> None:
        """Until its conversation has ended a line counts, so that no other takes its place too early."""
        try:
            self._sender.lines += self._crew.resign(self)  # nobody gives it another from now on
            self._sender.abandon()
            for line in self._sender.lines:
                line.close()
                self._crew.shed(self, most=0)
        finally:
            self._crew.leave(self)
            self._sender.close()

    def _goes_on(self) -> bool:
        try:
            if self._gathers:
                self._sender.lines += self._crew.take_up(self)
            self._shed()
            if not self._sender.lines or self._gives_away():
                return False
            if self._sender.step(wait_seconds=1.0, part_with=self._part_with if self._gathers else None):
                self._idle_since = time.monotonic()
                return True
        except PASSING as error:
            self._wait_for_database(error)
            if not (self._pool.is_closed and self._must_stop()):
                return True
        return not self._is_to_leave()

    def _gives_away(self) -> bool:
        """Whether the gatherer goes on with the line; where there is none it is this one from now on."""
        if self._gathers or not self._sender.is_quick or self._pool.slots < 2:
            return False
        self._gathers = self._crew.gathers(self)
        if self._gathers or not self._crew.has_room:
            return False
        self._sender.settle()
        if not self._crew.give(self._sender.lines[0], by=self):
            return False
        self._sender.lines.clear()
        return True

    def _part_with(self, line: Line) -> bool:
        """Whether another sender goes on with a line that turned slow. Else, as with the last one, it is waited on.

        Who waits takes over no lines; several that are there already are driven together all the same.
        """
        if len(self._sender.lines) > 1 and self._start_another(line):
            return True
        self._gathers = len(self._sender.lines) > 1
        for given in self._crew.resign(self):
            if not self._start_another(given) and self._crew.shed(self, most=0):
                given.close()
        return False

    def _start_another(self, line: Line) -> bool:
        """Whether there is another sender with the line."""
        other = SenderThread(self._pool, self._ledger, must_stop=self._must_stop, line=line)
        if self._starts(other):
            return True
        _log.error("there is no thread to be had for a line that turned slow", connection=self._pool.way_out.name)
        return False

    def _starts(self, other: threading.Thread) -> bool:
        """Whether a thread has begun that has one of this one's lines from now on."""
        self._crew.part(other, by=self)
        try:
            other.start()
        except RuntimeError:
            self._crew.take_back(other, by=self)
            return False
        return True

    def _shed(self) -> None:
        """Close a line that the budget has no place for, or one of several that has long had nothing to send."""
        *others, last = self._sender.lines
        if others and last.is_free and time.monotonic() - last.used_at > self._idle_after:
            if self._starts(_Closing(last, self._crew, name=self.name)):  # the others are not to wait for the farewell
                self._sender.lines.remove(last)
        elif self._crew.lines > self._pool.slots:
            self._sender.settle()
            if self._crew.shed(self, most=self._pool.slots):
                self._sender.lines.remove(last)
                last.close()

    def _wait_for_database(self, error: Exception) -> None:
        _log.error("the outbox cannot be written; trying again", error=type(error).__name__)
        time.sleep(_RETRY_AFTER_SECONDS)

    def _is_to_leave(self) -> bool:
        return self._pool.is_closed or time.monotonic() - self._idle_since > self._idle_after


class _Closing(threading.Thread):
    """Ends the conversation of a line that has nothing in hand."""

    def __init__(self, line: Line, crew: Crew, *, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._line = line
        self._crew = crew

    def run(self) -> None:
        try:
            self._line.close()
        finally:
            self._crew.leave(self)
