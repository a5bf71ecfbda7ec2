"""Why a host was not turned into addresses: each error carries a stable code and a sentence for people."""

from __future__ import annotations

from portal.wording import Text


class HostRefused(Exception):
    """No vetted address. `code` is the diagnosis' stable name, `reason` a sentence for people."""

    code: str

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


class PortRefused(HostRefused):
    """The port is not among those that connections may use."""

    code = "network.port_refused"


class AddressRefused(HostRefused):
    """One of the host's addresses is closed to the portal."""

    code = "network.address_refused"


class NameNotFound(HostRefused):
    """There is no such name, or it has no address, or the text is no host name at all."""

    code = "network.name_not_found"


class ResolveFailed(HostRefused):
    """The name may well exist: the resolver failed, or did not answer in time."""

    code = "network.resolve_failed"
