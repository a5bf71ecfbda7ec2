"""An HTTPS server and a web proxy on loopback that do what a test says, and keep what they were told.

    with HTTPSServer(authority.issue("127.0.0.1", "localhost")) as server:
        server.on("/token", json={"access_token": "abc"})
        ...                                             # call server.url("/token")
        server.requests[0].form["grant_type"]

Without a certificate it speaks plain HTTP. What no script names is answered 404. The last script that fits path
and method is obeyed, `times=1` once and then the one before it:

    server.on("/send", status=202, method="POST")
    server.on("/send", status=429, headers={"Retry-After": "30"}, times=1)
    server.on("/send", answer=lambda request: Reply(200, request.content))   # worked out from the request
    server.on("/send", raw=b"HTTP/1.1 200 OK\r\n\r\n")      # bytes as they are, then the connection ends
    server.on("/send", delay=0.5)                           # before the answer
    server.on("/send", trickle=0.05)                        # the answer one byte every 0.05 s
    server.on("/send", flood=b"x" * 65536)                  # a status line and headers, then this without end
    server.on("/send", chunked=True)                        # the content in chunks of 1,000 bytes
    server.on("/send", close=True)                          # "Connection: close", and so it does
    server.on("/send", leave="line")                        # reset the connection at the first line of a request
    server.on("/send", leave="head")                        # end the connection when headers came, content unread
    server.on("/send", leave="content")                     # ... in the middle of the content, with a reset
    server.on("/send", leave="request")                     # ... when all came, with no answer
    server.on("/send", leave="answer")                      # ... in the middle of the answer
    server.on("/send", status=413, early=True)              # answer the headers alone, and close
    server.on("/send", stall=True)                          # read no content, answer nothing, until the end

`requests` holds those whose headers were complete, with what came of their content. `server.hang_up()` ends
every connection. `ConnectProxy` stands between; it is told where names lead:

    with ConnectProxy({"login.contoso.test:443": server.address}, account=("portal", "geheim")) as proxy:
        proxy.url, proxy.targets, proxy.authorizations
"""

from __future__ import annotations

import json as json_format
import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

from tests.outside.certificates import ServerCertificate
from tests.outside.listener import CHUNK, Listener, hang_up

_LEAVINGS = {"", "line", "head", "content", "request", "answer"}


