"""An application that is registered at the stand-in for Google and asks by requests-oauthlib, as tests need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests_oauthlib import OAuth2Session

from tests.outside.google import SEND, GoogleServer

CLIENT_ID = "123-portal.apps.googleusercontent.com"
CLIENT_SECRET = "GOCSPX-geheim"
CALLBACK = "https://portal.contoso.test/oauth/google/callback"
PORTAL = "portal@contoso.test"
ASKED = ("openid", "email", SEND)


class Application:
    """One whose sessions trust the authority in `ca_file` and nothing of the environment."""

    def __init__(self, google: GoogleServer, ca_file: Path) -> None:
        self.google = google
        self._ca_file = ca_file

    def session(self, *, scopes: tuple[str, ...] = ASKED, **more: Any) -> OAuth2Session:
        session = OAuth2Session(CLIENT_ID, redirect_uri=CALLBACK, scope=list(scopes), **more)
        session.verify = str(self._ca_file)
        session.trust_env = False
        return session

    def plain(self) -> requests.Session:
        session = requests.Session()
        session.verify = str(self._ca_file)
        session.trust_env = False
        return session

    def url(self, *, scopes: tuple[str, ...] = ASKED, **parameters: str) -> str:
        """Where the browser is sent, without PKCE."""
        url, _ = self.session(scopes=scopes).authorization_url(self.google.endpoints["authorization_url"], **parameters)
        return str(url)

    def connect(self, *, scopes: tuple[str, ...] = ASKED, **parameters: str) -> OAuth2Session:
        """A session with the token that a person gave by saying yes to everything, for offline access."""
        session = self.session(scopes=scopes, pkce="S256")
        asked = {"access_type": "offline", "prompt": "consent", "login_hint": PORTAL} | parameters
        url, _ = session.authorization_url(self.google.endpoints["authorization_url"], **asked)
        callback = self.google.person().allow(url, account=PORTAL)
        self.redeem(session, callback)
        return session

    def redeem(self, session: OAuth2Session, callback: str, **changes: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "authorization_response": callback,
            "client_secret": CLIENT_SECRET,
            "include_client_id": True,
        }
        token: dict[str, Any] = session.fetch_token(self.google.endpoints["token_url"], **(arguments | changes))
        return token

    def token_request(self, **form: str) -> requests.Response:
        """The answer as it comes, which the library does not show."""
        identity = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        return self.plain().post(self.google.endpoints["token_url"], data=identity | form)

    def refresh(self, refresh_token: str, **form: str) -> requests.Response:
        return self.token_request(grant_type="refresh_token", refresh_token=refresh_token, **form)


def parameters_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
