"""A connection's secrets at rest: sealed for their row and for the destination that they were given for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from portal.connections.models import ConnectionSecret
from portal.connections.values import (
    PASSWORD,
    ConnectionValues,
    Method,
    SecretAction,
    SecretChange,
    SMTPValues,
)
from portal.secret_box import SecretBox, Unreadable
from portal.wording import N_, Text


def find_password(session: Session, connection_id: UUID) -> ConnectionSecret | None:
    """The row of a connection's SMTP password, None where none is stored."""
    return session.scalars(_password_of(connection_id)).one_or_none()


def open_password(row: ConnectionSecret, smtp: SMTPValues, *, box: SecretBox) -> str | Unreadable:
    """The password, if `smtp` still leads where it was given for."""
    return box.open(row.sealed, _context(row.id, smtp.destination))


def store_password(
    session: Session, connection_id: UUID, password: str, smtp: SMTPValues, *, box: SecretBox, now: datetime
) -> None:
    """Seal the password for this connection and destination, in place of the one before."""
    drop_password(session, connection_id)
    row_id = uuid4()
    session.add(
        ConnectionSecret(
            id=row_id,
            connection_id=connection_id,
            method=Method.SMTP,
            field=PASSWORD,
            sealed=box.seal(password, _context(row_id, smtp.destination)),
            stored_at=now,
        )
    )
    session.flush()


def drop_password(session: Session, connection_id: UUID) -> bool:
    """Delete the stored password. Says whether there was one."""
    mine = ConnectionSecret.connection_id == connection_id
    dropped = session.execute(
        delete(ConnectionSecret)
        .where(mine, ConnectionSecret.method == Method.SMTP, ConnectionSecret.field == PASSWORD)
        .returning(ConnectionSecret.id)
    )
    return dropped.first() is not None


def why_password_is_needed(
    values: ConnectionValues, change: SecretChange, *, stored_for: SMTPValues | None, is_readable: bool
) -> Text | None:
    """Why the password has to be typed (again), None where it has not.

    `stored_for` are the settings that a stored password belongs to, None where none is stored. A password goes
    only where it was typed for: else whoever may edit a host could have it sent to a server of their own.
    """
    if values.method is not Method.SMTP or not values.smtp.needs_password:
        return None
    if change.action is SecretAction.CLEAR:
        return N_("This way of signing in needs a password. To send without one, choose no authentication.")
    if change.action is SecretAction.REPLACE and change.value:
        return None
    if change.action is SecretAction.REPLACE or stored_for is None:
        return N_("Enter the password.")
    return _why_stored_one_does_not_serve(values.smtp, stored_for, is_readable=is_readable)


def _why_stored_one_does_not_serve(wanted: SMTPValues, stored_for: SMTPValues, *, is_readable: bool) -> Text | None:
    if stored_for.destination != wanted.destination:
        return N_(
            "Enter the password again: host, port, security or certificate check changed, and a stored password "
            "is only ever sent where it was typed for."
        )
    if not is_readable:
        return N_("Enter the password again: the stored one cannot be opened with this portal's key.")
    return None


def _password_of(connection_id: UUID) -> Select[ConnectionSecret]:
    return select(ConnectionSecret).where(
        ConnectionSecret.connection_id == connection_id,
        ConnectionSecret.method == Method.SMTP,
        ConnectionSecret.field == PASSWORD,
    )


def _context(row_id: UUID, destination: str) -> str:
    return f"connection_secret.sealed:{row_id}:{destination}"
