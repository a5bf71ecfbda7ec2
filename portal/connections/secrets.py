"""A connection's secrets at rest: sealed for their row and for the destination that they were given for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.connections.models import ConnectionSecret
from portal.connections.provider_values import Credential
from portal.connections.values import (
    CLIENT_SECRET,
    KEPT,
    PASSWORD,
    PRIVATE_KEY,
    SECRETS_OF,
    SERVICE_ACCOUNT_KEY,
    ConnectionValues,
    Method,
    SecretAction,
    SecretChange,
    SecretChanges,
)
from portal.secret_box import SecretBox, Unreadable
from portal.wording import N_, Text


@dataclass(frozen=True)
class SecretState:
    """What may be told of a stored secret."""

    stored_at: datetime
    is_readable: bool


def rows_of(session: Session, connection_id: UUID, method: Method) -> dict[str, ConnectionSecret]:
    """The stored secrets of a connection's method, by field."""
    mine = ConnectionSecret.connection_id == connection_id
    found = session.scalars(select(ConnectionSecret).where(mine, ConnectionSecret.method == method))
    return {row.field: row for row in found}


def open_secret(row: ConnectionSecret, destination: str, *, box: SecretBox) -> str | Unreadable:
    """The secret, if `destination` is still the one it was given for."""
    return box.open(row.sealed, context_of(row.id, destination))


def readable_secrets(
    session: Session, connection_id: UUID, values: ConnectionValues, *, box: SecretBox
) -> dict[str, str]:
    """The secrets of the method in use that may go where these values lead, by field."""
    opened = {
        field: open_secret(row, values.destination, box=box)
        for field, row in rows_of(session, connection_id, values.method).items()
    }
    return {field: secret for field, secret in opened.items() if not isinstance(secret, Unreadable)}


def states_by_method(
    session: Session, connection_id: UUID, values: ConnectionValues, *, box: SecretBox
) -> dict[Method, dict[str, SecretState]]:
    """What may be told of a connection's secrets, by method and field."""
    found: dict[Method, dict[str, SecretState]] = {}
    for row in session.scalars(select(ConnectionSecret).where(ConnectionSecret.connection_id == connection_id)):
        method = Method(row.method)
        opened = open_secret(row, replace(values, method=method).destination, box=box)
        found.setdefault(method, {})[row.field] = SecretState(row.stored_at, not isinstance(opened, Unreadable))
    return found


def store(
    session: Session,
    connection_id: UUID,
    before: ConnectionValues | None,
    after: ConnectionValues,
    changes: SecretChanges,
    *,
    box: SecretBox,
    now: datetime,
) -> list[str]:
    """Do what `changes` say; returns the fields whose secret changed.

    What is kept is dropped where its destination changed: a secret goes only where it was typed for.
    """
    is_moved = before is not None and replace(before, method=after.method).destination != after.destination
    changed = []
    for field in SECRETS_OF[after.method]:
        change = changes.get(field, KEPT)
        if change.action is SecretAction.REPLACE and change.value:
            _drop(session, connection_id, after.method, field)
            _seal(session, connection_id, after, field, change.value, box=box, now=now)
            changed.append(field)
        elif (change.action is SecretAction.CLEAR or is_moved) and _drop(session, connection_id, after.method, field):
            changed.append(field)
    session.flush()
    return changed


def drop_all(session: Session, connection_id: UUID) -> list[str]:
    """Delete every secret of a connection; returns the fields that had one."""
    mine = ConnectionSecret.connection_id == connection_id
    return list(session.scalars(delete(ConnectionSecret).where(mine).returning(ConnectionSecret.field)))


def needed_secret(values: ConnectionValues) -> str | None:
    """The field of the secret that the method cannot do without, None where it needs none."""
    match values.method:
        case Method.SMTP:
            return PASSWORD if values.smtp.needs_password else None
        case Method.MICROSOFT_APP:
            by_credential = {Credential.SECRET: CLIENT_SECRET, Credential.CERTIFICATE: PRIVATE_KEY}
            return by_credential.get(values.microsoft_app.credential)
        case Method.GOOGLE | Method.MICROSOFT:
            return CLIENT_SECRET
        case Method.GOOGLE_SERVICE_ACCOUNT:
            return SERVICE_ACCOUNT_KEY
    return None


def why_secret_is_needed(
    values: ConnectionValues,
    changes: SecretChanges,
    *,
    stored: Mapping[str, SecretState],
    stored_for: ConnectionValues | None,
) -> tuple[str, Text] | None:
    """The secret that has to be typed (again), and why; None where none has to be.

    `stored` are the secrets of the method that is wanted, and `stored_for` the values that they belong to. A secret
    goes only where it was typed for: else whoever may edit a host could have it sent to a server of their own.
    """
    field = needed_secret(values)
    if field is None:
        return None
    reason = _why(field, values, changes.get(field, KEPT), stored.get(field), stored_for)
    return (field, reason) if reason else None


_ENTER: Mapping[str, Text] = {
    PASSWORD: N_("Enter the password."),
    CLIENT_SECRET: N_("Enter the client secret."),
    PRIVATE_KEY: N_("Make a key pair here, or paste the certificate's private key."),
    SERVICE_ACCOUNT_KEY: N_("Paste the service account's key: the JSON file as Google gave it."),
}


def _why(
    field: str,
    values: ConnectionValues,
    change: SecretChange,
    stored: SecretState | None,
    stored_for: ConnectionValues | None,
) -> Text | None:
    if change.action is SecretAction.CLEAR:
        if field == PASSWORD:
            return N_("This way of signing in needs a password. To send without one, choose no authentication.")
        return _ENTER[field]
    if change.action is SecretAction.REPLACE and change.value:
        return None
    if change.action is SecretAction.REPLACE or stored is None or stored_for is None:
        return _ENTER[field]
    return _why_stored_one_does_not_serve(field, values, stored, replace(stored_for, method=values.method))


def _why_stored_one_does_not_serve(
    field: str, wanted: ConnectionValues, stored: SecretState, stored_for: ConnectionValues
) -> Text | None:
    if stored_for.destination != wanted.destination:
        if field == PASSWORD:
            return N_(
                "Enter the password again: host, port, security or certificate check changed, and a stored password "
                "is only ever sent where it was typed for."
            )
        return N_(
            "Enter it again: tenant, cloud or server changed, and a stored secret is only ever used for what it was "
            "typed for."
        )
    if not stored.is_readable:
        if field == PASSWORD:
            return N_("Enter the password again: the stored one cannot be opened with this portal's key.")
        return N_("Enter it again: the stored one cannot be opened with this portal's key.")
    return None


def _seal(
    session: Session,
    connection_id: UUID,
    values: ConnectionValues,
    field: str,
    secret: str,
    *,
    box: SecretBox,
    now: datetime,
) -> None:
    row_id = uuid4()
    session.add(
        ConnectionSecret(
            id=row_id,
            connection_id=connection_id,
            method=values.method,
            field=field,
            sealed=box.seal(secret, context_of(row_id, values.destination)),
            stored_at=now,
        )
    )


def _drop(session: Session, connection_id: UUID, method: Method, field: str) -> bool:
    mine = ConnectionSecret.connection_id == connection_id
    dropped = session.execute(
        delete(ConnectionSecret)
        .where(mine, ConnectionSecret.method == method, ConnectionSecret.field == field)
        .returning(ConnectionSecret.id)
    )
    return dropped.first() is not None


def context_of(row_id: UUID, destination: str) -> str:
    """What a secret is sealed for: its row, and where it goes."""
    return f"connection_secret.sealed:{row_id}:{destination}"
