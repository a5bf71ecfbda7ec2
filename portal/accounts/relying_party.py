"""Who the portal is to a browser's passkeys (Web Authentication Level 3), and where it cannot be anybody.

The identifier is the host of the public URL: a passkey made for it answers at no other. Browsers take no address of
numbers for it (section 5.1.2), and offer passkeys only in a secure context: https, or this very machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from portal.network.host_names import as_address
from portal.wording import N_, Text

NAME = "Mail Portal"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class RelyingParty:
    id: str
    origin: str


def of_portal(public_url: str) -> RelyingParty | Text:
    """The portal as a relying party, or why there can be no passkeys at this public URL."""
    parts = urlsplit(public_url)
    host = (parts.hostname or "").lower()
    if as_address(host) is not None:
        return N_(
            "Passkeys need a host name, and this portal is reached by the number %(host)s. They can be used as soon as "
            "PORTAL_PUBLIC_URL names a host.",
            host=host,
        )
    if parts.scheme != "https" and not (host == "localhost" or host.endswith(".localhost")):
        return N_("Passkeys need https. They can be used as soon as PORTAL_PUBLIC_URL begins with https://.")
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return RelyingParty(host, f"{parts.scheme}://{host}{port}")
