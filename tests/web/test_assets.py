from __future__ import annotations

import gzip
import hashlib

from flask import Flask
from flask.testing import FlaskClient

from portal.paths import STATIC
from portal.web.assets import asset

FOR_EVER = "public, max-age=31536000, immutable"


def test_an_own_files_address_changes_with_its_content(site: Flask) -> None:
    digest = hashlib.sha256((STATIC / "portal.css").read_bytes()).hexdigest()[:12]

    with site.test_request_context():
        assert asset("portal.css") == f"/static/portal.css?v={digest}"
        assert asset("vendor/htmx-4.0.1.min.js") == "/static/vendor/htmx-4.0.1.min.js"


def test_a_file_asked_for_by_its_version_is_kept_for_ever(site: Flask, client: FlaskClient) -> None:
    with site.test_request_context():
        own = asset("portal.css")

    assert client.get(own, buffered=True).headers["Cache-Control"] == FOR_EVER
    assert client.get("/static/vendor/htmx-4.0.1.min.js", buffered=True).headers["Cache-Control"] == FOR_EVER


def test_a_file_asked_for_by_another_version_is_checked_each_time(client: FlaskClient) -> None:
    assert client.get("/static/portal.css", buffered=True).headers["Cache-Control"] == "no-cache"
    assert client.get("/static/portal.css?v=000000000000", buffered=True).headers["Cache-Control"] == "no-cache"


def test_text_is_sent_compressed_where_the_browser_takes_it(client: FlaskClient) -> None:
    plain = client.get("/static/vendor/tabler-1.6.1.min.css", buffered=True)
    packed = client.get("/static/vendor/tabler-1.6.1.min.css", headers={"Accept-Encoding": "br, gzip"}, buffered=True)

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < 120_000
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_a_compressed_file_is_not_sent_again_when_it_has_not_changed(client: FlaskClient) -> None:
    headers = {"Accept-Encoding": "gzip"}
    tag = client.get("/static/portal.js", headers=headers, buffered=True).headers["ETag"]

    answer = client.get("/static/portal.js", headers=headers | {"If-None-Match": tag}, buffered=True)

    assert answer.status_code == 304
    assert answer.data == b""


def test_fonts_are_sent_as_they_are(client: FlaskClient) -> None:
    answer = client.get("/static/vendor/inter-5.3.0-latin.woff2", headers={"Accept-Encoding": "gzip"}, buffered=True)

    assert "Content-Encoding" not in answer.headers
    assert answer.data[:4] == b"wOF2"


def test_nothing_outside_the_folder_is_served(client: FlaskClient) -> None:
    for path in ("/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static/vendor/", "/static/.git"):
        assert client.get(path, buffered=True).status_code == 404
