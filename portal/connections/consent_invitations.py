"""Links by which the owner of a mailbox, who needs no account here, connects it: one for a connection, used once.

A link works only as long as the administrator who made it is one. The accounts are a room above, so that is asked of
`app.extensions["is_administrator"]`, which takes a session and an account's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal import audit
from portal.connections.models import Connection, ConsentInvitation
from portal.connections.registrations import what_registration_lacks
from portal.connections.stored import StoredConnection
from portal.connections.stored_values import values_of
from portal.connections.values import CONSENT_METHODS, Method
from portal.extensions import handed_down
from portal.mail.addresses import same_address_key
from portal.wording import N_, Text

LIFETIME = timedelta(days=7)
_TOKEN_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """A link that works now."""

    id: UUID
    connection_id: UUID
    method: Method
    mailbox: str
    inviter_id: UUID
    inviter: str
    created_at: datetime
    expires_at: datetime

    @property
    def invited(self) -> str:
        """Whoever uses it, as the audit log keeps it."""
        return f"owner of {self.mailbox}"


def why_nobody_can_be_invited(connection: StoredConnection) -> Text | None:
    """What a connection lacks before the owner of its mailbox can be asked; None where nothing is."""
    own = connection.values.provider
    if connection.values.method not in CONSENT_METHODS or own is None:
        return N_("Only for Google and Microsoft 365 somebody is asked for consent.")
    if not own.mailbox:
        return N_("Enter the mailbox and save the connection first: the link is for the owner of one mailbox.")
    if connection.lacks_secret or what_registration_lacks(connection.values):
        return N_("Enter the client ID and the client secret and save the connection first.")
    return None


def invite(
    session: Session, connection: StoredConnection, *, inviter_id: UUID, actor: audit.Actor, now: datetime
) -> str:
    """Make a link in place of the one before; its token, which is stored nowhere.

    For a connection of which `why_nobody_can_be_invited` has nothing to say.
    """
    token, mailbox = token_urlsafe(_TOKEN_BYTES), _mailbox_of(connection)
    session.execute(delete(ConsentInvitation).where(ConsentInvitation.connection_id == connection.id))
    session.add(
        ConsentInvitation(
            connection_id=connection.id,
            id=uuid4(),
            token_hash=_hash(token),
            method=connection.values.method,
            mailbox=mailbox,
            actor_id=inviter_id,
            actor_name=actor.name,
            created_at=now,
            expires_at=now + LIFETIME,
        )
    )
    session.flush()
    _record(session, "connection.consent_invited", connection, (None, mailbox), actor=actor, now=now)
    return token


def revoke(session: Session, connection: StoredConnection, *, actor: audit.Actor, now: datetime) -> bool:
    """Take the link back; False where there was none."""
    gone = delete(ConsentInvitation).where(ConsentInvitation.connection_id == connection.id)
    mailbox = session.scalar(gone.returning(ConsentInvitation.mailbox))
    if mailbox is None:
        return False
    _record(session, "connection.consent_invitation_revoked", connection, (mailbox, None), actor=actor, now=now)
    return True


def use(session: Session, invitation_id: UUID, *, now: datetime) -> bool:
    """Use the link up; False where it works no more: used, taken back or replaced meanwhile, too old, orphaned."""
    if find_invitation(session, invitation_id, now=now) is None:
        return False
    still_there = delete(ConsentInvitation).where(ConsentInvitation.id == invitation_id)
    return session.scalar(still_there.returning(ConsentInvitation.id)) is not None


def find_by_token(session: Session, token: str, *, now: datetime) -> Invitation | None:
    """What a link is for, if it works."""
    return _one(session, ConsentInvitation.token_hash == _hash(token), now)


def find_invitation(session: Session, invitation_id: UUID | None, *, now: datetime) -> Invitation | None:
    """The same for a link that was opened already."""
    return _one(session, ConsentInvitation.id == invitation_id, now)


def invitation_of(session: Session, connection_id: UUID, *, now: datetime) -> Invitation | None:
    """The link of a connection that works now."""
    return _one(session, ConsentInvitation.connection_id == connection_id, now)


def _one(session: Session, which: Any, now: datetime) -> Invitation | None:
    """Without its administrator, or for a mailbox that the connection sends as no longer, a link does not work."""
    both = select(ConsentInvitation, Connection).join(Connection, Connection.id == ConsentInvitation.connection_id)
    found = session.execute(both.where(which, ConsentInvitation.expires_at > now)).one_or_none()
    if found is None or not _is_administrator(session, found[0].actor_id):
        return None
    row, values = found[0], values_of(found[1])
    mailbox = values.provider.mailbox if values.provider else ""
    if values.method != row.method or same_address_key(mailbox) != same_address_key(row.mailbox):
        return None
    return Invitation(
        id=row.id,
        connection_id=row.connection_id,
        method=values.method,
        mailbox=row.mailbox,
        inviter_id=row.actor_id,
        inviter=row.actor_name,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _is_administrator(session: Session, user_id: UUID) -> bool:
    return cast("Callable[[Session, UUID], bool]", handed_down("is_administrator"))(session, user_id)


def _mailbox_of(connection: StoredConnection) -> str:
    return connection.values.provider.mailbox if connection.values.provider else ""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _record(
    session: Session,
    action: str,
    connection: StoredConnection,
    mailboxes: tuple[str | None, str | None],
    *,
    actor: audit.Actor,
    now: datetime,
) -> None:
    subject = f"connection {connection.values.name}"
    audit.record(session, action=action, actor=actor, subject=subject, changes={"invited": mailboxes}, now=now)
