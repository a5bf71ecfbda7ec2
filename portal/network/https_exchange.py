"""One request and its answer on an open connection: the point of no return, and the bounds of what is read."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

from requests.structures import CaseInsensitiveDict

from portal.network.https_connecting import Connection
from portal.network.https_errors import HTTPSError, Stopped, broken_off
from portal.network.timed_sockets import is_closed_by_peer

_CHUNK = 64 * 1024
_FOLD = re.compile(r"\s*[\r\n]\s*")
_GZIP_OR_ZLIB = 47  # zlib's number for "see for yourself which of the two it is"


@dataclass(frozen=True)
class Outgoing:
    """A request as it is written: `headers` without those that belong to the connection and the framing."""

    method: str
    target: str  # path and query
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What a server answered, whatever the status; `headers` may be asked in any case of letters."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """The content read as JSON (RFC 8259). Raises ValueError when it is none, or names something twice."""
        try:
            return json.loads(self.content, parse_constant=_refuse, object_pairs_hook=_without_doubles)
        except (ValueError, RecursionError):
            # The library's own errors hold the whole content.
            raise ValueError(f"the answer with status {self.status} is not JSON") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


class Exchange:
    """One request on one connection. `was_asked` tells whether `may_proceed` has been asked already."""

    def __init__(self, connection: Connection, outgoing: Outgoing, may_proceed: Callable[[], bool] | None) -> None:
        self.was_asked = False
        self._connection = connection
        self._outgoing = outgoing
        self._may_proceed = may_proceed
        self._was_handed_over = False
        self._is_complete = False  # the request, as far as this side can know

    def run(self, *, most_octets: int) -> Answer:
        """The answer. Raises HTTPSError, or Stopped when `may_proceed` says no; the connection is closed then."""
        try:
            self._write()
            with self._connection.talk.getresponse() as response:
                self._judge(response)
                content = self._read(response, most_octets)
            return self._decoded(Answer(response.status, _headers(response), content), most_octets)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            peer = self._connection.origin.host
            raise broken_off(error, peer, was_handed_over=self._was_handed_over) from error
        except BaseException:
            self._connection.close()
            raise
        finally:
            if not self._is_complete:
                self._connection.close()

    def _write(self) -> None:
        self._write_request_line_and_headers()
        if not self._outgoing.content:
            self._ask()
            self._was_handed_over = True
            self._is_complete = self._has_left(self._connection.talk.endheaders)
            return
        has_left = self._has_left(self._connection.talk.endheaders)
        if self._connection.is_reused and (not has_left or is_closed_by_peer(self._connection.wire)):
            raise ConnectionResetError
        self._ask()
        # The question may have taken its time. A server that has left meanwhile gets nothing more, so that its
        # leaving is no loss in doubt; what it answered to the headers alone can still be read.
        if has_left and not is_closed_by_peer(self._connection.wire):
            self._was_handed_over = True
            self._is_complete = self._has_left(self._connection.talk.send, self._outgoing.content)

    def _has_left(self, write: Callable[..., None], *what: bytes) -> bool:
        """Whether all was written. A server may refuse in the middle, say why, and leave: that can be read still."""
        try:
            write(*what)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return False
        return True

    def _write_request_line_and_headers(self) -> None:
        """Into http.client's buffer: nothing leaves before endheaders()."""
        outgoing, talk = self._outgoing, self._connection.talk
        talk.putrequest(outgoing.method, outgoing.target, skip_host=True, skip_accept_encoding=True)
        talk.putheader("Host", self._connection.origin.authority)
        for name, value in outgoing.headers.items():
            talk.putheader(name, value)
        if outgoing.content or outgoing.method not in {"GET", "HEAD", "DELETE"}:
            talk.putheader("Content-Length", str(len(outgoing.content)))

    def _ask(self) -> None:
        self.was_asked = True
        if self._may_proceed is not None and not self._may_proceed():
            raise Stopped

    def _judge(self, response: http.client.HTTPResponse) -> None:
        """Refuse what is no final answer to this request."""
        if 300 <= response.status <= 399:
            seen = f"{self._connection.origin.host} answered {response.status}, a redirection to {_leads_to(response)}"
            raise HTTPSError("http.redirected", seen, was_handed_over=self._was_handed_over)
        if response.status < 200:
            raise http.client.BadStatusLine(str(response.status))
        if response.status < 300 and not self._is_complete:
            # A yes to half a request is no yes.
            raise ConnectionResetError

    def _read(self, response: http.client.HTTPResponse, most_octets: int) -> bytes:
        content, buffer = bytearray(), memoryview(bytearray(_CHUNK))
        if (response.length or 0) > most_octets:
            raise self._too_large(most_octets)
        # readinto() keeps to the buffer; read() would take a chunk size of -1 for "all that comes".
        while count := response.readinto(buffer):
            content += buffer[:count]
            if len(content) > most_octets:
                raise self._too_large(most_octets)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return bytes(content)

    def _too_large(self, most_octets: int) -> HTTPSError:
        seen = f"{self._connection.origin.host} sent an answer of more than {most_octets:,} bytes"
        return HTTPSError("http.answer_too_large", seen, was_handed_over=self._was_handed_over)

    def _decoded(self, answer: Answer, most_octets: int) -> Answer:
        """The answer with its content unpacked, though "identity" was asked for; as it is where that fails."""
        if answer.headers.get("Content-Encoding", "").strip().lower() not in {"gzip", "x-gzip", "deflate"}:
            return answer
        try:
            content = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(answer.content, most_octets + 1)
        except zlib.error:
            return answer
        if len(content) > most_octets:
            raise self._too_large(most_octets)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_PACKING}
        return Answer(answer.status, CaseInsensitiveDict(kept), content)


_OF_THE_PACKING = {"content-encoding", "content-length"}


def _headers(response: http.client.HTTPResponse) -> Mapping[str, str]:
    headers = CaseInsensitiveDict[str]()
    for name in response.headers:
        headers[name] = _FOLD.sub(" ", ", ".join(response.headers.get_all(name) or ()))
    return headers


def _leads_to(response: http.client.HTTPResponse) -> str:
    try:
        host = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return (host if host and host.isascii() and host.isprintable() else None) or "another address"
