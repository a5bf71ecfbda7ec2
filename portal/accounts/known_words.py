"""What strangers know of the organisation: words that make no password better."""

from __future__ import annotations

from sqlalchemy.orm import Session

from portal import email_settings
from portal.network.host_names import as_address


def of_organisation(session: Session, public_host: str) -> tuple[str, ...]:
    """Its name as mail shows it, and the first label of the portal's own host, `contoso` of `contoso.test`."""
    label = "" if as_address(public_host) else public_host.partition(".")[0]
    return tuple(word for word in (email_settings.load(session).display_name, label) if word)
