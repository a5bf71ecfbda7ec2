"""Google and Microsoft as stand-ins, connections that somebody can consent to, and the way there and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from portal.connections import saving
from portal.connections.models import ConnectionGrant, ConsentFlow
from portal.connections.provider_values import ProviderValues, SendThrough
from portal.connections.values import CLIENT_SECRET, ConnectionValues, Method, Role, SecretAction, SecretChange
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.connections.making import ADA, NOW, engine_of, installation_of
from tests.outside.certificates import ServerCertificate
from tests.outside.google import GoogleServer
from tests.outside.microsoft import MicrosoftServer

GOOGLE_ID, GOOGLE_SECRET = "123-portal.apps.googleusercontent.com", "GOCSPX-geheim-Kanarie"
TENANT, MICROSOFT_ID = "11111111-1111-4111-8111-111111111111", "33333333-3333-4333-8333-333333333333"
ELSEWHERE = "22222222-2222-4222-8222-222222222222"
MICROSOFT_SECRET = "abc8Q~geheim-Kanarie"
PORTAL, ADA_ADDRESS, BOB = "portal@contoso.test", "ada@contoso.test", "bob@fabrikam.test"
CONSENT_METHODS = (Method.GOOGLE, Method.MICROSOFT)
TOO_OLD = timedelta(minutes=10, seconds=1)


@dataclass(frozen=True)
class Outside:
    """Both providers, with three accounts each, one of them at another organisation."""

    google: GoogleServer
    microsoft: MicrosoftServer
    ca_file: Path

    @property
    def environment(self) -> dict[str, str]:
        """The portal's variables that lead to them."""
        named = {name.removesuffix("_url"): url for name, url in self.google.endpoints.items() if name != "keys_url"}
        return {
            "PORTAL_CA_BUNDLE": str(self.ca_file),
            **{f"PORTAL_GOOGLE_{name.upper()}_URL": url for name, url in named.items()},
            "PORTAL_MICROSOFT_LOGIN_URL": self.microsoft.login_url,
            "PORTAL_MICROSOFT_GRAPH_URL": self.microsoft.graph_url,
        }

    def register(self, public_url: str) -> None:
        """The applications, whose redirect URIs are those of a portal at this address."""
        at_google, at_microsoft = f"{public_url}/oauth/google/callback", f"{public_url}/oauth/microsoft/callback"
        self.google.add_client(GOOGLE_ID, GOOGLE_SECRET, redirect_uris=[at_google])
        secrets = {MICROSOFT_SECRET: date(2100, 1, 1)}
        self.microsoft.add_app(TENANT, MICROSOFT_ID, secrets=secrets, redirect_uris=[at_microsoft])

    def consent(self, url: str, account: str = PORTAL) -> str:
        """Somebody says yes to everything; the address that the browser is sent back to."""
        if url.startswith(self.google.url):
            # As if "Use another account" had been chosen on the page of the account that is hinted at.
            return self.google.person().allow(re.sub(r"&login_hint=[^&]+", "", url), account=account)
        return self.microsoft.person().accept(url, account=account)

    def decline(self, url: str, account: str = PORTAL) -> str:
        person = self.google.person() if url.startswith(self.google.url) else self.microsoft.person()
        return person.cancel(url, account=account)

    def code_requests(self, method: Method) -> int:
        """How many codes were redeemed, or tried."""
        server = self.google if method is Method.GOOGLE else self.microsoft
        return server.token_requests.count("authorization_code")


@contextmanager
def both_providers(certificate: ServerCertificate, ca_file: Path, **settings: Any) -> Iterator[Outside]:
    with (
        GoogleServer(certificate=certificate, **settings) as google,
        MicrosoftServer(certificate=certificate, **settings) as microsoft,
    ):
        microsoft.add_tenant(TENANT, domains=["contoso.test"])
        microsoft.add_tenant(ELSEWHERE, domains=["fabrikam.test"])
        for address in (PORTAL, ADA_ADDRESS, BOB):
            google.add_account(address)
            microsoft.add_mailbox(ELSEWHERE if address == BOB else TENANT, address)
        outside = Outside(google, microsoft, ca_file)
        outside.register("http://localhost")
        yield outside


