"""Which host is answered, and whose forwarded headers are believed. Both stand before routing.

Another Host than the public URL's is answered 400, so that no address is ever built from what a stranger sent
(CWE-644). The scheme is the public URL's as well: a forged `X-Forwarded-Proto` changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from portal.web.headers import HEADERS, HTTPS_ONLY
from portal.web.log_lines import harmless
from portal.web.request_log import numbered

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PROBES = frozenset({"/healthz", "/readyz"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_log = structlog.get_logger(__name__)


class HostGuard:
    """WSGI middleware: 400 for every other host; the probes of load balancers may name any."""

    def __init__(self, application: WSGIApplication, public_url: str) -> None:
        self._application = application
        self._public_url = public_url
        self._scheme = urlsplit(public_url).scheme
        self._authority = _authority(urlsplit(public_url).netloc, self._scheme)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.url_scheme"] = self._scheme
        host = environ.get("HTTP_HOST", "")
        authority = _authority(host, self._scheme)
        is_ours = authority is not None and authority == self._authority
        if not is_ours and environ.get("PATH_INFO") not in _PROBES:
            return self._refuse(environ, start_response)
        return self._application(environ, start_response)

    def _refuse(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        content = f"400 Bad Request\n\nThis portal is reached at {self._public_url}\n".encode()
        content_type = "text/plain; charset=utf-8"
        if environ.get("PATH_INFO", "").startswith("/api/"):  # RFC 9457, for programs
            problem = {"title": "Bad Request", "status": 400, "detail": f"This portal is reached at {self._public_url}"}
            content, content_type = json.dumps(problem).encode(), "application/problem+json"
        with numbered(environ, 400) as number:
            _log.warning("another host was refused", host=harmless(environ.get("HTTP_HOST", "")[:255]))
            start_response("400 Bad Request", [*self._headers(content, number), ("Content-Type", content_type)])
        return [content]

    def _headers(self, content: bytes, number: str) -> list[tuple[str, str]]:
        headers = {
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "X-Request-ID": number,
            **HEADERS,
            **(HTTPS_ONLY if self._scheme == "https" else {}),
        }
        return list(headers.items())


def init_app(app: Flask) -> None:
    """Wrap the application: forwarded headers of the configured number of proxies first, then the host."""
    config = app.config["PORTAL"]
    guarded: WSGIApplication = HostGuard(app.wsgi_app, config.public_url)
    if config.trusted_proxies:
        count = config.trusted_proxies
        guarded = ProxyFix(guarded, x_for=count, x_proto=0, x_host=count, x_port=0, x_prefix=0)
    app.wsgi_app = guarded  # type: ignore[method-assign, assignment]


def _authority(netloc: str, scheme: str) -> tuple[str, int] | None:
    """Host in lower case and port, None for what is no authority (RFC 3986 3.2): user info, lists, bad ports."""
    host, separator, port = netloc.rpartition(":")
    if not separator or netloc.endswith("]"):
        host, port = netloc, str(_DEFAULT_PORTS[scheme])
    if not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or not host.isascii():
        return None
    return host.lower(), int(port)
