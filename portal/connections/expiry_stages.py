"""Which secrets and certificates are so near their end that administrators are to be told, and were not yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session

from portal.connections.models import SecretExpiryWarning
from portal.connections.provider_values import Credential
from portal.connections.secret_expiry import Expiry, credential_of, expiry_of
from portal.connections.stored import StoredConnection, all_connections
from portal.connections.values import Role
from portal.secret_box import SecretBox


@dataclass(frozen=True, kw_only=True)
class ExpiryWarning:
    """One that is due. Drafts have none: nothing leaves by them."""

    connection: StoredConnection
    credential: Credential
    expiry: Expiry
    stage: int  # as in `Expiry.stage`


def due_expiry_warnings(session: Session, *, today: date, box: SecretBox) -> tuple[ExpiryWarning, ...]:
    """Of each secret the nearest stage, unless it was told, or one still nearer to the end."""
    found = (_of(one, today) for one in all_connections(session, box=box) if one.values.role is not Role.DRAFT)
    return tuple(warning for warning in found if warning and not _was_told(session, warning))


def note_expiry_warning(session: Session, warning: ExpiryWarning, *, now: datetime) -> None:
    """Administrators are told of it in this very transaction."""
    session.merge(SecretExpiryWarning(**_key(warning), days=warning.stage, told_at=now))


def _of(one: StoredConnection, today: date) -> ExpiryWarning | None:
    expiry = expiry_of(one.values, today=today)
    stage = expiry.stage if expiry else None
    if expiry is None or stage is None:
        return None
    return ExpiryWarning(connection=one, credential=credential_of(one.values), expiry=expiry, stage=stage)


def _was_told(session: Session, warning: ExpiryWarning) -> bool:
    told = session.get(SecretExpiryWarning, _key(warning))
    return told is not None and told.days <= warning.stage


def _key(warning: ExpiryWarning) -> dict[str, object]:
    """One secret: another one of the connection ends on another day."""
    return {
        "connection_id": warning.connection.id,
        "credential": str(warning.credential),
        "expires_on": warning.expiry.on.isoformat(),
    }
