"""Where a URL leads, and which URLs the portal calls at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from portal.network.host_names import NotAHostName, as_address, is_address_spelling, normalise_host
from portal.network.proxies import is_loopback

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNFIT_FOR_A_URL = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True)
class Origin:
    """A scheme, a normalised host and a port (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """For the Host header: without a port that goes without saying."""
        return self._bracketed if self.port == _DEFAULT_PORTS[self.scheme] else self.tunnel

    @property
    def tunnel(self) -> str:
        """For CONNECT: always with its port."""
        return f"{self._bracketed}:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def origin_of(url: str) -> Origin:
    """The origin of a URL that the portal calls: https, or http to this machine itself.

    Raises ValueError for every other URL, also for one with control characters, spaces or a user name in it.
    """
    if _UNFIT_FOR_A_URL.search(url):
        raise ValueError("the URL holds a space, a backslash or a control character")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("the URL does not begin with https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("the URL holds a user name")
    host, port = _host(parts.hostname), parts.port
    if port == 0:
        raise ValueError("the URL's port is 0")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{host} is not this machine itself, and http:// is not encrypted: use https://")
    return Origin(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def _host(text: str) -> str:
    try:
        host = normalise_host(text)
    except NotAHostName:
        raise ValueError("the URL's host is neither a host name nor an IP address") from None
    if as_address(host) is None and is_address_spelling(host):
        raise ValueError("the URL's host is an address in an unusual spelling")
    return host
