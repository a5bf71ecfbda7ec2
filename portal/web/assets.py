"""The files of `static/`: addresses that change with the content, kept for ever, sent compressed."""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, current_app, request, url_for

_COMPRESSED = frozenset({"text/css", "text/javascript", "application/javascript", "image/svg+xml"})
_FOR_EVER = "public, max-age=31536000, immutable"


def asset(name: str) -> str:
    """The address of a file of `static/`; vendored files carry their version in the name, ours a hash."""
    if name.startswith("vendor/"):
        return url_for("static", filename=name)
    return url_for("static", filename=name, v=_version(name))


def finish(response: Response) -> Response:
    """Say how long a static file may be kept, and compress it where the browser takes gzip (RFC 9110 8.4)."""
    name = (request.view_args or {}).get("filename", "")
    if response.status_code >= 400:
        return response
    is_versioned = name.startswith("vendor/") or request.args.get("v") == _version(name)
    response.headers["Cache-Control"] = _FOR_EVER if is_versioned else "no-cache"
    if response.mimetype not in _COMPRESSED:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code == 200 and request.accept_encodings["gzip"] > 0 and "Range" not in request.headers:
        path = _path(name)
        response.close()
        response.direct_passthrough = False
        response.set_data(_gzipped(path, path.stat().st_mtime_ns))
        response.headers["Content-Encoding"] = "gzip"
        response.headers.pop("Accept-Ranges", None)
        response.set_etag(response.get_etag()[0] or "", weak=True)
    return response


def init_app(app: Flask) -> None:
    app.jinja_env.globals["asset"] = asset


def _path(name: str) -> Path:
    return Path(current_app.static_folder or "") / name


def _version(name: str) -> str:
    path = _path(name)
    return _digest(path, path.stat().st_mtime_ns) if path.is_file() else ""


@lru_cache(maxsize=64)
def _digest(path: Path, _changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=64)
def _gzipped(path: Path, _changed_at: int) -> bytes:
    return gzip.compress(path.read_bytes(), 9, mtime=0)
