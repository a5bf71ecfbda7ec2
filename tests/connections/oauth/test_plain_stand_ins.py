"""Stand-ins of an operator's own on this machine may speak plain HTTP, which the libraries never see."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.connections.oauth.google import Endpoints as GoogleEndpoints
from portal.connections.oauth.google import Google, scopes_for
from portal.connections.oauth.microsoft import Endpoints as MicrosoftEndpoints
from portal.connections.oauth.microsoft import Microsoft, app_token
from portal.connections.oauth.provider import Cloud, Registration
from portal.network.https import HTTPS
from tests.outside.google import GoogleServer
from tests.outside.google_application import parameters_of
from tests.outside.microsoft import MicrosoftServer

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT_ID = "66666666-7777-8888-9999-000000000000"
CALLBACK = "http://127.0.0.1:8000/oauth/callback"
PORTAL = "portal@contoso.test"


def test_google_by_plain_http_on_this_machine(https: HTTPS, now: datetime) -> None:
    with GoogleServer(certificate=None) as server:
        server.add_client("client", "geheim", redirect_uris=[CALLBACK], status="production")
        server.add_account(PORTAL)
        endpoints = {name: url for name, url in server.endpoints.items() if name != "keys_url"}
        google = Google(https, GoogleEndpoints.of(endpoints))
        app = Registration(client_id="client", client_secret="geheim")
        begun = google.authorization_request(
            app, redirect_uri=CALLBACK, state="state", scopes=scopes_for(by_smtp=False), login_hint=PORTAL
        )
        came_back = parameters_of(server.person().allow(begun.url, account=PORTAL))

        grant = google.redeem(app, begun.secrets, came_back, redirect_uri=CALLBACK, now=now)
        renewed = google.renew(
            app, grant.stored, scopes=scopes_for(by_smtp=False), now=now + timedelta(hours=2), force=True
        )

    assert begun.url.startswith("http://127.0.0.1:")
    assert grant.account == PORTAL
    assert renewed.access_token != grant.access_token


def test_microsoft_by_plain_http_on_this_machine(https: HTTPS, now: datetime) -> None:
    with MicrosoftServer(certificate=None) as server:
        server.add_tenant(TENANT, domains=["contoso.test"])
        server.add_app(
            TENANT,
            CLIENT_ID,
            secrets={"geheim": now + timedelta(days=90)},
            redirect_uris=[CALLBACK],
            delegated=["Mail.Send", "User.Read"],
            application=["Mail.Send"],
        )
        server.add_mailbox(TENANT, PORTAL)
        overrides = {"login_url": server.login_url, "graph_url": server.graph_url}
        endpoints = MicrosoftEndpoints.of(Cloud.GLOBAL, overrides)
        microsoft = Microsoft(https, overrides)
        app = Registration(client_id=CLIENT_ID, client_secret="geheim", tenant_id=TENANT)
        scopes = endpoints.scopes_for(by_smtp=False)
        begun = microsoft.authorization_request(
            app, redirect_uri=CALLBACK, state="state", scopes=scopes, login_hint=PORTAL
        )
        came_back = parameters_of(server.person().accept(begun.url, account=PORTAL))

        grant = microsoft.redeem(app, begun.secrets, came_back, redirect_uri=CALLBACK, now=now)
        own = app_token(app, scope=endpoints.app_scope(by_smtp=False), https=https, endpoints=endpoints, now=now)

    assert begun.url.startswith("http://127.0.0.1:")
    assert grant.account == PORTAL
    assert own.access_token
