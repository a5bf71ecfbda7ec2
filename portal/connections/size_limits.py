"""Whether a message is too large for the way that it takes, told before it is queued and without asking anybody."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from portal.connections.installation import Installation
from portal.connections.permissions import may_upload
from portal.connections.stored import StoredConnection, find
from portal.connections.values import GOOGLE_METHODS, Method
from portal.connections.ways_out import first_way_out
from portal.mail.message import complete
from portal.outbox.prepared import PreparedMessage, WayOut
from portal.transports import OutgoingMessage, PermanentError, gmail, graph
from portal.transports.large_attachments import without_large_attachments
from portal.transports.recipient_headers import with_recipients_in_headers
from portal.wording import N_, Text

# Octets: no way out takes less, and what is added when a message leaves, its sender and hidden recipients, is less.
_NEVER_TOO_LARGE = graph.LARGEST_MESSAGE // 2


def why_too_large(
    session: Session, message: PreparedMessage, *, installation: Installation, first_way: WayOut | None = None
) -> Text | None:
    """Why the first connection of the message's route will refuse it, None where nothing is known against it.

    `first_way` is that connection where the route is a server's. SMTP servers say what they take when they are asked,
    so that theirs is not known here.
    """
    if len(message.content) <= _NEVER_TOO_LARGE:
        return None
    way = first_way or first_way_out(session, message.route, installation=installation)
    connection = find(session, way.connection_id, box=installation.box) if way else None
    if way is None or connection is None or installation.captures(connection.values):
        return None
    own = connection.values.provider
    if own is None or own.uses_smtp:
        return None
    try:
        content = _as_it_leaves(message, way)
    except PermanentError:  # that has nothing to do with its size, and is said when it is sent
        return None
    if connection.values.method in GOOGLE_METHODS:
        return _at_gmail(content, connection)
    return _at_graph(content, connection, message.created_at)


def _as_it_leaves(message: PreparedMessage, way: WayOut) -> bytes:
    """The bytes that the limit counts. Raises PermanentError."""
    author = message.from_mailbox or way.from_mailbox
    content = complete(message.content, from_mailbox=author) if author else message.content
    return with_recipients_in_headers(OutgoingMessage(mail_from="", rcpt_to=message.rcpt_to, content=content))


def _at_gmail(content: bytes, connection: StoredConnection) -> Text | None:
    if len(content) <= gmail.LARGEST_MESSAGE:
        return None
    return N_(
        "The message is too large: it has %(size)s bytes, and Gmail, by the connection %(name)s, takes %(limit)s. Send "
        "fewer or smaller attachments, or a link to them.",
        size=f"{len(content):,}",
        limit=f"{gmail.LARGEST_MESSAGE:,}",
        name=connection.values.name,
    )


def _at_graph(content: bytes, connection: StoredConnection, now: datetime) -> Text | None:
    if len(content) <= graph.LARGEST_MESSAGE:
        return None
    told = {
        "size": f"{len(content):,}",
        "limit": f"{graph.LARGEST_MESSAGE:,}",
        "name": connection.values.name,
    }
    if not _may_upload(connection, now):
        return N_(
            "The message is too large: it has %(size)s bytes, and Microsoft Graph, by the connection %(name)s, takes "
            "%(limit)s without the permission Mail.ReadWrite. An administrator can give the connection that "
            "permission, or let it send through SMTP, under Connections. Or send smaller attachments.",
            **told,
        )
    if without_large_attachments(content, largest=graph.LARGEST_MESSAGE) is None:
        return N_(
            "The message is too large: it has %(size)s bytes, and Microsoft Graph, by the connection %(name)s, takes "
            "%(limit)s besides attachments that can be uploaded. Those of this message cannot: it is signed or "
            "encrypted, or it is large without them. An administrator can let the connection send through SMTP, under "
            "Connections. Or send less at once.",
            **told,
        )
    return None


def _may_upload(connection: StoredConnection, now: datetime) -> bool:
    """Also where nobody knows: an application's permissions stand in its access token, and only while that is good."""
    grant, method = connection.grant, connection.values.method
    if method is not Method.MICROSOFT_APP:
        return grant is not None and may_upload(method, grant.scopes)
    if grant is None or grant.expires_at is None or grant.expires_at <= now:
        return True
    return grant.renewed_at < connection.changed_at or may_upload(method, grant.scopes)
