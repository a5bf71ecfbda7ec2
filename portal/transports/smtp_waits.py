"""How a conversation's socket is waited on: no longer than a time that differs from call to call.

A Python socket with a timeout asks the system twice for each piece, whether it is ready and then for the piece, and
gives up the interpreter's lock each time. Between threads that send that costs more than the sending. So a plain
socket on Linux waits in the kernel (SO_RCVTIMEO, SO_SNDTIMEO), a tick at a time; TLS and other systems do as usual.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from time import monotonic
from typing import Protocol

_TICK = 1.0  # seconds; the kernel is told anew only when less is left
_UNNOTICED_SECONDS = 0.01


class Waits(Protocol):
    """Sends and receives. `seconds` is more than nothing; raises TimeoutError after it, OSError for the rest."""

    def send(self, octets: bytes, seconds: float) -> int:
        """Some of it; returns how much."""

    def receive(self, most: int, seconds: float) -> bytes:
        """What is there, once something is; nothing at the end of the stream."""

    def receive_now(self, most: int) -> bytes | None:
        """What is there; None when nothing is."""


def waits_on(connected: socket.socket) -> Waits:
    """The cheapest way of waiting that this socket allows."""
    if isinstance(connected, ssl.SSLSocket) or not sys.platform.startswith("linux"):
        return _ByTimeout(connected)
    return _InKernel(connected)


class _ByTimeout:
    """The socket's own timeout."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def send(self, octets: bytes, seconds: float) -> int:
        self._wait_at_most(seconds)
        return self._socket.send(octets)

    def receive(self, most: int, seconds: float) -> bytes:
        self._wait_at_most(seconds)
        return self._socket.recv(most)

    def receive_now(self, most: int) -> bytes | None:
        self._socket.settimeout(0)
        try:
            return self._socket.recv(most)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def _wait_at_most(self, seconds: float) -> None:
        # Each setting is a call of the system; between the steps of a message the time is nearly always the same.
        current = self._socket.gettimeout()
        if not current or not 0 <= current - seconds < _UNNOTICED_SECONDS:
            self._socket.settimeout(seconds)


class _InKernel:
    """A blocking socket with a timeout of the kernel's (socket(7))."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(None)
        self._socket = connected
        self._ticks = {socket.SO_SNDTIMEO: 0.0, socket.SO_RCVTIMEO: 0.0}

    def send(self, octets: bytes, seconds: float) -> int:
        end = monotonic() + seconds
        while True:
            self._tick(socket.SO_SNDTIMEO, seconds)
            try:
                return self._socket.send(octets)
            except BlockingIOError:
                seconds = _left(end)

    def receive(self, most: int, seconds: float) -> bytes:
        end = monotonic() + seconds
        while True:
            self._tick(socket.SO_RCVTIMEO, seconds)
            try:
                return self._socket.recv(most)
            except BlockingIOError:
                seconds = _left(end)

    def receive_now(self, most: int) -> bytes | None:
        try:
            return self._socket.recv(most, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def _tick(self, option: int, seconds: float) -> None:
        tick = min(seconds, _TICK)
        if self._ticks[option] != tick:
            whole = int(tick)
            microseconds = max(1, int((tick - whole) * 1_000_000)) if tick < _TICK else 0  # zero would be for ever
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", whole, microseconds))
            self._ticks[option] = tick


def _left(end: float) -> float:
    left = end - monotonic()
    if left <= 0:
        raise TimeoutError
    return left
