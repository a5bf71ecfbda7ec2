"""Who mail by a connection is from: the connection's own sender, else the organisation's."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.models import Connection
from portal.connections.stored_values import values_of
from portal.connections.values import ConnectionValues, Role
from portal.email_settings import EmailSettings
from portal.mail.addresses import Mailbox


@dataclass(frozen=True)
class Sender:
    """`mailbox` is None where neither the connection nor the organisation has a From address."""

    mailbox: Mailbox | None
    reply_to: str  # "" for none
    envelope_from: str  # "" where there is no mailbox

    @property
    def from_address(self) -> str:
        """The address alone, "" where there is none."""
        return self.mailbox.address if self.mailbox else ""


def sender_of(values: ConnectionValues, organisation: EmailSettings) -> Sender:
    """The first that is set wins, field by field: the connection's, the organisation's, for an address the mailbox."""
    mailbox = values.provider.mailbox if values.provider else ""
    address = values.from_address or organisation.from_address or mailbox
    name = values.display_name or organisation.display_name
    return Sender(
        mailbox=Mailbox(address, name) if address else None,
        reply_to=values.reply_to or organisation.reply_to,
        envelope_from=values.envelope_from or address,
    )


def find_sender(session: Session, connection_id: UUID | None = None) -> Sender | None:
    """The sender of a connection, or of the default one; None where there is no such connection."""
    wanted = Connection.role == Role.DEFAULT if connection_id is None else Connection.id == connection_id
    row = session.scalars(select(Connection).where(wanted)).one_or_none()
    return sender_of(values_of(row), email_settings.load(session)) if row else None
