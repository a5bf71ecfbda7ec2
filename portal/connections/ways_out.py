"""What the worker asks: by which connections a route leaves, and the transport of one of them.

Where a server's or a rule's route leads to is for the room above to say: `asked_way` is handed down.

Called from the worker's threads: each call reads in a short transaction of its own and gives out plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.installation import Installation
from portal.connections.missing_consents import reason_of
from portal.connections.provider_limits import limits_of
from portal.connections.provider_transports import open_provider
from portal.connections.secrets import needed_secret, readable_secrets
from portal.connections.senders import sender_of
from portal.connections.stored import StoredConnection, all_connections, find
from portal.connections.unfilled import refuse_unfilled, unfilled
from portal.connections.values import PASSWORD, Role
from portal.email_settings import EmailSettings
from portal.mail.addresses import Mailbox
from portal.outbox.prepared import WayOut, WaysOut
from portal.transports import ConnectionFault, Step, Transport
from portal.transports.capture import CaptureTransport
from portal.transports.smtp import SMTPTransport
from portal.wording import N_, Text

CAPTURE_SENDER = Mailbox("portal@mail-portal.internal", "Mail Portal")  # of captured mail, while none is set
KEPT_HERE = uuid5(UUID("6f0f4c2e-6f3b-4d0e-9b43-0f2a5a1c9d11"), "kept here")  # stands for no connection: it captures
_CONNECTION_ROUTE = "connection:"
_DEFAULT_ROUTE = "default"


@dataclass(frozen=True, kw_only=True)
class AskedWay:
    """What a route of a server or rule asks for. None: as the organisation has it."""

    connection_id: UUID | None = None
    fallback_ids: tuple[UUID, ...] | None = None
    off: Text | None = None  # why nothing leaves by it now
    is_exempt: bool = False  # it leaves though the organisation's switch is off
    is_kept_here: bool = False  # it is captured, whatever the connections are


@dataclass(frozen=True)
class SenderRules:
    """What is known of From addresses on a connection: canonical addresses and @domains."""

    allowed: frozenset[str] = frozenset()
    rewritten: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FromServers:
    """What the room of the servers knows. Without it all mail takes the default route."""

    asked_way: Callable[[Session, str], AskedWay] = lambda _session, _route: AskedWay()
    sender_rules: Callable[[Session], Mapping[UUID, SenderRules]] = lambda _session: {}


_NO_SERVERS = FromServers()


def ways_out(engine: Engine, route: str, *, installation: Installation, above: FromServers = _NO_SERVERS) -> WaysOut:
    """The ways of a route in their order, or why there is none."""
    with Session(engine) as session:
        found = _ways_out(session, route, installation, above)
        return with_rules(found, above.sender_rules(session)) if found.ways else found


def _ways_out(session: Session, route: str, installation: Installation, above: FromServers) -> WaysOut:
    organisation = email_settings.load(session)
    if route.startswith(_CONNECTION_ROUTE):
        return _of_route(session, route, organisation, installation)
    asked = AskedWay() if route == _DEFAULT_ROUTE else above.asked_way(session, route)
    if not organisation.enabled and not asked.is_exempt:
        reason = N_("Sending is switched off. An administrator can switch it on under Email settings.")
        return WaysOut(code="email.switched_off", reason=reason, is_switched_off=True)
    if asked.off is not None:
        return WaysOut(code="server.switched_off", reason=asked.off, is_switched_off=True)
    return ways_asked_for(session, asked, installation=installation)


def ways_asked_for(session: Session, asked: AskedWay, *, installation: Installation) -> WaysOut:
    """The ways of a server's or rule's route while nothing is switched off."""
    organisation = email_settings.load(session)
    if asked.is_kept_here:
        return WaysOut((_kept_here(organisation),))
    if asked.connection_id is None and asked.fallback_ids is None:
        return _default(session, organisation, installation)
    return _chosen(session, asked, organisation, installation)


def with_rules(found: WaysOut, rules: Mapping[UUID, SenderRules]) -> WaysOut:
    """The same ways, each with what is known of From addresses there."""
    return replace(found, ways=tuple(_with_own(way, rules.get(way.connection_id)) for way in found.ways))


def first_way_out(session: Session, route: str, *, installation: Installation) -> WayOut | None:
    """The way that a route takes while nothing is paused or switched off; None where there is none."""
    ways = _of_route(session, route, email_settings.load(session), installation).ways
    return ways[0] if ways else None


def open_transport(engine: Engine, way_out: WayOut, *, installation: Installation) -> Transport:
    """The transport of a way out, with the settings that hold now. Raises ConnectionFault where it cannot open."""
    if way_out.connection_id == KEPT_HERE:
        return CaptureTransport()
    with Session(engine) as session:
        connection = find(session, way_out.connection_id, box=installation.box)
        if connection is None:
            raise ConnectionFault(Step.SETTINGS, code="settings.incomplete", seen="the connection was deleted")
        if installation.captures(connection.values):
            return CaptureTransport()
        refuse_unfilled(connection.values)
        password = _password(session, connection, installation)
    if connection.values.provider is not None:
        return open_provider(engine, connection, installation=installation)
    settings = installation.smtp_settings(connection.values, password)
    return SMTPTransport(settings, policy=installation.policy, ca_bundle=installation.ca_bundle)


def _of_route(session: Session, route: str, organisation: EmailSettings, installation: Installation) -> WaysOut:
    if route.startswith(_CONNECTION_ROUTE):
        return _named(session, UUID(route.removeprefix(_CONNECTION_ROUTE)), organisation, installation)
    return _default(session, organisation, installation)


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


def _chosen(session: Session, asked: AskedWay, organisation: EmailSettings, installation: Installation) -> WaysOut:
    """The connection that was chosen, else the default, then the fallbacks; those that cannot send are left out.

    A draft sends nothing, and what was deleted meanwhile is passed over.
    """
    found = [one for one in all_connections(session, box=installation.box) if one.values.role is not Role.DRAFT]
    by_id = {one.id: one for one in found}
    first = by_id.get(asked.connection_id) if asked.connection_id else None
    first = first or next((one for one in found if one.values.role is Role.DEFAULT), None)
    if asked.fallback_ids is None:
        later = [one for one in found if one.values.role is Role.FALLBACK]
    else:
        later = [by_id[one] for one in asked.fallback_ids if one in by_id]
    chain = ([first] if first else []) + [one for one in later if first is None or one.id != first.id]
    if not chain:
        reason = N_("No connection is the default. An administrator can choose one under Connections.")
        return WaysOut(code="connections.no_default", reason=reason)
    ways = tuple(
        replace(
            _way_out(one, organisation, captures=installation.captures(one.values)),
            is_fallback=one is not first,  # whatever each is for elsewhere
        )
        for one in chain
        if not one.lacks_secret and not one.lacks_consent
    )
    return WaysOut(ways) if ways else _needs_secret(chain[0])


def _with_own(way: WayOut, rules: SenderRules | None) -> WayOut:
    if rules is None:
        return way
    return replace(way, may_send_as=rules.allowed, rewrites=rules.rewritten, refuses=rules.refused)


def _kept_here(organisation: EmailSettings) -> WayOut:
    own = organisation.from_address
    return WayOut(
        connection_id=KEPT_HERE,
        version=1,
        name="kept here",
        from_mailbox=Mailbox(own, organisation.display_name) if own else CAPTURE_SENDER,
        envelope_from=None,
        max_connections=1,
        messages_per_minute=None,
    )


def _named(session: Session, connection_id: UUID, organisation: EmailSettings, installation: Installation) -> WaysOut:
    one = find(session, connection_id, box=installation.box)
    if one is None:
        reason = N_("The connection that this message was to take was deleted.")
        return WaysOut(code="connections.deleted", reason=reason)
    if one.lacks_secret or one.lacks_consent:
        return _needs_secret(one)
    return WaysOut((_way_out(one, organisation, captures=installation.captures(one.values)),))


def _needs_secret(one: StoredConnection) -> WaysOut:
    unset = next(iter(unfilled(one.values).values()), None) if one.lacks_secret else None
    if unset is not None or not one.lacks_secret:
        why = unset or reason_of(one)
        reason = N_("The connection %(name)s cannot send. %(why)s", name=one.values.name, why=why)
        return WaysOut(code="connections.needs_secret" if unset else "connections.needs_consent", reason=reason)
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
