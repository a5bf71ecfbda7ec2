"""A portal beside stand-ins for Google and Microsoft, with connections as people would make them there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from flask import Flask
from sqlalchemy import select
from sqlalchemy.engine import Engine, Row

from portal import outbox
from portal.connections import grant_rows, saving
from portal.connections.grants import StoredToken
from portal.connections.installation import Installation
from portal.connections.models import ConnectionGrant
from portal.connections.oauth.provider import Grant
from portal.connections.provider_values import ProviderValues, SendThrough
from portal.connections.registrations import consent_provider, registration_of, scopes_of
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import CLIENT_SECRET, ConnectionValues, Method, Role, SecretAction, SecretChange
from portal.outbox.models import Delivery, WayOutRecord
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from tests.conftest import opened
from tests.connections.making import ADA, engine_of, installation_of, queue_mail, send_what_is_due
from tests.outside import google_application, microsoft_application
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.google import GoogleServer
from tests.outside.microsoft import MicrosoftServer
from tests.outside.microsoft_application import CALLBACK, CLIENT_ID, PORTAL, TENANT, at_contoso
from tests.outside.smtp_server import SMTPServer

APP = ProviderValues(client_id=CLIENT_ID, tenant_id=TENANT, mailbox=PORTAL)
PERSON_AT_MICROSOFT = APP
PERSON_AT_GOOGLE = ProviderValues(client_id=google_application.CLIENT_ID, mailbox=PORTAL)


@cache
def authority() -> Authority:
    return Authority()


@cache
def certificate() -> ServerCertificate:
    return authority().issue("127.0.0.1", "localhost")


class ProviderWorld:
    """What a test does to the portal and finds there."""

    def __init__(self, app: Flask, google: GoogleServer, microsoft: MicrosoftServer) -> None:
        self.app = app
        self.google = google
        self.microsoft = microsoft

    @property
    def engine(self) -> Engine:
        return engine_of(self.app)

    @property
    def installation(self) -> Installation:
        return installation_of(self.app)

    def connect(
        self,
        method: Method,
        own: ProviderValues,
        *,
        secrets: dict[str, str] | None = None,
        account: str = "",
        **common: Any,
    ) -> UUID:
        """A stored connection; for the methods of consent `account` says yes at the provider."""
        given = secrets if secrets is not None else {CLIENT_SECRET: self.usual_secret(method)}
        values = self.values(method, own, **common)
        grant = self.consent(values, given, account or own.mailbox) if method in CONSENT else None
        changes = {field: SecretChange(SecretAction.REPLACE, secret) for field, secret in given.items()}
        with self.app.app_context(), unit_of_work() as session:
            box, now = self.installation.box, datetime.now(UTC)
            return saving.create(session, values, changes, grant=grant, box=box, actor=ADA, now=now)

    def values(self, method: Method, own: ProviderValues, **common: Any) -> ConnectionValues:
        usual: dict[str, Any] = {"name": "Main", "role": Role.DEFAULT, "from_address": PORTAL}
        return ConnectionValues(method=method, **(usual | common)).with_provider(own)

    def usual_secret(self, method: Method) -> str:
        is_google = method in {Method.GOOGLE, Method.GOOGLE_SERVICE_ACCOUNT}
        return google_application.CLIENT_SECRET if is_google else microsoft_application.SECRET

    def consent(self, values: ConnectionValues, secrets: dict[str, str], account: str) -> Grant:
        """What the account grants by saying yes to everything."""
        is_google = values.method is Method.GOOGLE
        redirect_uri = google_application.CALLBACK if is_google else CALLBACK
        provider = consent_provider(values.method, installation=self.installation)
        registration = registration_of(values, secrets)
        scopes = scopes_of(values, installation=self.installation)
        request = provider.authorization_request(
            registration, redirect_uri=redirect_uri, state="state-1", scopes=scopes, login_hint=""
        )
        if is_google:
            callback = self.google.person().allow(request.url, account=account)
        else:
            callback = self.microsoft.person().accept(request.url, account=account)
        params = dict(parse_qsl(urlsplit(callback).query))
        now = datetime.now(UTC)
        return provider.redeem(registration, request.secrets, params, redirect_uri=redirect_uri, now=now)

    def consent_anew(self, connection_id: UUID, values: ConnectionValues, account: str = PORTAL) -> None:
        """As when somebody presses Connect again and says yes."""
        grant = self.consent(values, {CLIENT_SECRET: self.usual_secret(values.method)}, account)
        with self.app.app_context(), unit_of_work() as session:
            box, now = self.installation.box, datetime.now(UTC)
            grant_rows.store(session, connection_id, values, grant, box=box, now=now)
            outbox.resume(session, connection_id)

    def change(
        self, connection_id: UUID, values: ConnectionValues, secrets: dict[str, SecretChange] | None = None
    ) -> None:
        with self.app.app_context(), unit_of_work() as session:
            box, now = self.installation.box, datetime.now(UTC)
            saving.change(session, connection_id, values, secrets or {}, box=box, actor=ADA, now=now)

    def token(self, connection_id: UUID, **options: Any) -> StoredToken:
        return StoredToken(self.engine, connection_id, installation=self.installation, **options)

    def queue(self) -> None:
        """A message of the portal itself by the default route."""
        queue_mail(self.app)

    def send(self) -> None:
        """One round of the worker."""
        send_what_is_due(self.app)

    def grant_row(self) -> Row[Any]:
        with self.engine.connect() as connection:
            return connection.execute(select(ConnectionGrant.__table__)).one()

    def pause_code(self, connection_id: UUID) -> str:
        """Why the connection's way out is paused, "" while it is not."""
        mine = WayOutRecord.connection_id == connection_id, WayOutRecord.sender == ""
        with self.engine.connect() as connection:
            return connection.scalar(select(WayOutRecord.code).where(*mine)) or ""

    def states(self) -> list[str]:
        """Of all deliveries, in the order in which they were queued."""
        with self.engine.connect() as connection:
            return list(connection.scalars(select(Delivery.state).order_by(Delivery.id)))


CONSENT = {Method.GOOGLE, Method.MICROSOFT}


def by_smtp(own: ProviderValues, server: SMTPServer, security: Security = Security.STARTTLS) -> ProviderValues:
    """The same, handed over to this server."""
    smtp = SMTPValues(host=server.host, port=server.port, security=security)
    return replace(own, send_through=SendThrough.SMTP, server=smtp)


@contextmanager
def provider_world(environ: dict[str, str], folder: Path, **at_microsoft: Any) -> Iterator[ProviderWorld]:
    """The portal and both stand-ins; Google's knows an application and two accounts."""
    ca_file = folder / "authority.pem"
    ca_file.write_text(authority().pem)
    with ExitStack() as stack:
        google = stack.enter_context(GoogleServer(certificate=certificate()))
        google.add_client(
            google_application.CLIENT_ID,
            google_application.CLIENT_SECRET,
            redirect_uris=[google_application.CALLBACK],
        )
        for address in (PORTAL, "ada@contoso.test"):
            google.add_account(address)
        microsoft = stack.enter_context(at_contoso(certificate(), **at_microsoft))
        environ |= {
            "PORTAL_CA_BUNDLE": str(ca_file),
            "PORTAL_MICROSOFT_LOGIN_URL": microsoft.login_url,
            "PORTAL_MICROSOFT_GRAPH_URL": microsoft.graph_url,
            **{f"PORTAL_GOOGLE_{name.upper()}": url for name, url in google.endpoints.items() if name != "keys_url"},
        }
        app = stack.enter_context(opened(environ))
        yield ProviderWorld(app, google, microsoft)
