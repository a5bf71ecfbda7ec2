"""Who mail by a connection is from: the connection's own sender, else the organisation's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.models import Connection
from portal.connections.stored_values import values_of
from portal.connections.values import ConnectionValues, Role
from portal.email_settings import EmailSettings
from portal.mail.addresses import AddressError, Mailbox, same_address_key
from portal.placeholders import PORTAL_AS_SERVER, filled_in_or_empty

_SENDER = ("from_address", "display_name", "reply_to", "envelope_from")


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
    """The first that is set wins, field by field: the connection's, the organisation's, for an address the mailbox.

    Placeholders are filled in; a value that is none any more, since the environment changed, counts as not set.
    """
    own = sender_texts(values)
    mailbox = values.provider.mailbox if values.provider else ""
    address = own["from_address"] or organisation.from_address or mailbox
    name = own["display_name"] or organisation.display_name
    return Sender(
        mailbox=_mailbox(address, name),
        reply_to=own["reply_to"] or organisation.reply_to,
        envelope_from=own["envelope_from"] or address,
    )


def sender_texts(values: ConnectionValues, server: Mapping[str, str] = PORTAL_AS_SERVER) -> dict[str, str]:
    """The connection's own sender with its placeholders filled in, by field; what is no address then is not set."""
    found = {name: filled_in_or_empty(getattr(values, name), server) for name in _SENDER}
    return {name: text if name == "display_name" else address_or_empty(text) for name, text in found.items()}


def address_or_empty(text: str) -> str:
    """The text where it is an address: what an environment says was checked when it was another."""
    return text if same_address_key(text) else ""


def _mailbox(address: str, name: str) -> Mailbox | None:
    try:
        return Mailbox(address, name) if address else None
    except AddressError:
        return None


def as_sent(values: ConnectionValues, organisation: EmailSettings) -> ConnectionValues:
    """The values with the From address that their mail bears, be it inherited: what a provider is asked hangs on it."""
    return replace(values, from_address=sender_of(values, organisation).from_address)


def find_sender(session: Session, connection_id: UUID | None = None) -> Sender | None:
    """The sender of a connection, or of the default one; None where there is no such connection."""
    values = find_settings(session, connection_id)
    return sender_of(values, email_settings.load(session)) if values else None


def find_settings(session: Session, connection_id: UUID | None = None) -> ConnectionValues | None:
    """What people set of a connection, or of the default one; None where there is no such connection."""
    wanted = Connection.role == Role.DEFAULT if connection_id is None else Connection.id == connection_id
    row = session.scalars(select(Connection).where(wanted)).one_or_none()
    return values_of(row) if row else None
