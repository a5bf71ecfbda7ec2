from __future__ import annotations

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from portal.web.access import public
from portal.web.headers import extend_policy, isolate_foreign_html
from tests.web.conftest import MakeSite

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/static/portal.css", "/theme"])
def test_every_answer_carries_the_strict_policy(client: FlaskClient, path: str) -> None:
    answer = client.get(path, buffered=True)

    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
    assert "camera=()" in answer.headers["Permissions-Policy"]


def test_a_view_widens_the_policy_of_its_own_answer_alone(site: Flask) -> None:
    @site.get("/consent")
    @public
    def consent() -> str:
        extend_policy("frame-src", "'self'")
        extend_policy("form-action", "https://login.provider.test")
        return ""

    widened = site.test_client().get("/consent").headers["Content-Security-Policy"]
    usual = site.test_client().get("/healthz").headers["Content-Security-Policy"]

    assert "form-action 'self' https://login.provider.test;" in widened
    assert widened.endswith("frame-src 'self'")
    assert usual == POLICY


def test_mail_written_by_others_is_shown_without_script_network_or_our_origin(site: Flask) -> None:
    @site.get("/captured")
    @public
    def captured() -> str:
        isolate_foreign_html()
        return "<script>1</script>"

    policy = site.test_client().get("/captured").headers["Content-Security-Policy"]

    assert policy == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: cid:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )


def test_https_is_remembered_by_the_browser_where_the_public_url_is_https(make_site: MakeSite) -> None:
    secure = make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test").test_client()
    plain = make_site().test_client()

    assert secure.get("/healthz").headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in plain.get("/healthz").headers


@pytest.mark.parametrize("path", ["/healthz", "/nowhere"])
def test_pages_are_never_stored(client: FlaskClient, path: str) -> None:
    assert client.get(path).headers["Cache-Control"] == "no-store"


def test_what_a_view_says_itself_is_replaced_and_never_doubled(site: Flask) -> None:
    @site.get("/loose")
    @public
    def loose() -> Response:
        return Response("", headers=[("referrer-policy", "unsafe-url"), ("Cache-Control", "public"), ("X-Own", "1")])

    headers = site.test_client().get("/loose").headers

    assert headers.getlist("Referrer-Policy") == ["no-referrer"]
    assert headers.getlist("Cache-Control") == ["no-store"]
    assert headers.getlist("X-Own") == ["1"]
