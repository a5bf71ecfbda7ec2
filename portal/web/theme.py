"""Light, dark, or as the device: a cookie that the server reads, so that no page flashes in the wrong colours."""

from __future__ import annotations

from flask import Flask, Response, current_app, request

THEMES = ("light", "dark", "auto")
_COOKIE = "theme"
_A_YEAR = 365 * 24 * 3600


def current_theme() -> str:
    """One of `THEMES`; "auto" where the browser sent none that is known."""
    chosen = request.cookies.get(_COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def remember(response: Response, theme: str) -> Response:
    """Keep the choice in this browser for a year."""
    is_https = current_app.config["PORTAL"].is_https
    response.set_cookie(_COOKIE, theme, max_age=_A_YEAR, secure=is_https, httponly=True, samesite="Lax")
    return response


def init_app(app: Flask) -> None:
    app.context_processor(lambda: {"theme": current_theme()})
