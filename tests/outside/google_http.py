"""The stand-in's side of HTTPS: requests as they came, answers as they go out."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

JSON = "application/json; charset=UTF-8"
NOT_KEPT = {"Cache-Control": "no-cache, no-store, max-age=0, must-revalidate", "Pragma": "no-cache"}


@dataclass(frozen=True)
class Request:
    """One request as it came, secrets included."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message  # asked for by name in any case; None where there is none
    content: bytes = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        """The form in the body; empty where the body is none. Of a repeated name the first."""
        return {name: values[0] for name, values in self._fields().items()}

    def values(self, name: str) -> list[str]:
        """What a form says under a name that may stand several times."""
        return self._fields().get(name, [])

    @property
    def bearer(self) -> str:
        kind, _, token = (self.headers["Authorization"] or "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    @property
    def text(self) -> str:
        """What a script's `about` is looked for in."""
        return f"{self.method} {self.path} {self.query} {self.content.decode('utf-8', 'replace')}"

    def _fields(self) -> dict[str, list[str]]:
        if self.headers.get_content_type() != "application/x-www-form-urlencoded":
            return {}
        return parse_qs(self.content.decode(), keep_blank_values=True)


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    content = json.dumps(value, indent=2).encode()
    return Answer(status=status, content=content, headers={"Content-Type": JSON, **NOT_KEPT, **(headers or {})})


# None closes the connection without a word.
Respond = Callable[[Request], Answer | None]


class Listener(ThreadingHTTPServer):
    """Accepts connections until it is stopped, and keeps what went wrong in the server itself in `mistakes`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, respond: Respond) -> None:
        self.mistakes: list[BaseException] = []
        self._context = context
        self._open: dict[threading.Thread, socket.socket] = {}
        super().__init__(address, partial(_Conversation, respond=respond))
        self._loop = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """No further connection; those that are open are cut."""
        self.shutdown()
        self._loop.join()
        open_now = list(self._open.items())
        for _, connected in open_now:
            with suppress(OSError):
                # Not the TLS socket's own: it would pull the session away from under the thread that reads.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
        for thread, _ in open_now:
            thread.join(5)
        self.server_close()

    def server_bind(self) -> None:
        # Not HTTPServer's own: it looks the address up in the DNS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        connected, address = super().get_request()
        # The handshake is the conversation's: a client that is slow at it holds up nobody else.
        return self._context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._open[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        super().process_request_thread(request, client_address)
        self._open.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        # Clients that go, or that do not trust the certificate, are no mistake of the server.
        if error is not None and not isinstance(error, OSError):
            self.mistakes.append(error)


class _Conversation(BaseHTTPRequestHandler):
    """One connection, with as many requests as the client likes."""

    protocol_version = "HTTP/1.1"
    server_version = "StandIn"
    sys_version = ""
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, *arguments: Any, respond: Respond) -> None:
        self._respond = respond
        super().__init__(*arguments)

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()

    def log_message(self, *arguments: Any) -> None:
        """Nothing on standard error: `GoogleServer.requests` tells more."""

    def _converse(self) -> None:
        content = self._content()
        target = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
        answer = self._respond(Request(self.command, target.path, query, self.headers, content))
        if answer is None:
            self.close_connection = True
        else:
            self._write(answer)

    def _content(self) -> bytes:
        """The whole body, whether its length is known before or it comes in pieces (RFC 9112 section 7.1)."""
        if (self.headers["Transfer-Encoding"] or "").lower() != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        content = bytearray()
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bytes(content)

    def _write(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _converse
