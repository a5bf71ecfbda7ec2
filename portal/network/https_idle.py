"""Connections that wait for their next request."""

from __future__ import annotations

import threading
from collections import defaultdict
from time import monotonic

from portal.network.https_connecting import Connection
from portal.network.https_origins import Origin
from portal.network.timed_sockets import has_something_to_read

_IDLE_SECONDS = 30.0  # shorter than servers and firewalls in front of them usually wait
_MOST_FOR_ONE_ORIGIN = 8


class IdleConnections:
    """Kept by origin, the last used taken first; may be used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_origin: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._is_closed = False

    def take(self, origin: Origin) -> Connection | None:
        """A connection that its server has not left, as far as this side can know; None where there is none."""
        self._close_the_old()
        while True:
            with self._lock:
                waiting = self._by_origin[origin]
                connection = waiting.pop() if waiting else None
            if connection is None or not has_something_to_read(connection.wire):
                return connection
            # What comes unasked is the end of it, or an answer to nothing.
            connection.close()

    def keep(self, connection: Connection) -> None:
        """Take it back, when its answer was read to the end and its server did not say that it closes."""
        if connection.talk.sock is None:
            connection.close()
            return
        connection.idle_since = monotonic()
        with self._lock:
            waiting = self._by_origin[connection.origin]
            has_room = not self._is_closed and len(waiting) < _MOST_FOR_ONE_ORIGIN
            if has_room:
                waiting.append(connection)
        if not has_room:
            connection.close()

    def close(self) -> None:
        """Close all, and those that come back later."""
        with self._lock:
            self._is_closed = True
            waiting = [connection for connections in self._by_origin.values() for connection in connections]
            self._by_origin.clear()
        for connection in waiting:
            connection.close()

    def _close_the_old(self) -> None:
        latest = monotonic() - _IDLE_SECONDS
        old: list[Connection] = []
        with self._lock:
            for connections in self._by_origin.values():
                while connections and (connections[0].idle_since or 0.0) < latest:
                    old.append(connections.pop(0))
        for connection in old:
            connection.close()
