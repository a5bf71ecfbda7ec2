"""The same calls for libraries that bring their own client code: requests, requests-oauthlib and msal."""

from __future__ import annotations

import http
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from portal.network.https_exchange import Answer
from portal.network.https_origins import origin_of

DEFAULT_SECONDS = 20.0
DEFAULT_MOST_OCTETS = 1_000_000


class PlainOrigins:
    """Origins on this machine that speak plain HTTP, for libraries that take https:// alone.

    They are told the https form of such an address, and their calls go to the plain one.
    """

    def __init__(self) -> None:
        self._authorities: set[str] = set()

    def for_libraries(self, url: str) -> str:
        """The URL in its https form. Raises ValueError for plain HTTP to another machine."""
        origin = origin_of(url)
        if origin.scheme == "https":
            return url
        self._authorities.add(urlsplit(url).netloc)
        return f"https{url.removeprefix('http')}"

    def as_called(self, url: str) -> str:
        """The URL as it is called, and as a browser is sent there."""
        return f"http{url.removeprefix('https')}" if urlsplit(url).netloc in self._authorities else url

    def for_libraries_in(self, content: bytes) -> bytes:
        """An answer in which such origins name themselves by their https form."""
        for authority in self._authorities:
            content = content.replace(f"http://{authority}".encode(), f"https://{authority}".encode())
        return content


class Adapter(BaseAdapter):
    """Mounted in a requests session, sends what the session prepared; cookies are not kept."""

    def __init__(self, send: Callable[..., Answer], plain: PlainOrigins) -> None:
        super().__init__()
        self._send = send
        self._plain = plain

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        """The answer, read to its end. `timeout` is the time for the whole call, 20 s where there is none.

        What else requests hands over (`stream`, `verify`, `cert`, `proxies`) has no effect: the portal's own
        settings hold. Raises HTTPSError.
        """
        request.url = self._plain.as_called(request.url or "")
        answer = self._send(request, seconds=_seconds(timeout), most_octets=DEFAULT_MOST_OCTETS, may_proceed=None)
        response = requests.Response()
        response.status_code = answer.status
        response.reason = http.client.responses.get(answer.status, "")
        response.headers = CaseInsensitiveDict(answer.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = io.BytesIO(self._plain.for_libraries_in(answer.content))
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Nothing: the connections belong to the portal's HTTPS, not to one session."""


class MsalClient:
    """What msal calls its `http_client`."""

    def __init__(self, session: requests.Session, *, seconds: float) -> None:
        self._session = session
        self._seconds = seconds

    def get(self, url: str, **parts: Any) -> requests.Response:
        return self._session.get(url, **{"timeout": self._seconds, **parts})

    def post(self, url: str, **parts: Any) -> requests.Response:
        return self._session.post(url, **{"timeout": self._seconds, **parts})

    def close(self) -> None:
        self._session.close()


def _seconds(timeout: Any) -> float:
    if timeout is None:
        return DEFAULT_SECONDS
    if isinstance(timeout, tuple):  # requests' separate times to connect and to read
        return float(sum(DEFAULT_SECONDS if part is None else part for part in timeout))
    return float(timeout)
