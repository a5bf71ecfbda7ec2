"""Daily care for grants and secrets: grants in use are renewed before they die of idleness, expiry dates are read.

Google and Microsoft end a grant that was not used for months; a connection that stands by as a fallback would find
its own dead on the day that it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import audit
from portal.connections.grants import StoredToken
from portal.connections.installation import Installation
from portal.connections.oauth.microsoft_secrets import secret_expiry
from portal.connections.registrations import microsoft_endpoints
from portal.connections.saving import ChangedMeanwhile, change
from portal.connections.secrets import readable_secrets
from portal.connections.stored import all_connections, find
from portal.connections.values import CLIENT_SECRET, CONSENT_METHODS, NO_CHANGES, ConnectionValues, Method
from portal.transports import TransportError

IDLE_AFTER = timedelta(hours=24)
PORTAL = audit.Actor(None, "the portal", "")
_log = structlog.get_logger(__name__)


def renew_idle_grants(engine: Engine, now: datetime, *, installation: Installation) -> None:
    """Renew each consent that was not renewed for a day; one that turns out to be dead is noted as such.

    Each in its own lease. What fails is logged, and tried again with the next run.
    """
    for connection_id, name in _idle(engine, now, installation=installation):
        try:
            StoredToken(engine, connection_id, installation=installation)(True)
        except TransportError as error:
            _log.warning("a grant could not be renewed", connection=name, code=error.code, said=error.seen)
        else:
            _log.info("a grant was renewed", connection=name)


def _idle(engine: Engine, now: datetime, *, installation: Installation) -> list[tuple[UUID, str]]:
    """Of the method in use; those of other methods keep what they have. The longest idle first."""
    with Session(engine) as session:
        idle = [
            (one.grant.renewed_at, one.id, one.values.name)
            for one in all_connections(session, box=installation.box)
            if one.values.method in CONSENT_METHODS and one.grant is not None
            if one.grant.is_good and one.grant.renewed_at <= now - IDLE_AFTER
        ]
    return [(connection_id, name) for _, connection_id, name in sorted(idle)]


@dataclass(frozen=True)
class SecretExpiry:
    """When a connection's client secret ends, as the provider says, and the version of the connection then."""

    connection_id: UUID
    version: int
    expires_on: str  # RFC 3339 full-date


def read_secret_expiries(engine: Engine, *, installation: Installation) -> list[SecretExpiry]:
    """The dates that differ from what is stored, of applications that may read their own registration.

    Calls Microsoft: not to be called within a transaction. Where it cannot be known there is none.
    """
    with Session(engine) as session:
        box = installation.box
        asked = [
            (one.id, one.version, one.values, readable_secrets(session, one.id, one.values, box=box))
            for one in all_connections(session, box=box)
            if _may_know(one.values)
        ]
    found = []
    for connection_id, version, values, secrets in asked:
        expires_on = _expiry(engine, connection_id, values, secrets.get(CLIENT_SECRET, ""), installation)
        own = values.provider
        if expires_on and own is not None and expires_on != own.secret_expires_on:
            found.append(SecretExpiry(connection_id, version, expires_on))
    return found


def store_secret_expiry(session: Session, expiry: SecretExpiry, *, installation: Installation, now: datetime) -> None:
    """Write a date down, unless somebody changed the connection meanwhile."""
    one = find(session, expiry.connection_id, box=installation.box)
    own = one.values.typed_provider if one else None
    if one is None or own is None:
        return
    values = one.values.with_provider(replace(own, secret_expires_on=expiry.expires_on))
    try:
        change(
            session,
            one.id,
            values,
            NO_CHANGES,
            box=installation.box,
            actor=PORTAL,
            now=now,
            expected_version=expiry.version,
        )
    except ChangedMeanwhile:
        _log.info("an expiry date was not stored: the connection changed meanwhile", connection=one.values.name)


def _may_know(values: ConnectionValues) -> bool:
    """Tokens for SMTP open nothing else."""
    own = values.provider
    return values.method is Method.MICROSOFT_APP and own is not None and not own.uses_smtp


def _expiry(
    engine: Engine, connection_id: UUID, values: ConnectionValues, client_secret: str, installation: Installation
) -> str:
    own = values.provider
    if own is None or not client_secret:
        return ""
    try:
        token = StoredToken(engine, connection_id, installation=installation)(False)
        graph_url = microsoft_endpoints(own, installation).graph_url
        ends = secret_expiry(installation.https, graph_url, token, own.client_id, client_secret=client_secret)
    except TransportError as error:
        _log.info("the expiry date of a secret could not be read", connection=values.name, code=error.code)
        return ""
    return ends.isoformat() if ends else ""
