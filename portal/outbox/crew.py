"""The senders of one way out, and how its lines are shared out among them.

Each sender is a thread and begins with one line, on which it waits for the server. Where the server is quick that
waiting, and passing the interpreter's lock from thread to thread, costs more than the sending; there one sender, the
gatherer, takes over the lines of others and never waits on any one of them. A line that turns slow goes to a sender of
its own: no other line waits for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portal.outbox.lines import Line

MOST_LINES = 4  # of one sender


class Crew:
    """Used by the worker's thread and all senders of the way out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[threading.Thread, int] = {}
        self._gatherer: threading.Thread | None = None
        self._given: list[Line] = []  # to the gatherer, which has not taken them up yet

    @property
    def senders(self) -> tuple[threading.Thread, ...]:
        with self._lock:
            return tuple(self._lines)

    @property
    def lines(self) -> int:
        """Of all senders: each may be a connection."""
        with self._lock:
            return sum(self._lines.values())

    def join(self, sender: threading.Thread) -> None:
        """A new sender, with a line of its own."""
        with self._lock:
            self._lines[sender] = 1

    def leave(self, sender: threading.Thread) -> list[Line]:
        """The sender ends; returns the lines that it was given and has not taken up, for it to close."""
        with self._lock:
            self._lines.pop(sender, None)
            return self._resign(sender)

    def gathers(self, sender: threading.Thread) -> bool:
        """Whether it is the one that takes over other senders' lines; it becomes that where nobody is."""
        with self._lock:
            if self._gatherer is None and sender in self._lines:
                self._gatherer = sender
            return self._gatherer is sender

    @property
    def has_room(self) -> bool:
        """Whether the gatherer would take over one line more."""
        with self._lock:
            return self._taker() is not None

    def give(self, line: Line, *, by: threading.Thread) -> bool:
        """The only line of `by` goes to the gatherer, if that has room; then `by` has left."""
        with self._lock:
            gatherer = self._taker()
            if gatherer is None or gatherer is by:
                return False
            self._lines[gatherer] += self._lines.pop(by)
            self._given.append(line)
            return True

    @property
    def has_given(self) -> bool:
        """Whether lines wait for the gatherer to take them up."""
        with self._lock:
            return bool(self._given)

    def take_up(self, sender: threading.Thread) -> list[Line]:
        """What was given to it since it last asked."""
        with self._lock:
            given = self._given if self._gatherer is sender else []
            if given:
                self._given = []
            return given

    def resign(self, sender: threading.Thread) -> list[Line]:
        """It will wait on its line: it gathers no more; returns what it was given, to `part` with."""
        with self._lock:
            return self._resign(sender)

    def part(self, new: threading.Thread, *, by: threading.Thread) -> None:
        """A line of `by` goes to a new sender, or to a thread that closes it."""
        with self._lock:
            self._lines[by] -= 1
            self._lines[new] = 1

    def take_back(self, new: threading.Thread, *, by: threading.Thread) -> None:
        """The new sender did not come to be: its line is `by`'s again."""
        with self._lock:
            self._lines[by] += self._lines.pop(new)

    def shed(self, sender: threading.Thread, *, most: int) -> bool:
        """Whether it is to close one of its lines, since there are more than `most`; it has one less from now on."""
        with self._lock:
            if sum(self._lines.values()) <= most:
                return False
            self._lines[sender] -= 1
            return True

    def _taker(self) -> threading.Thread | None:
        """The gatherer, if it has room for a line."""
        gatherer = self._gatherer
        return gatherer if gatherer is not None and self._lines[gatherer] < MOST_LINES else None

    def _resign(self, sender: threading.Thread) -> list[Line]:
        if self._gatherer is not sender:
            return []
        given, self._gatherer, self._given = self._given, None, []
        return given
