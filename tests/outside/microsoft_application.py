"""An app that is registered at the stand-in for Microsoft and asks by msal, as tests need it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msal  # type: ignore[import-untyped]
import requests

from tests.outside.certificates import ServerCertificate
from tests.outside.microsoft import MicrosoftServer

TENANT = "11111111-1111-4111-8111-111111111111"
ELSEWHERE = "22222222-2222-4222-8222-222222222222"
CLIENT_ID = "33333333-3333-4333-8333-333333333333"
SECRET = "abc8Q~geheim"
CALLBACK = "https://portal.contoso.test/oauth/microsoft/callback"
PORTAL = "portal@contoso.test"
ADMIN = "admin@contoso.test"
MAIL_SEND = "https://graph.microsoft.com/Mail.Send"
USER_READ = "https://graph.microsoft.com/User.Read"
SMTP_SEND = "https://outlook.office.com/SMTP.Send"


@contextmanager
def at_contoso(certificate: ServerCertificate, **settings: Any) -> Iterator[MicrosoftServer]:
    """A stand-in that knows two tenants, the app, a mailbox for it, an administrator, and somebody elsewhere."""
    with MicrosoftServer(certificate=certificate, **settings) as microsoft:
        microsoft.add_tenant(TENANT, domains=["contoso.test"])
        microsoft.add_tenant(ELSEWHERE, domains=["fabrikam.test"])
        registered(microsoft)
        microsoft.add_mailbox(TENANT, PORTAL, object_id="44444444-4444-4444-8444-444444444444")
        microsoft.add_mailbox(TENANT, ADMIN, is_admin=True)
        microsoft.add_mailbox(ELSEWHERE, "bob@fabrikam.test")
        yield microsoft


def registered(microsoft: MicrosoftServer, **settings: Any) -> None:
    """The app, with these settings instead of the usual ones."""
    usual: dict[str, Any] = {
        "secrets": {SECRET: date(2100, 1, 1)},
        "redirect_uris": [CALLBACK],
        "application": ["Mail.Send"],
    }
    microsoft.add_app(TENANT, CLIENT_ID, **(usual | settings))


class Application:
    """Trusts the authority in `ca_file` and nothing of the environment. To be closed."""

    def __init__(self, microsoft: MicrosoftServer, ca_file: Path) -> None:
        self.microsoft = microsoft
        self.session = requests.Session()
        self.session.verify = str(ca_file)
        self.session.trust_env = False

    # What msal asks of an HTTP client.
    def get(self, url: str, **more: Any) -> requests.Response:
        return self.session.get(url, timeout=10, **more)

    def post(self, url: str, **more: Any) -> requests.Response:
        return self.session.post(url, timeout=10, **more)

    def close(self) -> None:
        self.session.close()

    def client(self, credential: Any = SECRET, *, tenant: str = TENANT, **more: Any) -> Any:
        """A new one each time: msal answers a repeated request itself for a while."""
        return msal.ConfidentialClientApplication(
            CLIENT_ID,
            client_credential=credential,
            authority=f"{self.microsoft.login_url}/{tenant}",
            instance_discovery=False,
            http_client=self,
            **more,
        )

    def device(self) -> Any:
        return msal.PublicClientApplication(
            CLIENT_ID,
            authority=f"{self.microsoft.login_url}/{TENANT}",
            instance_discovery=False,
            http_client=self,
        )

    def flow(self, *scopes: str, client: Any = None, **more: Any) -> dict[str, Any]:
        with warnings.catch_warnings():
            # msal would rather have a form posted, which a Lax session cookie does not survive.
            warnings.simplefilter("ignore", UserWarning)
            flow: dict[str, Any] = (client or self.client()).initiate_auth_code_flow(
                list(scopes or (MAIL_SEND,)), redirect_uri=CALLBACK, response_mode="query", **more
            )
        return flow

    def connect(self, *scopes: str, client: Any = None, account: str = PORTAL) -> dict[str, Any]:
        """The tokens that a person gave by saying yes to everything."""
        client = client or self.client()
        flow = self.flow(*scopes, client=client)
        callback = self.microsoft.person().accept(flow["auth_uri"], account=account)
        tokens: dict[str, Any] = client.acquire_token_by_auth_code_flow(flow, parameters_of(callback))
        return tokens

    def authorization_url(self, *, tenant: str = TENANT, **parameters: str) -> str:
        """Without msal, and without PKCE."""
        usual = {
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": f"openid offline_access {MAIL_SEND}",
            "state": "state-1",
        }
        return f"{self.microsoft.login_url}/{tenant}/oauth2/v2.0/authorize?{urlencode(usual | parameters)}"

    def token_request(self, *, tenant: str = TENANT, **form: str) -> requests.Response:
        """The answer as it comes."""
        identity = {"client_id": CLIENT_ID, "client_secret": SECRET}
        address = f"{self.microsoft.login_url}/{tenant}/oauth2/v2.0/token"
        return self.post(address, data={name: value for name, value in (identity | form).items() if value})

    def redeem(self, callback: str, *, tenant: str = TENANT, **form: str) -> requests.Response:
        grant = {"grant_type": "authorization_code", "code": parameters_of(callback)["code"], "redirect_uri": CALLBACK}
        return self.token_request(tenant=tenant, **(grant | form))

    def refresh(self, refresh_token: str, **form: str) -> requests.Response:
        return self.token_request(grant_type="refresh_token", refresh_token=refresh_token, **form)

    def graph(self, method: str, path: str, token: str, **more: Any) -> requests.Response:
        """`path` from the version on; a token is sent where there is one."""
        headers = more.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        address = f"{self.microsoft.graph_url}{path}"
        return self.session.request(method, address, headers=headers, timeout=10, **more)


def parameters_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
