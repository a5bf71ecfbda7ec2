from __future__ import annotations

import re

import pytest
from flask import Flask, request, url_for

from portal.web.access import public
from portal.web.urls import public_url_for, public_url_in
from tests.answers import GUARDS
from tests.web.conftest import MakeSite


def show_request(app: Flask) -> Flask:
    @app.get("/seen")
    @public
    def seen() -> dict[str, str]:
        return {
            "address": request.remote_addr or "",
            "host": request.host,
            "scheme": request.scheme,
            "public": public_url_for("seen", token="a/b"),
            "path": url_for("seen"),
        }

    return app


@pytest.mark.parametrize("host", ["mail.contoso.test", "MAIL.contoso.test", "mail.contoso.test:443"])
def test_the_public_host_is_answered(make_site: MakeSite, host: str) -> None:
    app = show_request(make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test"))

    answer = app.test_client().get("/seen", headers={"Host": host})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.test",
        "mail.contoso.test.evil.test",
        "mail.contoso.test:80",
        "mail.contoso.test:8443",
        "mail.contoso.test:",
        "mail.contoso.test:0443x",
        "mail.contoso.test:80@evil.test",
        "evil.test@mail.contoso.test",
        "mail.contoso.test,evil.test",
        "mail.contoso.test/",
        "mail.contoso.test.",
        "https://mail.contoso.test",
        "[::1]",
        "mail.contoso.te\u017ft".encode().decode("latin-1"),
    ],
)
def test_every_other_host_is_refused_before_routing(make_site: MakeSite, host: str) -> None:
    app = show_request(make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test"))

    answer = app.test_client().get("/seen", environ_overrides={"HTTP_HOST": host})

    assert answer.status_code == 400
    assert answer.text == "400 Bad Request\n\nThis portal is reached at https://mail.contoso.test\n"
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert {name: answer.headers.get(name) for name in GUARDS} == GUARDS
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-ID"])


def test_a_refused_host_without_https_is_told_nothing_of_https(make_site: MakeSite) -> None:
    client = make_site(PORTAL_PUBLIC_URL="http://mail.contoso.test").test_client()

    answer = client.get("/seen", headers={"Host": "evil.test"})

    assert answer.status_code == 400
    assert "Strict-Transport-Security" not in answer.headers


def test_an_ipv6_address_can_be_the_public_host(make_site: MakeSite) -> None:
    client = make_site(PORTAL_PUBLIC_URL="http://[::1]:8000").test_client()

    assert client.get("/nowhere", headers={"Host": "[::1]:8000"}).status_code == 404
    assert client.get("/nowhere", headers={"Host": "[::1]"}).status_code == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_may_name_any_host(make_site: MakeSite, path: str) -> None:
    client = make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test").test_client()

    assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200


FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Port": "81",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=203.0.113.9;host=evil.test;proto=http",
    "X-Host": "evil.test",
    "X-Original-URL": "/evil",
}


def test_forwarded_headers_are_ignored_without_a_trusted_proxy(make_site: MakeSite) -> None:
    app = show_request(make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test"))

    answer = app.test_client().get(
        "/seen", headers=FORGED | {"Host": "mail.contoso.test", "X-Forwarded-Host": "evil.test"}
    )

    assert answer.json == {
        "address": "127.0.0.1",
        "host": "mail.contoso.test",
        "scheme": "https",
        "public": "https://mail.contoso.test/seen?token=a/b",
        "path": "/seen",
    }


def test_behind_one_proxy_the_last_address_that_it_added_counts(make_site: MakeSite) -> None:
    app = show_request(make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test", PORTAL_TRUSTED_PROXIES="1"))
    forwarded = {
        "Host": "127.0.0.1:8000",
        "X-Forwarded-Host": "mail.contoso.test",
        "X-Forwarded-For": "203.0.113.9, 198.51.100.7",
        "X-Forwarded-Proto": "http",
    }

    answer = app.test_client().get("/seen", headers=forwarded)

    assert answer.json is not None
    assert answer.json["address"] == "198.51.100.7"
    assert answer.json["scheme"] == "https"


def test_a_proxy_that_forwards_another_host_is_refused(make_site: MakeSite) -> None:
    app = show_request(make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test", PORTAL_TRUSTED_PROXIES="1"))

    answer = app.test_client().get("/seen", headers={"Host": "mail.contoso.test", "X-Forwarded-Host": "evil.test"})

    assert answer.status_code == 400


def test_public_addresses_are_built_without_any_request(make_site: MakeSite) -> None:
    app = show_request(make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test:8443"))

    address = public_url_in(app, "seen", token="t")

    assert address == "https://mail.contoso.test:8443/seen?token=t"
