"""The pages of a stand-in over plain HTTP, of which browsers do not warn on this machine, as of its certificate."""

from __future__ import annotations

import ssl
from http.client import HTTPSConnection
from urllib.parse import urlencode

from tests.outside.stand_in_http import Answer, HTTPListener, Request

# Of one connection, or written by whoever answers.
_NOT_PASSED_ON = {"connection", "content-length", "date", "host", "server", "transfer-encoding"}


class PlainPages(HTTPListener):
    """Hands every request on to the HTTPS server at `address`, and its answer back, redirects as they are."""

    def __init__(self, address: tuple[str, int], *, authority_pem: str) -> None:
        super().__init__(self._fetched, context=None)
        self._server = address
        self._trust = ssl.create_default_context(cadata=authority_pem)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _fetched(self, request: Request) -> Answer:
        target = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
        connection = HTTPSConnection(*self._server, context=self._trust, timeout=30)
        try:
            connection.request(request.method, target, request.content, _passed_on(request.headers.items()))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return Answer(status=response.status, content=content, headers=_passed_on(response.headers.items()))


def _passed_on(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _NOT_PASSED_ON}
