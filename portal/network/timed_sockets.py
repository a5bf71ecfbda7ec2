"""Sockets that end with a call's deadline.

A timeout of the socket module holds for one read: a server that sends a byte at a time is never late. These ask
the clock before each read and write.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
from time import monotonic
from typing import Any

# Set when the peer has closed its side, whether or not something is left to read; not every system has it.
_PEER_IS_GONE = getattr(select, "POLLRDHUP", 0)


class TimedSocket(socket.socket):
    """A plain socket; `deadline` is a value of `time.monotonic()`. Raises TimeoutError once it has passed."""

    deadline = math.inf

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        keep_to_deadline(self)
        return super().recv_into(buffer, nbytes, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        keep_to_deadline(self)  # the socket module counts the time for all of it
        super().sendall(data, flags)


class TimedTLSSocket(ssl.SSLSocket):
    """The same, encrypted; contexts make it by their `sslsocket_class`."""

    deadline = math.inf

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        keep_to_deadline(self)
        return super().recv(buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        keep_to_deadline(self)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        keep_to_deadline(self)  # sendall() comes here for each piece
        return super().send(data, flags)

    def do_handshake(self, block: bool = False) -> None:
        keep_to_deadline(self)
        super().do_handshake(block)


def keep_to_deadline(timed: TimedSocket | TimedTLSSocket) -> None:
    """Let the next call on the socket take what is left of its time. Raises TimeoutError when nothing is."""
    seconds = timed.deadline - monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    timed.settimeout(None if math.isinf(seconds) else seconds)


def is_closed_by_peer(timed: TimedSocket | TimedTLSSocket) -> bool:
    """Whether the peer has ended the connection. What it said before may still be there to read."""
    return _happened(timed, _PEER_IS_GONE)


def has_something_to_read(timed: TimedSocket | TimedTLSSocket) -> bool:
    """Whether something came, were it the end of the connection."""
    return _happened(timed, _PEER_IS_GONE | select.POLLIN)


def _happened(timed: TimedSocket | TimedTLSSocket, what: int) -> bool:
    poll = select.poll()
    poll.register(timed, what)
    return bool(poll.poll(0))