@dataclass(frozen=True)
class ReceivedRequest:
    """What a client sent; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    connection: int  # the number of its connection, from 1

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return _single(urlsplit(self.target).query)

    @property
    def form(self) -> dict[str, str]:
        return _single(self.content.decode())

    @property
    def json(self) -> Any:
        return json_format.loads(self.content)


@dataclass(frozen=True)
class Reply:
    """An answer to be."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        content = json_format.dumps(value).encode()
        return cls(status, content, {"Content-Type": "application/json", **(headers or {})})


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the server does for a path."""

    path: str
    method: str | None = None
    times: int | None = None
    answer: Callable[[ReceivedRequest], Reply]
    raw: bytes | None = None
    delay: float = 0.0
    trickle: float = 0.0
    flood: bytes = b""
    chunked: bool = False
    close: bool = False
    leave: str = ""
    early: bool = False
    stall: bool = False


class HTTPSServer(Listener):
    """See the module for what it can do."""

    def __init__(
        self,
        certificate: ServerCertificate | None = None,
        *,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(host=host, context=certificate.context() if certificate is not None else context)
        self.requests: list[ReceivedRequest] = []
        self.bytes_sent = 0
        self._scripts: list[Script] = []

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        """The whole address of a path; `host` for another name that leads here."""
        named = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self._context else 'http'}://{named}:{self.port}{path}"

    def on(
        self,
        path: str,
        *,
        status: int = 200,
        content: bytes = b"",
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        answer: Callable[[ReceivedRequest], Reply] | None = None,
        method: str | None = None,
        times: int | None = None,
        raw: bytes | None = None,
        delay: float = 0.0,
        trickle: float = 0.0,
        flood: bytes = b"",
        chunked: bool = False,
        close: bool = False,
        leave: str = "",
        early: bool = False,
        stall: bool = False,
    ) -> None:
        """Script one path, for all methods or one; `times` None is for ever. See the module."""
        if leave not in _LEAVINGS:
            raise ValueError(f"{leave!r} is none of {', '.join(sorted(_LEAVINGS - {''}))}")
        reply = Reply(status, content, headers or {})
        reply = reply if json is None else Reply.of_json(json, status=status, headers=headers)
        script = Script(
            path=path,
            method=method,
            times=times,
            answer=answer or (lambda request: reply),
            raw=raw,
            delay=delay,
            trickle=trickle,
            flood=flood,
            chunked=chunked,
            close=close,
            leave=leave,
            early=early,
            stall=stall,
        )
        with self._changed:
            self._scripts.append(script)

    def hang_up(self) -> None:
        """End every connection; done when it returns."""
        with self._changed:
            connections = set(self._open)
            for connected in connections:
                hang_up(connected)
            if not self._changed.wait_for(lambda: not connections & self._open, 30):
                raise AssertionError("a connection is still open after 30 s")

    def wait_for_requests(self, count: int, timeout: float = 30.0) -> list[ReceivedRequest]:
        """All requests, as soon as there are so many. Raises AssertionError after the timeout."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{len(self.requests)} of {count} requests came within {timeout} s")
            return list(self.requests)

    def wait_until_closed(self, timeout: float = 30.0) -> None:
        """Until no connection is open. Raises AssertionError after the timeout."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._open, timeout):
                raise AssertionError(f"a connection is still open after {timeout} s")

    def _converse(self, connected: socket.socket, number: int) -> None:
        incoming = b""
        while True:
            head, incoming = self._head(connected, incoming)
            incoming = self._answer(connected, number, head, incoming)

    def _head(self, connected: socket.socket, incoming: bytes) -> tuple[bytes, bytes]:
        raw, searched = bytearray(incoming), 0
        while (end := raw.find(b"\r\n\r\n", searched)) < 0:
            if b"\r\n" in raw[:CHUNK]:
                self._leave_at_the_line(connected, bytes(raw[:CHUNK]))
            searched = max(0, len(raw) - 3)
            raw += _received(connected)
        return bytes(raw[:end]), bytes(raw[end + 4 :])

    def _leave_at_the_line(self, connected: socket.socket, incoming: bytes) -> None:
        path = urlsplit(incoming.split(b" ")[1].decode("latin-1")).path
        with self._changed:
            for place, script in enumerate(self._scripts):
                if script.path == path and script.leave == "line" and script.times != 0:
                    self._scripts[place] = replace(script, times=None if script.times is None else script.times - 1)
                    break
            else:
                return
        self._reset(connected)

    def _reset(self, connected: socket.socket) -> NoReturn:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._closing(connected, politely=False)
        raise ConnectionAbortedError

    def _answer(self, connected: socket.socket, number: int, head: bytes, incoming: bytes) -> bytes:
        """Answer one request; what came after it."""
        request = _request(head, number)
        script = self._script_for(request)
        if script.leave == "head" or script.early:
            self._keep(request)
            if script.early:
                self._send(connected, _written(script.answer(request), closes=True))
            raise ConnectionAbortedError
        if script.stall:
            self._keep(request)
            self._stopped.wait()
        length = int(request.headers.get("content-length", "0"))
        raw = bytearray(incoming)
        while len(raw) < length and (script.leave != "content" or not raw):
            raw += _received(connected)
        if script.leave == "content":
            self._keep(replace(request, content=bytes(raw)))
            self._reset(connected)
        request = replace(request, content=bytes(raw[:length]))
        self._keep(request)
        self._act(connected, script, request)
        return bytes(raw[length:])

    def _keep(self, request: ReceivedRequest) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def _act(self, connected: socket.socket, script: Script, request: ReceivedRequest) -> None:
        if self._stopped.wait(script.delay) or script.leave == "request":
            raise ConnectionAbortedError
        if script.flood:
            self._send(connected, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                self._send(connected, script.flood)
        raw = script.raw
        if raw is None:
            raw = _written(
                script.answer(request), closes=script.close, chunked=script.chunked, bodiless=request.method == "HEAD"
            )
        if script.leave == "answer":
            raw = raw[: len(raw) - 1]
        if script.trickle:
            for octet in raw:
                if self._stopped.wait(script.trickle):
                    raise ConnectionAbortedError
                self._send(connected, bytes([octet]))
        else:
            self._send(connected, raw)
        if script.close or script.raw is not None or script.leave == "answer":
            raise ConnectionAbortedError

    def _send(self, connected: socket.socket, raw: bytes) -> None:
        connected.sendall(raw)
        self.bytes_sent += len(raw)

    def _script_for(self, request: ReceivedRequest) -> Script:
        with self._changed:
            for place in reversed(range(len(self._scripts))):
                script = self._scripts[place]
                if script.path == request.path and script.method in {None, request.method} and script.times != 0:
                    if script.times is not None:
                        self._scripts[place] = replace(script, times=script.times - 1)
                    return script
        return Script(path=request.path, answer=lambda _: Reply(404, b"no such path"))


class ConnectProxy(Listener):
    """A web proxy that opens tunnels to the places it knows; `status` is its answer to all others, and to nobody."""

    def __init__(
        self,
        places: Mapping[str, tuple[str, int]],
        *,
        account: tuple[str, str] | None = None,
        certificate: ServerCertificate | None = None,
        raw: bytes | None = None,
        silent: bool = False,
    ) -> None:
        super().__init__(context=certificate.context() if certificate else None)
        self.targets: list[str] = []
        self.authorizations: list[str] = []
        self._places = dict(places)
        self._expected = "Basic " + b64encode(":".join(account).encode()).decode() if account else ""
        self._raw = raw
        self._silent = silent

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://{self.host}:{self.port}"

    def _converse(self, connected: socket.socket, number: int) -> None:
        incoming = b""
        while b"\r\n\r\n" not in incoming:
            incoming += _received(connected)
        request = _request(incoming.partition(b"\r\n\r\n")[0], number)
        self.targets.append(request.target)
        self.authorizations.append(request.headers.get("proxy-authorization", ""))
        if self._silent:
            self._stopped.wait()
        elif self._raw is not None:
            connected.sendall(self._raw)
        elif self._expected != self.authorizations[-1]:
            connected.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif request.method != "CONNECT" or request.target not in self._places:
            connected.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        else:
            self._join(connected, self._places[request.target])

    def _join(self, client: socket.socket, place: tuple[str, int]) -> None:
        with socket.create_connection(place) as server:
            self._opened(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._start(_copy, server, client)
            _copy(client, server)
            self._closing(server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            target.sendall(chunk)
    hang_up(target)


def _received(connected: socket.socket) -> bytes:
    chunk = connected.recv(CHUNK)
    if not chunk:
        raise ConnectionAbortedError
    return chunk


def _request(head: bytes, number: int) -> ReceivedRequest:
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return ReceivedRequest(method, target, headers, b"", number)


def _written(reply: Reply, *, closes: bool = False, chunked: bool = False, bodiless: bool = False) -> bytes:
    headers = dict(reply.headers)
    headers |= {"Connection": "close"} if closes else {}
    content = reply.content
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        pieces = [content[start : start + 1000] for start in range(0, len(content), 1000)]
        content = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    elif reply.status not in {204, 304}:
        headers.setdefault("Content-Length", str(len(content)))
    phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else ""
    head = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(head).encode("latin-1") + (b"" if bodiless else content)


def _single(text: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
