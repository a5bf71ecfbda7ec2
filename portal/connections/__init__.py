"""The organisation's ways out: their settings, secrets, checks and states, and what `capture` kept.

Offers to the worker `ways_out`, `open_transport`, the daily care of grants and secrets, and the ends of consents
that are to be told (`untold_ends`, `take_end`, `is_told`), and those of secrets (`due_expiry_warnings`); to the
command line `probe_named` and `find_named`; to other rooms `mail_state`, `why_too_large`, `find_sender`,
`default_connection`, `mail_status` and `banners`; to the composition root `Installation`, `CheckRunner`,
`ensure_builtin`, `purge_candidates`, `purge_consents` and the section `connections` of the settings file.
Saving a connection never sends, and no secret ever leaves but to the server it was typed for.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from portal.connections.announcing import banners, default_connection, mail_status
from portal.connections.candidates import purge_candidates
from portal.connections.check_runner import CheckRunner
from portal.connections.consent_flows import purge_consents
from portal.connections.expiry_stages import ExpiryWarning, due_expiry_warnings, note_expiry_warning
from portal.connections.grant_deaths import is_told, take_end, untold_ends
from portal.connections.grant_renewal import read_secret_expiries, renew_idle_grants, store_secret_expiry
from portal.connections.installation import Installation
from portal.connections.probing import NoSuchConnection, probe_named
from portal.connections.saving import ensure_builtin
from portal.connections.senders import Sender, find_sender, find_settings, sender_of, sender_texts
from portal.connections.senders_seen import senders_seen
from portal.connections.settings_section import make_section
from portal.connections.size_limits import why_too_large as _why_too_large
from portal.connections.states import MailState, mail_state_of
from portal.connections.stored import (
    StoredConnection,
    all_connections,
    connection_names,
    find,
    find_default,
    find_named,
)
from portal.connections.ways_out import (
    AskedWay,
    FromServers,
    SenderRules,
    open_transport,
    ways_asked_for,
    ways_out,
    with_rules,
)
from portal.outbox.prepared import PreparedMessage, WayOut
from portal.wording import Text

__all__ = [
    "AskedWay",
    "CheckRunner",
    "ExpiryWarning",
    "FromServers",
    "Installation",
    "MailState",
    "NoSuchConnection",
    "Sender",
    "SenderRules",
    "StoredConnection",
    "all_connections",
    "banners",
    "connection_names",
    "default_connection",
    "due_expiry_warnings",
    "ensure_builtin",
    "find",
    "find_default",
    "find_named",
    "find_sender",
    "find_settings",
    "is_told",
    "mail_state",
    "mail_status",
    "make_section",
    "note_expiry_warning",
    "open_transport",
    "probe_named",
    "purge_candidates",
    "purge_consents",
    "read_secret_expiries",
    "renew_idle_grants",
    "sender_of",
    "sender_texts",
    "senders_seen",
    "store_secret_expiry",
    "take_end",
    "untold_ends",
    "ways_asked_for",
    "ways_out",
    "why_too_large",
    "with_rules",
]


def mail_state(session: Session) -> MailState:
    """What becomes of mail by the default route of the application at work."""
    return mail_state_of(session, installation=Installation.current())


def why_too_large(session: Session, message: PreparedMessage, *, first_way: WayOut | None = None) -> Text | None:
    """Why a message is too large for the way that it takes, None where nothing is known against it.

    `first_way` is the way of a route that only the room of the servers knows.
    """
    return _why_too_large(session, message, installation=Installation.current(), first_way=first_way)
