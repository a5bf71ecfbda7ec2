"""What accepts connections for a stand-in: a thread for each, TLS where asked for, and an end that waits for all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

CHUNK = 64 * 1024


class Listener:
    """Listens from `with` to its end; each connection has a thread of its own, in which `_converse` is called.

    With a `context` the conversation is encrypted. Port 0 takes any that is free; `port` then says which.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = port
        self.connections = 0
        self._context = context
        self._listener: socket.socket | None = None
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def bind(self) -> None:
        """The port is known from now on; who connects waits until `start`."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        self.port = self._listener.getsockname()[1]

    def start(self) -> None:
        self._start(self._accept)

    def stop(self) -> None:
        """No further connection; those that are open are cut."""
        self._stopped.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._changed:
            for connected in self._open:
                hang_up(connected)
        for thread in list(self._threads):
            thread.join(30)

    def __enter__(self) -> Self:
        self.bind()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._stopped.is_set():
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._start(self._serve, connected, self.connections)

    def _serve(self, connected: socket.socket, number: int) -> None:
        self._opened(connected)
        # What the client does, or what a script does to it, is no mistake of the server.
        with suppress(OSError, ValueError, IndexError):
            try:
                if self._context is not None:
                    connected = self._encrypt(connected, self._context)
                self._converse(connected, number)
            finally:
                self._closing(connected)

    def _converse(self, connected: socket.socket, number: int) -> None:
        """The whole conversation over one connection; `number` counts them from 1."""
        raise NotImplementedError

    def _start(self, run: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, name=f"stand-in {self.port}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _opened(self, connected: socket.socket) -> None:
        with self._changed:
            self._open.add(connected)

    def _closing(self, connected: socket.socket, *, politely: bool = True) -> None:
        if politely:
            hang_up(connected)
        connected.close()
        with self._changed:
            self._open.discard(connected)
            self._changed.notify_all()

    def _encrypt(self, connected: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        with self._changed:
            self._open.discard(connected)
            # The handshake comes later, so that an end of the test finds the socket and hangs up.
            encrypted = context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
            self._open.add(encrypted)
        try:
            encrypted.do_handshake()
        except BaseException:
            _let_read(encrypted)
            self._closing(encrypted)
            raise
        return encrypted


def hang_up(connected: socket.socket) -> None:
    """End both directions; whoever reads or writes there notices."""
    with suppress(OSError):
        # Not the TLS socket's own: it would pull the session away from under the thread that reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _let_read(connected: socket.socket) -> None:
    """Wait until the client has gone: an end with something unread would be a reset, and wipe out what was said."""
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_WR)
        connected.settimeout(2)
        while socket.socket.recv(connected, CHUNK):
            pass
