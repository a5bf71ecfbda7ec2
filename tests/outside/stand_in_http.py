"""The side of HTTP that stand-ins share: requests as they came, answers as they go out."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.outside.listener import Listener

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


class HTTPListener(Listener):
    """Answers each request with what `respond` makes of it, and keeps what went wrong in the server in `mistakes`.

    Without a `context` it speaks plain HTTP.
    """

    def __init__(
        self, respond: Respond, *, host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(host=host, port=port, context=context)
        self.mistakes: list[Exception] = []
        self._respond = respond

    def _converse(self, connected: socket.socket, number: int) -> None:
        try:
            _Conversation(connected, self.address, self, respond=self._respond)
        except OSError:
            return  # the client has gone
        except Exception as error:  # noqa: BLE001 - the test is told of it at the end
            self.mistakes.append(error)

    def raise_mistakes(self, whose: str) -> None:
        """Raise AssertionError if there was one; `whose` names the stand-in."""
        if self.mistakes:
            raise AssertionError(f"{whose} made a mistake") from self.mistakes[0]


class _Conversation(BaseHTTPRequestHandler):
    """One connection, with as many requests as the client likes."""

    protocol_version = "HTTP/1.1"
    server_version = "StandIn"
    sys_version = ""
    wbufsize = -1

    def __init__(self, *arguments: Any, respond: Respond) -> None:
        self._respond = respond
        super().__init__(*arguments)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on standard error: the stand-in's `requests` tell more."""

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
