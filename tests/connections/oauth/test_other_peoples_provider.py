"""An OpenID provider that others wrote, oidc-provider-mock: what is asked and read is no habit of our stand-ins.

It knows neither PKCE nor a refresh by a secret in the body, which Google takes: those are not tried here.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from portal.connections.oauth.google import API_SCOPE, Endpoints, Google
from portal.connections.oauth.provider import AuthorizationRequest, Registration
from portal.network.https import HTTPS
from portal.transports import ConnectionFault

APP = Registration(client_id="client", client_secret="geheim")
CALLBACK = "http://127.0.0.1:8000/oauth/google/callback"
PORTAL = "portal@contoso.test"
SIGN_IN = ("openid", "email")  # it drops scopes that it does not know
START_SECONDS = 30


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Its address. It runs as a process of its own, since it warns of what it imports."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    claims = json.dumps({"sub": "1001", "email": PORTAL, "email_verified": True})
    arguments = ["--port", str(port), "--user-claims", claims]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the provider did not start")


@pytest.fixture
def google(provider: str, https: HTTPS) -> Google:
    return Google(
        https,
        Endpoints(
            authorization_url=f"{provider}/oauth2/authorize",
            token_url=f"{provider}/oauth2/token",
            userinfo_url=f"{provider}/userinfo",
        ),
    )


def begin(google: Google, *scopes: str) -> AuthorizationRequest:
    return google.authorization_request(APP, redirect_uri=CALLBACK, state="a-state", scopes=scopes, login_hint=PORTAL)


def agree(begun: AuthorizationRequest) -> dict[str, str]:
    """What comes to the redirect URI when the person signs in."""
    parts = urlsplit(begun.url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"{parts.path}?{parts.query}", urlencode({"sub": "1001"}), form)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def test_a_consent_becomes_a_grant(google: Google, now: datetime) -> None:
    begun = begin(google, *SIGN_IN)

    grant = google.redeem(APP, begun.secrets, agree(begun), redirect_uri=CALLBACK, now=now)

    assert grant.account == PORTAL
    assert grant.scopes == frozenset(SIGN_IN)
    assert now + timedelta(minutes=50) < grant.expires_at < now + timedelta(minutes=70)


def test_a_code_is_taken_once(google: Google, now: datetime) -> None:
    begun = begin(google, *SIGN_IN)
    came_back = agree(begun)
    google.redeem(APP, begun.secrets, came_back, redirect_uri=CALLBACK, now=now)

    with pytest.raises(ConnectionFault):
        google.redeem(APP, begun.secrets, came_back, redirect_uri=CALLBACK, now=now)


def test_a_scope_that_was_not_granted_is_missed(google: Google, now: datetime) -> None:
    begun = begin(google, *SIGN_IN, API_SCOPE)

    with pytest.raises(ConnectionFault) as error:
        google.redeem(APP, begun.secrets, agree(begun), redirect_uri=CALLBACK, now=now)

    assert error.value.code == "google.scope_missing"
