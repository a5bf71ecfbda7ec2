"""The one way in which the portal calls HTTPS servers: Google, Microsoft, gateways for text messages.

    https = HTTPS(HTTPSSettings(ca_bundle=config.ca_bundle, proxy=config.https_proxy, no_proxy=config.no_proxy))
    answer = https.request("POST", url, headers={"Authorization": f"Bearer {token}"}, content=body)
    google = https.session(OAuth2Session, client_id, state=state)
    app = msal.ConfidentialClientApplication(client_id, http_client=https.msal_client(), ...)

For every call, whichever way it is made: the time is that of the whole call, the answer has a size limit,
redirections are refused, nothing is tried a second time once a byte of it may have left, and neither cookies nor
the environment (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, .netrc, HTTP_PROXY) play a part.
"""

from __future__ import annotations

import re
import socket
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from urllib.parse import urlencode

import requests

from portal.network.https_connecting import Connection, Connector
from portal.network.https_errors import HTTPSError, Stopped
from portal.network.https_exchange import Answer, Exchange, Outgoing
from portal.network.https_idle import IdleConnections
from portal.network.https_libraries import DEFAULT_MOST_OCTETS, DEFAULT_SECONDS, Adapter, MsalClient, PlainOrigins
from portal.network.https_origins import Origin, origin_of
from portal.network.lookup import Resolver
from portal.network.policy import MailPolicy
from portal.network.proxies import parse_proxy
from portal.network.trust import make_context

__all__ = ["HTTPS", "Answer", "HTTPSError", "HTTPSSettings", "MsalClient", "Stopped"]

S = TypeVar("S", bound=requests.Session)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_FIELD_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
# Written by the connection itself.
_OF_THE_CONNECTION = {"host", "connection", "content-length", "transfer-encoding", "proxy-authorization"}
_USUAL_HEADERS = {"User-Agent": "Mail Portal", "Accept-Encoding": "identity"}


@dataclass(frozen=True, kw_only=True)
class HTTPSSettings:
    """What the operator sets for outgoing HTTPS."""

    ca_bundle: Path | None = None  # PEM, trusted besides the system's CAs
    proxy: str = field(default="", repr=False)  # as HTTPS_PROXY, "" for none; may hold a password
    no_proxy: str = ""  # as NO_PROXY


