"""What every view shares: page or fragment, who may see it, error pages, headers, public addresses, limits.

Offers `render`, `see_other` and `init_app`; the access marks are in `access`, the rest in modules named by
their subject. Knows no other room: what it shows of them is handed down in `app.extensions`: `banners` and
`mail_status` (see `announcements`), `readiness_checks` (see `health`), `take_confirmation` (see `access`).
Never decides anything about mail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portal.web.rendering import render, see_other

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["init_app", "render", "see_other"]


def init_app(app: Flask) -> None:
    """Put everything that all views share on `app`, whose config holds `PORTAL`."""
    from portal.web import (
        access,
        announcements,
        assets,
        cookie_sessions,
        errors,
        headers,
        health,
        hosts,
        navigation,
        request_log,
        theme,
        translation,
    )

    of_every_request = (cookie_sessions, hosts, request_log, headers, translation)
    for part in (*of_every_request, assets, theme, access, announcements, navigation, errors):
        part.init_app(app)
    health.init_app(app)
