"""What the list of servers shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from portal import email_settings
from portal.outbox import history
from portal.servers.stored import StoredServer, all_servers
from portal.wording import N_, Text


@dataclass(frozen=True)
class ListedServer:
    """A server on a line of the list. `kind` is the colour of its pill."""

    server: StoredServer
    sent_today: int
    kind: str
    label: Text


def listed(session: Session, *, now: datetime) -> list[ListedServer]:
    """Every server with what it sent since midnight (UTC)."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    sent = history.sent_by_server(session, since=midnight)
    is_on = email_settings.load(session).enabled
    return [
        ListedServer(one, sent.get(one.id, 0), *state_of(one, organisation_is_on=is_on)) for one in all_servers(session)
    ]


def state_of(one: StoredServer, *, organisation_is_on: bool) -> tuple[str, Text]:
    """The colour and the words of a server's state."""
    if not one.values.is_enabled:
        return "off", N_("Switched off")
    if not organisation_is_on:
        return ("warn", N_("On: exempt")) if one.values.is_exempt else ("off", N_("Held: all sending is off"))
    return ("ok", N_("On")) if one.last_seen_at else ("busy", N_("On, not seen yet"))
