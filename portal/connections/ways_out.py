"""What the worker asks: by which connections a route leaves, and the transport of one of them.

Called from the worker's threads: each call reads in a short transaction of its own and gives out plain values.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.installation import Installation
from portal.connections.provider_limits import limits_of
from portal.connections.provider_transports import open_provider
from portal.connections.secrets import needed_secret, readable_secrets
from portal.connections.senders import sender_of
from portal.connections.stored import StoredConnection, all_connections, find
from portal.connections.values import PASSWORD, Role
from portal.email_settings import EmailSettings
from portal.mail.addresses import Mailbox
from portal.outbox.prepared import WayOut, WaysOut
from portal.transports import ConnectionFault, Step, Transport
from portal.transports.capture import CaptureTransport
from portal.transports.smtp import SMTPTransport
from portal.wording import N_

CAPTURE_SENDER = Mailbox("portal@mail-portal.internal", "Mail Portal")  # of captured mail, while none is set
_CONNECTION_ROUTE = "connection:"


def ways_out(engine: Engine, route: str, *, installation: Installation) -> WaysOut:
    """The ways of a route in their order, or why there is none."""
    with Session(engine) as session:
        organisation = email_settings.load(session)
        if route.startswith(_CONNECTION_ROUTE):
            return _named(session, UUID(route.removeprefix(_CONNECTION_ROUTE)), organisation, installation)
        if not organisation.enabled:
            reason = N_("Sending is switched off. An administrator can switch it on under Email settings.")
            return WaysOut(code="email.switched_off", reason=reason, is_switched_off=True)
        return _default(session, organisation, installation)


def open_transport(engine: Engine, way_out: WayOut, *, installation: Installation) -> Transport:
    """The transport of a way out, with the settings that hold now. Raises ConnectionFault where it cannot open."""
    with Session(engine) as session:
        connection = find(session, way_out.connection_id, box=installation.box)
        if connection is None:
            raise ConnectionFault(Step.SETTINGS, code="settings.incomplete", seen="the connection was deleted")
        if installation.captures(connection.values):
            return CaptureTransport()
        password = _password(session, connection, installation)
    if connection.values.provider is not None:
        return open_provider(engine, connection, installation=installation)
    settings = installation.smtp_settings(connection.values, password)
    return SMTPTransport(settings, policy=installation.policy, ca_bundle=installation.ca_bundle)


def _default(session: Session, organisation: EmailSettings, installation: Installation) -> WaysOut:
    """The default connection, then the fallbacks in their order; those that lack a secret or consent are left out."""
    found = [
        one
        for one in all_connections(session, box=installation.box)
        if one.values.role in {Role.DEFAULT, Role.FALLBACK}
    ]
    if not any(one.values.role is Role.DEFAULT for one in found):
        reason = N_("No connection is the default. An administrator can choose one under Connections.")
        return WaysOut(code="connections.no_default", reason=reason)
    ways = tuple(
        _way_out(one, organisation, captures=installation.captures(one.values))
        for one in found
        if not one.lacks_secret and not one.lacks_consent
    )
    return WaysOut(ways) if ways else _needs_secret(found[0])


def _named(session: Session, connection_id: UUID, organisation: EmailSettings, installation: Installation) -> WaysOut:
    one = find(session, connection_id, box=installation.box)
    if one is None:
        reason = N_("The connection that this message was to take was deleted.")
        return WaysOut(code="connections.deleted", reason=reason)
    if one.lacks_secret or one.lacks_consent:
        return _needs_secret(one)
    return WaysOut((_way_out(one, organisation, captures=installation.captures(one.values)),))


def _needs_secret(one: StoredConnection) -> WaysOut:
    if not one.lacks_secret:
        reason = N_(
            "Nobody's consent for the connection %(name)s is in force. An administrator can connect it again under "
            "Connections.",
            name=one.values.name,
        )
        return WaysOut(code="connections.needs_consent", reason=reason)
    reason = N_(
        "The connection %(name)s lacks its password or secret. An administrator can type it again under Connections.",
        name=one.values.name,
    )
    return WaysOut(code="connections.needs_secret", reason=reason)


def _way_out(one: StoredConnection, organisation: EmailSettings, *, captures: bool) -> WayOut:
    sender, limits = sender_of(one.values, organisation), limits_of(one.values)
    mailbox = sender.mailbox or (CAPTURE_SENDER if captures else None)
    return WayOut(
        connection_id=one.id,
        version=one.version,
        name=one.values.name,
        from_mailbox=mailbox,
        envelope_from=sender.envelope_from or None,
        max_connections=limits.max_connections,
        messages_per_minute=limits.messages_per_minute,
        is_fallback=one.values.role is Role.FALLBACK,
    )


def _password(session: Session, connection: StoredConnection, installation: Installation) -> str:
    if needed_secret(connection.values) != PASSWORD:
        return ""
    opened = readable_secrets(session, connection.id, connection.values, box=installation.box)
    if PASSWORD not in opened:
        raise ConnectionFault(Step.SETTINGS, code="settings.needs_secret", seen="its password is missing")
    return opened[PASSWORD]
