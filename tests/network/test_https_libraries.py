"""requests, requests-oauthlib and msal, calling by the portal's HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import msal
import pytest
import requests
from msal.exceptions import MsalServiceError
from oauthlib.oauth2 import InvalidGrantError
from requests_oauthlib import OAuth2Session

from portal.network.https import HTTPS, HTTPSError
from tests.outside.certificates import Authority
from tests.outside.https_server import HTTPSServer, ReceivedRequest, Reply

TENANT = "11111111-2222-3333-4444-555555555555"
SCOPE = "https://graph.microsoft.com/.default"


@pytest.fixture
def microsoft(server: HTTPSServer) -> HTTPSServer:
    """A tenant: its discovery document, and tokens for one secret."""

    def token(request: ReceivedRequest) -> Reply:
        if request.form.get("client_secret") != "s e+cretä":
            return Reply.of_json(
                {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."},
                status=401,
            )
        return Reply.of_json({"token_type": "Bearer", "expires_in": 3599, "access_token": "abc"})

    server.on(
        f"/{TENANT}/v2.0/.well-known/openid-configuration",
        json={
            "issuer": server.url(f"/{TENANT}/v2.0"),
            "authorization_endpoint": server.url(f"/{TENANT}/oauth2/v2.0/authorize"),
            "token_endpoint": server.url(f"/{TENANT}/oauth2/v2.0/token"),
        },
    )
    server.on(f"/{TENANT}/oauth2/v2.0/token", answer=token, method="POST")
    return server


def application(https: HTTPS, microsoft: HTTPSServer, secret: str) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        "client-1",
        client_credential=secret,
        authority=microsoft.url(f"/{TENANT}"),
        instance_discovery=False,
        http_client=https.msal_client(seconds=5),
    )


def test_msal_gets_a_token_over_kept_connections(https: HTTPS, microsoft: HTTPSServer) -> None:
    app = application(https, microsoft, "s e+cretä")

    result = app.acquire_token_for_client([SCOPE])

    discovery, asked = microsoft.requests
    assert result["access_token"] == "abc"
    assert (discovery.method, asked.method, microsoft.connections) == ("GET", "POST", 1)
    assert asked.form["scope"] == SCOPE
    assert asked.headers["user-agent"] == "Mail Portal"


def test_msal_reads_a_providers_no(https: HTTPS, microsoft: HTTPSServer) -> None:
    app = application(https, microsoft, "wrong")

    result = app.acquire_token_for_client([SCOPE])

    assert result["error"] == "invalid_client"
    assert result["error_description"].startswith("AADSTS7000215")


def test_msal_ignores_the_variables_that_would_change_its_trust(
    https: HTTPS, microsoft: HTTPSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nowhere/ca.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    result = application(https, microsoft, "s e+cretä").acquire_token_for_client([SCOPE])

    assert result["access_token"] == "abc"


def test_msal_tells_a_failing_provider_and_a_lost_connection_apart(https: HTTPS, microsoft: HTTPSServer) -> None:
    app = application(https, microsoft, "s e+cretä")
    lost = application(https, microsoft, "s e+cretä")
    microsoft.on(f"/{TENANT}/oauth2/v2.0/token", status=503, content=b"<html>busy</html>")
    with pytest.raises(MsalServiceError):
        app.acquire_token_for_client([SCOPE])
    microsoft.on(f"/{TENANT}/oauth2/v2.0/token", leave="request")

    with pytest.raises(HTTPSError) as caught:
        lost.acquire_token_for_client([SCOPE])

    assert (caught.value.code, caught.value.was_handed_over) == ("network.connection_lost", True)


def test_msal_is_held_to_its_time(https: HTTPS, microsoft: HTTPSServer) -> None:
    microsoft.on(f"/{TENANT}/v2.0/.well-known/openid-configuration", content=b"{" + b" " * 1000, trickle=0.02)
    started = monotonic()

    with pytest.raises(HTTPSError) as caught:
        msal.ConfidentialClientApplication(
            "client-1",
            client_credential="x",
            authority=microsoft.url(f"/{TENANT}"),
            instance_discovery=False,
            http_client=https.msal_client(seconds=0.4),
        )

    assert caught.value.code == "network.too_slow"
    assert monotonic() - started < 1.5


@pytest.fixture
def google(https: HTTPS, server: HTTPSServer) -> Iterator[OAuth2Session]:
    session = https.session(
        OAuth2Session, "client-1", redirect_uri="https://portal.contoso.test/oauth/google/callback", state="state-1"
    )
    yield session
    session.close()


def test_oauth2session_fetches_and_refreshes_a_token(google: OAuth2Session, server: HTTPSServer) -> None:
    token = {"access_token": "abc", "refresh_token": "def", "expires_in": 3599, "token_type": "Bearer"}
    server.on("/token", json=token)

    fetched = google.fetch_token(
        server.url("/token"),
        code="code-1",
        code_verifier="verifier-1",
        client_secret="s e+cretä",
        include_client_id=True,
        timeout=5,
    )
    refreshed = google.refresh_token(server.url("/token"), client_id="client-1", client_secret="s e+cretä", timeout=5)
    google.get(server.url("/userinfo"))

    asked, again, signed = server.requests
    assert (fetched["access_token"], refreshed["refresh_token"]) == ("abc", "def")
    assert asked.form == {
        "grant_type": "authorization_code",
        "client_id": "client-1",
        "client_secret": "s e+cretä",
        "code": "code-1",
        "code_verifier": "verifier-1",
        "redirect_uri": "https://portal.contoso.test/oauth/google/callback",
    }
    assert again.form["grant_type"] == "refresh_token"
    assert signed.headers["authorization"] == "Bearer abc"
    assert server.connections == 1


def test_oauth2session_reads_a_providers_no(google: OAuth2Session, server: HTTPSServer) -> None:
    server.on("/token", status=400, json={"error": "invalid_grant", "error_description": "Token has been expired."})

    with pytest.raises(InvalidGrantError) as caught:
        google.fetch_token(server.url("/token"), code="code-1", client_secret="x", include_client_id=True)

    assert caught.value.description == "Token has been expired."


def test_a_session_gives_what_requests_gives(https: HTTPS, server: HTTPSServer) -> None:
    server.on(
        "/", status=403, content="größer".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin1"}
    )

    response = https.session().post(server.url("/"), data={"a": "ü"}, params={"b": "1"})

    [request] = server.requests
    assert (response.status_code, response.text, response.reason) == (403, "größer", "Forbidden")
    assert response.headers["content-type"] == "text/plain; charset=latin1"
    with pytest.raises(requests.HTTPError):
        response.raise_for_status()
    assert (request.form, request.query) == ({"a": "ü"}, {"b": "1"})
    assert request.headers["user-agent"] == "Mail Portal"


def test_a_session_follows_no_redirection(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", status=307, headers={"Location": server.url("/elsewhere")})

    with pytest.raises(HTTPSError) as caught:
        https.session().post(server.url("/"), data={"refresh_token": "def"})

    assert caught.value.code == "http.redirected"
    assert [request.path for request in server.requests] == ["/"]


def test_a_session_has_the_limits_of_every_call(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/large", flood=b"x" * 65536)
    server.on("/slow", content=b"x" * 1000, trickle=0.02)

    with pytest.raises(HTTPSError) as large:
        https.session().get(server.url("/large"))
    with pytest.raises(HTTPSError) as slow:
        https.session().get(server.url("/slow"), timeout=0.3)
    with pytest.raises(HTTPSError) as slower:
        https.session().get(server.url("/slow"), timeout=(0.1, 0.2))

    assert [each.value.code for each in (large, slow, slower)] == [
        "http.answer_too_large",
        "network.too_slow",
        "network.too_slow",
    ]


def test_a_session_trusts_as_the_portal_does_whatever_it_is_told(https: HTTPS) -> None:
    with HTTPSServer(Authority().issue("127.0.0.1")) as stranger:
        session = https.session()
        session.verify = False
        with pytest.raises(HTTPSError) as caught:
            session.get(stranger.url("/"), verify=False)

    assert caught.value.code == "tls.unknown_ca"


@pytest.mark.parametrize("url", ["http://login.contoso.test/", "ftp://login.contoso.test/", "https://u:p@127.0.0.1/"])
def test_a_session_calls_no_other_urls_than_the_portal_does(https: HTTPS, url: str) -> None:
    with pytest.raises(ValueError):
        https.session().get(url)


def test_a_line_break_in_a_sessions_url_stays_inside_the_url(https: HTTPS, server: HTTPSServer) -> None:
    https.session().get(server.url("/a\r\nX-Evil: yes"))

    [request] = server.requests
    assert "x-evil" not in request.headers
    assert request.target == "/a%0D%0AX-Evil:%20yes"


def test_content_in_pieces_is_refused(https: HTTPS, server: HTTPSServer) -> None:
    with pytest.raises(ValueError, match="has no length"):
        https.session().post(server.url("/"), data=iter([b"a", b"b"]))

    assert server.connections == 0


def test_closing_a_session_leaves_the_connections_for_others(https: HTTPS, server: HTTPSServer) -> None:
    with https.session() as session:
        session.get(server.url("/"))

    https.request("GET", server.url("/"))

    assert server.connections == 1
