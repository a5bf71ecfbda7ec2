"""The ways out to Google and Microsoft: by their APIs, or by SMTP with an access token."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from portal.connections.grants import StoredToken
from portal.connections.installation import Installation
from portal.connections.permissions import may_upload
from portal.connections.registrations import google_endpoints, microsoft_endpoints
from portal.connections.stored import StoredConnection
from portal.connections.values import GOOGLE_METHODS, Method
from portal.transports import Transport
from portal.transports.gmail import GmailTransport
from portal.transports.graph import GraphTransport
from portal.transports.smtp import SMTPTransport


def open_provider(engine: Engine, connection: StoredConnection, *, installation: Installation) -> Transport:
    """The transport of a connection to a provider. Raises ValueError for other methods."""
    values, own = connection.values, connection.values.provider
    if own is None:
        raise ValueError(f"{values.method} is no method of a provider")
    token = StoredToken(engine, connection.id, installation=installation)
    if own.uses_smtp:
        username = own.mailbox or (connection.grant.account if connection.grant else "")
        settings = installation.token_settings(values, username=username, access_token=token)
        return SMTPTransport(settings, policy=installation.policy, ca_bundle=installation.ca_bundle)
    if values.method in GOOGLE_METHODS:
        api_url = google_endpoints(installation).api_url
        return GmailTransport(installation.https, api_url=api_url, access_token=token)

    def may_upload_now() -> bool:
        token(False)
        return token.grant is not None and may_upload(values.method, token.grant.scopes)

    return GraphTransport(
        installation.https,
        graph_url=microsoft_endpoints(own, installation).graph_url,
        mailbox=own.mailbox if values.method is Method.MICROSOFT_APP else "",
        access_token=token,
        may_upload=may_upload_now,
    )
