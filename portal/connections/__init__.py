"""The organisation's ways out: their settings, secrets, checks and states, and what `capture` kept.

Offers to the worker `ways_out`, `open_transport` and the daily care of grants and secrets; to the command line
`probe_named` and `find_named`; to other rooms `mail_state`, `find_sender`, `default_connection`, `mail_status` and
`banners`; to the composition root `Installation`, `CheckRunner`, `ensure_builtin`, `purge_candidates`,
`purge_consents` and the section `connections` of the settings file. Saving a connection never sends, and no secret
ever leaves but to the server it was typed for.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from portal.connections.announcing import banners, default_connection, mail_status
from portal.connections.candidates import purge_candidates
from portal.connections.check_runner import CheckRunner
from portal.connections.consent_flows import purge_consents
from portal.connections.grant_renewal import read_secret_expiries, renew_idle_grants, store_secret_expiry
from portal.connections.installation import Installation
from portal.connections.probing import NoSuchConnection, probe_named
from portal.connections.saving import ensure_builtin
from portal.connections.senders import Sender, find_sender
from portal.connections.settings_section import make_section
from portal.connections.states import MailState, mail_state_of
from portal.connections.stored import StoredConnection, all_connections, find, find_default, find_named
from portal.connections.ways_out import open_transport, ways_out

__all__ = [
    "CheckRunner",
    "Installation",
    "MailState",
    "NoSuchConnection",
    "Sender",
    "StoredConnection",
    "all_connections",
    "banners",
    "default_connection",
    "ensure_builtin",
    "find",
    "find_default",
    "find_named",
    "find_sender",
    "mail_state",
    "mail_status",
    "make_section",
    "open_transport",
    "probe_named",
    "purge_candidates",
    "purge_consents",
    "read_secret_expiries",
    "renew_idle_grants",
    "store_secret_expiry",
    "ways_out",
]


def mail_state(session: Session) -> MailState:
    """What becomes of mail by the default route of the application at work."""
    return mail_state_of(session, installation=Installation.current())
