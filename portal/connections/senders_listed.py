"""The senders that a provider itself lists for the account of a connection, read after a check that passed."""

from __future__ import annotations

import structlog

from portal.connections.installation import Installation
from portal.connections.registrations import google_endpoints
from portal.connections.tokens import ProviderToken
from portal.connections.values import GOOGLE_METHODS, ConnectionValues
from portal.transports import TransportError
from portal.transports.gmail_senders import ListedSender, may_read_senders, read_senders

_log = structlog.get_logger(__name__)


def senders_listed(
    values: ConnectionValues, token: ProviderToken, *, installation: Installation
) -> tuple[ListedSender, ...] | None:
    """What Gmail lists, where the token that sends may read it; None where it does not say, which is no fault.

    Microsoft has no such list: Graph tells of the mailbox alone, which the check's own step looks up.
    """
    if values.method not in GOOGLE_METHODS or token.grant is None or not may_read_senders(token.grant.scopes):
        return None
    try:
        return read_senders(installation.https, api_url=google_endpoints(installation).api_url, access_token=token)
    except TransportError as error:
        _log.info("Gmail did not list an account's senders", connection=values.name, code=error.code)
        return None
