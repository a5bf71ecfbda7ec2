"""The providers' own addresses, in every cloud, asked through an organisation's web proxy: nothing leads elsewhere.

No address is overridden here. HTTPS_PROXY names a proxy on loopback, which knows where the real names lead in a test.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask

from portal.connections.oauth.provider import Cloud
from portal.connections.provider_values import ProviderValues
from portal.connections.values import Method, Role
from tests.admin_browser import Browser
from tests.conftest import opened
from tests.connections.consenting import (
    GOOGLE_ID,
    GOOGLE_SECRET,
    MICROSOFT_ID,
    PORTAL,
    TENANT,
    come_back,
    create,
    provider_values,
    start,
)
from tests.connections.making import queue_mail, send_what_is_due, stored
from tests.outside.certificates import Authority
from tests.outside.google import GoogleServer
from tests.outside.https_server import ConnectProxy, HTTPSServer, ReceivedRequest, Reply

CLOUDS = [
    (Cloud.GLOBAL, "login.microsoftonline.com", "graph.microsoft.com"),
    (Cloud.US_GOV, "login.microsoftonline.us", "graph.microsoft.us"),
    (Cloud.US_DOD, "login.microsoftonline.us", "dod-graph.microsoft.us"),
    (Cloud.CHINA, "login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"),
]
GOOGLES = ("accounts.google.com", "oauth2.googleapis.com", "openidconnect.googleapis.com", "gmail.googleapis.com")
NAMES = (*GOOGLES, *{host for _, *hosts in CLOUDS for host in hosts})
IDS = [str(cloud) for cloud, *_ in CLOUDS]


class Microsofts(HTTPSServer):
    """Sign-in and Graph of every cloud on one server, which answers by the name that it was called by."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(authority.issue("127.0.0.1", *NAMES))
        self.nonce = ""
        self.on(f"/{TENANT}/v2.0/.well-known/openid-configuration", answer=_discovery)
        self.on(f"/{TENANT}/oauth2/v2.0/token", answer=self._token)
        for whose in (f"users/{PORTAL}", "me"):
            self.on(f"/v1.0/{whose}/sendMail", status=202)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Host and path of every request."""
        return [(request.headers["host"], request.path) for request in self.requests]

    def _token(self, request: ReceivedRequest) -> Reply:
        answer = {"token_type": "Bearer", "expires_in": 3599, "access_token": "the-token-of-this-cloud"}
        if request.form["grant_type"] == "authorization_code":
            host, who = request.headers["host"], {"tid": TENANT, "oid": "o", "sub": "s", "preferred_username": PORTAL}
            claims = {"aud": MICROSOFT_ID, "iss": f"https://{host}/{TENANT}/v2.0", "nonce": self.nonce, **who}
            client_info = _in_base64({"uid": "o", "utid": TENANT})
            id_token = f"{_in_base64({'alg': 'RS256'})}.{_in_base64(claims | {'exp': 4_000_000_000, 'iat': 1})}.signed"
            answer |= {"id_token": id_token, "refresh_token": "0.refresh", "client_info": client_info}
        return Reply.of_json(answer)


def _discovery(request: ReceivedRequest) -> Reply:
    base = f"https://{request.headers['host']}/{TENANT}"
    return Reply.of_json(
        {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
        }
    )


def _in_base64(value: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@contextmanager
def behind_a_proxy(
    environ: dict[str, str], folder: Path, authority: Authority, address: tuple[str, int]
) -> Iterator[tuple[Flask, ConnectProxy]]:
    """A portal whose only way to the providers is the proxy."""
    bundle = folder / "authority.pem"
    bundle.write_text(authority.pem)
    with ConnectProxy({f"{name}:443": address for name in NAMES}, account=("portal", "geheim")) as proxy:
        url = f"http://portal:geheim@127.0.0.1:{proxy.port}"
        with opened(environ | {"PORTAL_CA_BUNDLE": str(bundle), "HTTPS_PROXY": url}) as app:
            yield app, proxy


@pytest.mark.parametrize(("cloud", "login", "graph"), CLOUDS, ids=IDS)
def test_an_application_of_each_cloud_asks_that_clouds_sign_in_and_sends_by_its_graph(
    environ: dict[str, str], tmp_path: Path, authority: Authority, cloud: Cloud, login: str, graph: str
) -> None:
    with Microsofts(authority) as server, behind_a_proxy(environ, tmp_path, authority, server.address) as (app, proxy):
        own = ProviderValues(client_id=MICROSOFT_ID, tenant_id=TENANT, mailbox=PORTAL, cloud=cloud)
        values = provider_values(Method.MICROSOFT, role=Role.DEFAULT)
        create(app, replace(values, method=Method.MICROSOFT_APP, microsoft_app=own))
        queue_mail(app)

        send_what_is_due(app)

        assert server.asked == [
            (login, f"/{TENANT}/v2.0/.well-known/openid-configuration"),
            (login, f"/{TENANT}/oauth2/v2.0/token"),
            (graph, f"/v1.0/users/{PORTAL}/sendMail"),
        ]
        assert server.requests[1].form["scope"] == f"https://{graph}/.default"
        assert server.requests[2].headers["authorization"] == "Bearer the-token-of-this-cloud"
        assert proxy.targets == [f"{login}:443", f"{graph}:443"]


@pytest.mark.parametrize(("cloud", "login", "graph"), CLOUDS, ids=IDS)
def test_a_person_of_each_cloud_consents_and_sends_there(
    environ: dict[str, str], tmp_path: Path, authority: Authority, cloud: Cloud, login: str, graph: str
) -> None:
    with Microsofts(authority) as server, behind_a_proxy(environ, tmp_path, authority, server.address) as (app, proxy):
        values = provider_values(Method.MICROSOFT, role=Role.DEFAULT)
        assert values.provider is not None
        connection_id = create(app, values.with_provider(replace(values.provider, cloud=cloud)))
        admin = Browser(app)

        page = start(admin, connection_id)
        asked = dict(parse_qsl(urlsplit(page).query))
        server.nonce = asked["nonce"]
        come_back(admin, f"{asked['redirect_uri']}?code=one&state={asked['state']}")
        queue_mail(app)
        send_what_is_due(app)

        assert page.startswith(f"https://{login}/{TENANT}/oauth2/v2.0/authorize?")
        assert {f"https://{graph}/Mail.Send", f"https://{graph}/User.Read"} <= set(asked["scope"].split())
        grant = stored(app).grant
        assert grant is not None
        assert grant.account == PORTAL
        assert (graph, "/v1.0/me/sendMail") in server.asked
        assert {host for host, _ in server.asked} == {login, graph}
        assert set(proxy.targets) == {f"{login}:443", f"{graph}:443"}


def test_google_is_asked_for_consent_tokens_and_sending_through_the_proxy(
    environ: dict[str, str], tmp_path: Path, authority: Authority
) -> None:
    with (
        GoogleServer(certificate=authority.issue("127.0.0.1", *NAMES)) as google,
        behind_a_proxy(environ, tmp_path, authority, (google.host, google.port)) as (app, proxy),
    ):
        google.add_client(GOOGLE_ID, GOOGLE_SECRET, redirect_uris=["http://localhost/oauth/google/callback"])
        google.add_account(PORTAL)
        connection_id = create(app, provider_values(Method.GOOGLE, role=Role.DEFAULT))
        admin = Browser(app)

        page = start(admin, connection_id)
        at_the_stand_in = page.replace("https://accounts.google.com", google.url)
        come_back(admin, google.person().allow(at_the_stand_in, account=PORTAL))
        queue_mail(app)
        send_what_is_due(app)
        admin.post(f"/connections/{connection_id}/disconnection", {}, page=f"/connections/{connection_id}")

        [message] = google.messages
        assert message.account == PORTAL
        assert page.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
        assert google.token_requests == ["authorization_code"]
        assert {"oauth2.googleapis.com:443", "gmail.googleapis.com:443"} == set(proxy.targets)
        assert [request.path for request in google.requests].count("/revoke") == 1
        assert stored(app).grant is None


def test_a_proxy_that_refuses_the_portal_is_named_and_no_consent_is_lost(
    environ: dict[str, str], tmp_path: Path, authority: Authority
) -> None:
    bundle = tmp_path / "authority.pem"
    bundle.write_text(authority.pem)
    with ConnectProxy({}, account=("portal", "geheim")) as proxy:
        named = {"PORTAL_CA_BUNDLE": str(bundle), "HTTPS_PROXY": f"http://portal:falsch@127.0.0.1:{proxy.port}"}
        with opened(environ | named) as app:
            connection_id = create(app, provider_values(Method.MICROSOFT))
            admin = Browser(app)

            answer = admin.post(
                f"/connections/{connection_id}/authorizations", {}, page=f"/connections/{connection_id}"
            )
            said = admin.get(answer.headers["Location"]).text

    assert answer.headers["Location"].startswith("/consents-under-way/")
    assert "HTTPS_PROXY" in said
    assert "falsch" not in said
    assert proxy.targets == ["login.microsoftonline.com:443"]
