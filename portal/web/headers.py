"""Security headers of every answer: Content Security Policy Level 3, OWASP ASVS 5.0 V3.4.

The policy allows no inline script, no inline style and no eval. A view can widen it for its own answer with
`extend_policy`, and answer with mail's own HTML under `isolate_foreign_html`.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, Response, current_app, g, request
from werkzeug.datastructures import Headers

from portal.web import assets

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_FOREIGN_HTML = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: cid:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_PERMISSIONS = ("accelerometer", "camera", "geolocation", "gyroscope", "magnetometer", "microphone", "payment", "usb")
HEADERS = {  # of every answer, whoever gives it
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Not same-origin: that would cut the window of a provider's consent page off for good.
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _PERMISSIONS),
}
HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}  # of every answer of a portal on https (RFC 6797)


def extend_policy(directive: str, *sources: str) -> None:
    """Allow more sources in this answer: `extend_policy("frame-src", "'self'")`, `("form-action", "https://…")`."""
    extra = g.setdefault("csp_extra", {})
    extra[directive] = (*extra.get(directive, ()), *sources)


def isolate_foreign_html() -> None:
    """This answer is HTML that others wrote: no script, nothing fetched, an origin of its own, only in our frame."""
    g.csp = _FOREIGN_HTML


def policy() -> str:
    """The Content-Security-Policy of the current answer."""
    if "csp" in g:
        return str(g.csp)
    extra = g.get("csp_extra")
    return _with(extra) if extra else _USUAL


def _with(extra: Mapping[str, tuple[str, ...]]) -> str:
    directives = dict.fromkeys((*_POLICY, *extra))
    return "; ".join(" ".join((name, *filter(None, (_POLICY.get(name), *extra.get(name, ()))))) for name in directives)


_USUAL = _with({})


def init_app(app: Flask) -> None:
    """Put the headers on every answer, error pages included."""
    app.after_request(_add_headers)


def _add_headers(response: Response) -> Response:
    is_static = request.endpoint == "static"
    ours = {**HEADERS, "Content-Security-Policy": policy()}
    if current_app.config["PORTAL"].is_https:
        ours |= HTTPS_ONLY
    if not is_static:
        ours["Cache-Control"] = "no-store"
    put(response.headers, ours)
    return assets.finish(response) if is_static else response


def put(headers: Headers, wanted: Mapping[str, str]) -> None:
    """As `headers.update(wanted)`, which goes through all of them for each one, mostly to find that it is new."""
    there = {name.lower() for name, _value in headers}
    for name, value in wanted.items():
        if name.lower() in there:
            headers[name] = value
        else:
            headers.add(name, value)