def provider_values(method: Method, *, name: str = "Main", mailbox: str = PORTAL, **changes: Any) -> ConnectionValues:
    """A connection that is complete but for the consent."""
    own = ProviderValues(
        client_id=GOOGLE_ID if method is Method.GOOGLE else MICROSOFT_ID,
        tenant_id=TENANT if method is Method.MICROSOFT else "",
        mailbox=mailbox,
        send_through=changes.pop("send_through", SendThrough.API),
    )
    values = ConnectionValues(name=name, method=method, **{"role": Role.AVAILABLE, "from_address": PORTAL, **changes})
    return values.with_provider(own)


def secret_of(method: Method) -> str:
    return GOOGLE_SECRET if method is Method.GOOGLE else MICROSOFT_SECRET


def create(app: Flask, values: ConnectionValues, *, secret: str = "") -> UUID:
    """Stored as it is, without consent. `secret`: other than the one that the provider knows."""
    secrets = {CLIENT_SECRET: SecretChange(SecretAction.REPLACE, secret or secret_of(values.method))}
    with app.app_context(), unit_of_work() as session:
        return saving.create(session, values, secrets, box=installation_of(app).box, actor=ADA, now=NOW)


def form_fields(method: Method, **changes: str) -> dict[str, str]:
    """What somebody types for a connection that is not stored."""
    fields = {
        "name": "New",
        "method": str(method),
        "role": "available",
        "client_id": GOOGLE_ID if method is Method.GOOGLE else MICROSOFT_ID,
        "client_secret": secret_of(method),
        "tenant_id": TENANT if method is Method.MICROSOFT else "",
        "cloud": "global",
        "credential": "secret",
        "send_through": "api",
        "mailbox": PORTAL,
        "from_address": PORTAL,
    }
    return fields | changes


def start(admin: Browser, connection_id: UUID, *, popup: bool = False) -> str:
    """Choose Connect on a connection as it is stored; the provider's address."""
    answer = started(admin, connection_id, popup=popup)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def started(admin: Browser, connection_id: UUID, *, popup: bool = False) -> TestResponse:
    path = f"/connections/{connection_id}/authorizations{'?popup=1' if popup else ''}"
    return admin.post(path, {}, page="/forgot-password")


def come_back(admin: Browser, url: str) -> TestResponse:
    """The browser follows the provider's redirect to the portal."""
    parts = urlsplit(url)
    return admin.get(f"{parts.path}?{parts.query}")


def connect(admin: Browser, outside: Outside, connection_id: UUID, *, account: str = PORTAL) -> TestResponse:
    """All the way to the page that says what it came to."""
    back = come_back(admin, outside.consent(start(admin, connection_id), account))
    assert back.status_code == 303, back.text
    assert back.headers["Location"].startswith("/consents-under-way/"), back.headers["Location"]
    return admin.get(back.headers["Location"])


def flows(app: Flask) -> list[ConsentFlow]:
    """In the order in which they were started."""
    with Session(engine_of(app)) as session:
        return list(session.scalars(select(ConsentFlow).order_by(ConsentFlow.created_at)))


def grants(app: Flask) -> list[ConnectionGrant]:
    with Session(engine_of(app)) as session:
        return list(session.scalars(select(ConnectionGrant)))


def let_time_pass(app: Flask, passed: timedelta) -> None:
    """Every flow was started so much earlier."""
    with app.app_context(), unit_of_work() as session:
        for flow_id, created_at in db.session.execute(select(ConsentFlow.id, ConsentFlow.created_at)).all():
            earlier = update(ConsentFlow).where(ConsentFlow.id == flow_id).values(created_at=created_at - passed)
            session.execute(earlier)


def today() -> datetime:
    return datetime.now(UTC)
