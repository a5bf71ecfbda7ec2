"""What hangs on a connection in this room: asked before the connection is deleted."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from portal.servers.routing import all_rules, because_of
from portal.servers.stored import all_servers
from portal.wording import N_, Text


def uses_of(session: Session, connection_id: UUID) -> tuple[Text, ...]:
    """What becomes of each server and routing rule that names the connection, once that is gone."""
    servers = [one.values for one in all_servers(session)]
    return (
        *(
            N_("The server %(name)s sends by it, and inherits the default connection then.", name=one.name)
            for one in servers
            if one.connection_id == connection_id
        ),
        *(
            N_("The server %(name)s has it as a fallback, and does without it then.", name=one.name)
            for one in servers
            if connection_id in (one.fallback_ids or ())
        ),
        *(
            N_("This routing rule is deleted, too: %(rule)s", rule=because_of(session, one))
            for one in all_rules(session)
            if one.connection_id == connection_id
        ),
    )
