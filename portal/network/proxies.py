"""HTTPS_PROXY and NO_PROXY: which proxy a host is reached through, if any."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.parse import unquote, urlsplit

from portal.network.host_names import NotAHostName, as_address, normalise_host
from portal.network.ranges import plain_form

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOT_A_PROXY = "it is not a web proxy's address such as http://proxy.contoso.test:3128"
_WITH_PORT = re.compile(r"(?:\[(?P<address>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class Proxy:
    """A web proxy that opens tunnels (CONNECT, RFC 9110 9.3.6)."""

    host: str
    port: int
    is_encrypted: bool  # the way to the proxy itself
    authorization: str = field(default="", repr=False)  # of Proxy-Authorization, "" for none

    def __str__(self) -> str:
        return f"the web proxy {self.host}:{self.port}"


def parse_proxy(text: str) -> Proxy | None:
    """`http://proxy:3128`, `https://user:password@proxy`, or `proxy:3128`; empty text is none.

    User name and password are percent-encoded where they hold `:`, `@` or `/`. Raises ValueError with a
    sentence for the operator that does not repeat the text, which may hold a password.
    """
    text = text.strip()
    if not text:
        return None
    if not text.isprintable() or " " in text:
        raise ValueError(_NOT_A_PROXY)
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = normalise_host(parts.hostname or ""), parts.port
    except ValueError:
        raise ValueError(_NOT_A_PROXY) from None
    if parts.scheme not in _DEFAULT_PORTS or parts.path not in {"", "/"} or parts.query or parts.fragment or port == 0:
        raise ValueError(_NOT_A_PROXY)
    return Proxy(host, port or _DEFAULT_PORTS[parts.scheme], parts.scheme == "https", _authorization(parts.netloc))


def _authorization(netloc: str) -> str:
    credentials, at, _ = netloc.rpartition("@")
    if not at:
        return ""
    name, _, password = credentials.partition(":")
    return "Basic " + b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")


def is_loopback(host: str) -> bool:
    """Whether a normalised host is this machine itself: a loopback address, or a name that stands for one only."""
    address = as_address(host)
    if address is not None:
        return plain_form(address).is_loopback
    return host == "localhost" or host.endswith(".localhost")  # RFC 6761 6.3


def goes_direct(host: str, port: int, no_proxy: str) -> bool:
    """Whether no proxy stands between the portal and a normalised host; loopback is never behind one.

    `no_proxy` holds, separated by commas or spaces: host names, which stand for the names below them too, with or
    without a dot in front; addresses and networks; `*` for every host. Each may end in a port.
    """
    return is_loopback(host) or any(_covers(entry, host, port) for entry in re.split(r"[\s,]+", no_proxy) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    parts = _WITH_PORT.fullmatch(entry)
    if parts is not None and parts["port"] and int(parts["port"]) != port:
        return False
    named = (parts["address"] or parts["name"]) if parts is not None else entry
    address = as_address(host)
    try:
        if address is not None:
            return address in ip_network(named, strict=False)
        name = normalise_host(named.removeprefix("*").removeprefix("."))
    except (ValueError, NotAHostName):
        return False
    return host == name or host.endswith(f".{name}")
