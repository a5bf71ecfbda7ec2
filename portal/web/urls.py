"""Addresses for mail and for providers, built from the configured public URL alone, never from a request."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app


def public_url_for(endpoint: str, **values: Any) -> str:
    """The whole address of a page. Needs an application context, but no request: the worker uses it too.

    Raises `werkzeug.routing.BuildError` for an endpoint that does not exist or lacks values.
    """
    return public_url_in(current_app, endpoint, **values)


def public_url_in(app: Flask, endpoint: str, **values: Any) -> str:
    """The same for a thread that has no application context."""
    public = urlsplit(app.config["PORTAL"].public_url)
    adapter = app.url_map.bind(public.netloc, url_scheme=public.scheme)
    return adapter.build(endpoint, values, force_external=True)