class HTTPS:
    """Calls HTTPS servers, from any number of threads; connections are kept for the next call.

    With a `policy`, the addresses that it closes are not connected to; its ports are those for mail and do not
    matter here. Raises ValueError when the settings cannot be used, with a sentence for the operator.
    """

    def __init__(
        self, settings: HTTPSSettings, *, policy: MailPolicy | None = None, resolver: Resolver = socket.getaddrinfo
    ) -> None:
        self.settings = settings
        self._connector = Connector(
            make_context(settings.ca_bundle), parse_proxy(settings.proxy), settings.no_proxy, policy, resolver
        )
        self._idle = IdleConnections()
        self.plain = PlainOrigins()
        weakref.finalize(self, self._idle.close)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        params: Mapping[str, str] | None = None,
        seconds: float = DEFAULT_SECONDS,
        most_octets: int = DEFAULT_MOST_OCTETS,
        may_proceed: Callable[[], bool] | None = None,
    ) -> Answer:
        """The answer to one request, whatever its status, redirections (3xx) excepted.

        `seconds` counts from the call to the last byte of the answer, `most_octets` the answer's content.
        `may_proceed` is asked once, just before the first byte of the content, or before a request without one.
        Raises HTTPSError, Stopped when `may_proceed` says no, and ValueError for what the portal does not send:
        a URL that is neither https nor loopback's own http, a line break in URL or headers.
        """
        origin_of(url)
        _check_headers(headers or {})
        prepared = requests.Request(method, url, headers=dict(headers or {}), params=params).prepare()
        prepared.body = content
        return self._send(prepared, seconds=seconds, most_octets=most_octets, may_proceed=may_proceed)

    def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        seconds: float = DEFAULT_SECONDS,
        most_octets: int = DEFAULT_MOST_OCTETS,
        may_proceed: Callable[[], bool] | None = None,
    ) -> Answer:
        """The answer to a form (application/x-www-form-urlencoded, UTF-8); else as `request`."""
        return self.request(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded", **(headers or {})},
            content=urlencode(fields).encode("ascii"),
            params=params,
            seconds=seconds,
            most_octets=most_octets,
            may_proceed=may_proceed,
        )

    @overload
    def session(self) -> requests.Session: ...
    @overload
    def session(self, kind: type[S], *args: Any, **kwargs: Any) -> S: ...
    def session(self, kind: type[requests.Session] = requests.Session, *args: Any, **kwargs: Any) -> requests.Session:
        """A requests session of the kind, made with the arguments, whose calls go this way.

        A `timeout` is the time for the whole call, 20 s where the caller gives none. HTTPSError comes through as
        it is. A session belongs to one thread; closing it closes no connection.
        """
        session = kind(*args, **kwargs)
        session.trust_env = False
        session.headers.update(_USUAL_HEADERS)
        session.adapters.clear()
        for scheme in ("https://", "http://"):
            session.mount(scheme, Adapter(self._send, self.plain))
        return session

    def msal_client(self, *, seconds: float = DEFAULT_SECONDS) -> MsalClient:
        """What msal's applications take as `http_client`; `seconds` is the time for each call."""
        return MsalClient(self.session(), seconds=seconds)

    def close(self) -> None:
        """End all kept connections."""
        self._idle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(
        self,
        prepared: requests.PreparedRequest,
        *,
        seconds: float,
        most_octets: int,
        may_proceed: Callable[[], bool] | None,
    ) -> Answer:
        deadline = monotonic() + seconds
        origin, outgoing = origin_of(prepared.url or ""), _outgoing(prepared)
        waiting = self._idle.take(origin)
        if waiting is not None:
            exchange = Exchange(waiting, outgoing, may_proceed)
            try:
                return self._run(exchange, waiting, deadline, most_octets)
            except HTTPSError as error:
                # A server may leave an idle connection at any moment. Before the question nothing is handed over.
                if exchange.was_asked or error.code != "network.connection_lost":
                    raise
        return self._on_a_new_connection(origin, outgoing, deadline, most_octets, may_proceed)

    def _on_a_new_connection(
        self,
        origin: Origin,
        outgoing: Outgoing,
        deadline: float,
        most_octets: int,
        may_proceed: Callable[[], bool] | None,
    ) -> Answer:
        connection = self._connector.open(origin, deadline=deadline)
        return self._run(Exchange(connection, outgoing, may_proceed), connection, deadline, most_octets)

    def _run(self, exchange: Exchange, connection: Connection, deadline: float, most_octets: int) -> Answer:
        connection.wire.deadline = deadline
        answer = exchange.run(most_octets=most_octets)
        self._idle.keep(connection)
        return answer


def _check_headers(headers: Mapping[str, str]) -> None:
    # requests checks too, but its error holds the value, which may be a secret.
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("a header's name holds something that no name may hold")
        if not _FIELD_VALUE.fullmatch(value):
            raise ValueError(f"the header {name} holds a line break or another character that it may not hold")


def _outgoing(prepared: requests.PreparedRequest) -> Outgoing:
    method, body = prepared.method or "", prepared.body or b""
    if not _TOKEN.fullmatch(method):
        raise ValueError("the method holds something that no method may hold")
    if not isinstance(body, (str, bytes)):
        raise ValueError("the content is neither text nor bytes: what is sent in pieces has no length")
    given = {_text(name): _text(value) for name, value in prepared.headers.items()}
    names = {name.lower() for name in given}
    headers = {name: value for name, value in _USUAL_HEADERS.items() if name.lower() not in names}
    headers |= {name: value for name, value in given.items() if name.lower() not in _OF_THE_CONNECTION}
    _check_headers(headers)
    return Outgoing(method, prepared.path_url, headers, body.encode() if isinstance(body, str) else body)


def _text(part: str | bytes) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else part
