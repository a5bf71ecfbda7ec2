"""Paths of this portal that a request names: where to go on after signing in, which page one is on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

_LONGEST = 2000


def safe_next(target: str | None) -> str:
    """`target` if it is a path of this portal, else "/": never another site (CWE-601).

    Browsers read a backslash as a slash and drop tabs and line breaks inside an address, so both are refused,
    and so is everything that turns into a second slash once it is decoded.
    """
    if not target or len(target) > _LONGEST or not target.startswith("/") or not target.isprintable():
        return "/"
    decoded = unquote(unquote(target))
    path = decoded.split("?", 1)[0].split("#", 1)[0]
    if "//" in path or "\\" in path or not decoded.isprintable() or " " in target:
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target


def current_page() -> str:
    """The page that the person is looking at, as a path that can be fetched.

    Under htmx that is the page around the fragment; after a POST to an address that only takes POST it is the
    nearest one above that can be fetched.
    """
    around = request.headers.get("HX-Current-URL") if "HX-Request" in request.headers else None
    if around:
        try:
            parts = urlsplit(around)
        except ValueError:  # no browser's: it names no address
            return "/"
        return safe_next(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    if request.method in {"GET", "HEAD"}:
        return safe_next(request.full_path.removesuffix("?"))
    path = request.path
    while path and not _can_be_fetched(path):
        path = path.rpartition("/")[0]
    return safe_next(path)


def view_at(path: str) -> tuple[Callable[..., Any], Mapping[str, Any]] | None:
    """The view that a GET of `path` calls, with its arguments; None where there is none."""
    try:
        endpoint, arguments = current_app.create_url_adapter(request).match(path, method="GET")  # type: ignore[union-attr]
    except HTTPException:
        return None
    return current_app.view_functions[endpoint], arguments


def _can_be_fetched(path: str) -> bool:
    try:
        current_app.create_url_adapter(request).match(path, method="GET")  # type: ignore[union-attr]
    except RequestRedirect:
        return True
    except HTTPException:
        return False
    return True
