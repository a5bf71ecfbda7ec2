"""The same calls for libraries that bring their own client code: requests, requests-oauthlib and msal."""

from __future__ import annotations

import http
import io
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from portal.network.https_exchange import Answer

DEFAULT_SECONDS = 20.0
DEFAULT_MOST_OCTETS = 1_000_000


class Adapter(BaseAdapter):
    """Mounted in a requests session, sends what the session prepared; cookies are not kept."""

    def __init__(self, send: Callable[..., Answer]) -> None:
        super().__init__()
        self._send = send

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        """The answer, read to its end. `timeout` is the time for the whole call, 20 s where there is none.

        What else requests hands over (`stream`, `verify`, `cert`, `proxies`) has no effect: the portal's own
        settings hold. Raises HTTPSError.
        """
        answer = self._send(request, seconds=_seconds(timeout), most_octets=DEFAULT_MOST_OCTETS, may_proceed=None)
        response = requests.Response()
        response.status_code = answer.status
        response.reason = http.client.responses.get(answer.status, "")
        response.headers = CaseInsensitiveDict(answer.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = io.BytesIO(answer.content)
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
