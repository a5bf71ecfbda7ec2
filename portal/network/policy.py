"""What the operator allows: hosts and networks beyond the usual ones, ports, and the portal's own endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

from portal.network.host_names import NotAHostName, as_address, is_address_spelling, normalise_host
from portal.network.ranges import is_metadata_name, is_never_allowed, plain_network

AllowEntry: TypeAlias = IPv4Network | IPv6Network | str  # a network, or a host name in its normalised form

_HIGHEST_PORT = 65535
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@dataclass(frozen=True)
class PortSet:
    """Ports as inclusive ranges, in the order given. `5 in ports` asks, `str(ports)` prints what was typed."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and any(first <= port <= last for first, last in self.ranges)

    def __str__(self) -> str:
        return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)


@dataclass(frozen=True)
class MailPolicy:
    """Where connections may go.

    `allow` opens loopback only: private and public addresses are open without it, link-local, metadata,
    multicast and reserved ones are closed in spite of it. `own_endpoints` are hosts (names, addresses or the
    unspecified address for "every address of this machine") and ports that are refused in any case.
    """

    allow: tuple[AllowEntry, ...]
    ports: PortSet
    own_endpoints: frozenset[tuple[str, int]] = frozenset()
    closes_private: bool = False  # private networks are open only where `allow` names them

    def allows_loopback(self, host: str, address: IPv4Address | IPv6Address) -> bool:
        """Whether the operator named this loopback address, or the normalised host that led to it."""
        return any(
            entry == host if isinstance(entry, str) else address.version == entry.version and address in entry
            for entry in self.allow
        )

    def names(self, host: str) -> bool:
        """Whether the operator named this normalised host, or a network that its address lies in.

        `localhost` stands for the loopback addresses (RFC 6761 6.3); other names are not looked up.
        """
        spelled = as_address(host)
        addresses = _LOOPBACK if host == "localhost" else (spelled,) if spelled else ()
        return host in self.allow or any(self.allows_loopback(host, address) for address in addresses)


def parse_mail_allow(text: str) -> tuple[AllowEntry, ...]:
    """Networks, single addresses and host names, separated by commas; empty text allows nothing more.

    Raises ValueError with a sentence for the operator, also for networks that can never be allowed.
    """
    return tuple(_allow_entry(part) for part in _parts(text))


def parse_mail_ports(text: str) -> PortSet:
    """Ports and ranges of ports, separated by commas: `25,465,2500-2600`. Raises ValueError, also when empty."""
    ranges = tuple(_port_range(part) for part in _parts(text))
    if not ranges:
        raise ValueError("at least one port is needed, such as 25,465,587")
    return PortSet(ranges)


def _parts(text: str) -> list[str]:
    if not text.strip(" "):
        return []
    parts = [part.strip(" ") for part in text.split(",")]
    if not all(parts):
        raise ValueError(f"{text!r} has an empty entry; separate the entries by single commas")
    return parts


def _allow_entry(text: str) -> AllowEntry:
    network = _network(text)
    if network is not None:
        if is_never_allowed(network):
            raise ValueError(f"{text} can never be allowed: it is link-local, metadata, multicast or reserved")
        return network
    try:
        name = normalise_host(text)
    except NotAHostName:
        raise ValueError(f"{text!r} is neither a network, nor an address, nor a host name") from None
    if is_metadata_name(name):
        raise ValueError(f"{text} can never be allowed: it names a cloud's metadata service")
    if as_address(name) is not None or is_address_spelling(name):
        raise ValueError(f"{text!r} is an address in an unusual spelling: write it as 127.0.0.1 or ::1")
    return name


def _network(text: str) -> IPv4Network | IPv6Network | None:
    if "%" in text:
        return None
    try:
        return plain_network(ip_network(text))
    except ValueError:
        pass
    if "/" not in text:
        return None
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network such as 127.0.0.0/8 or ::1/128") from None
    raise ValueError(f"{text!r} is not a network: write {meant}")


def _port_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    low, high = _port(first, text), _port(last if dash else first, text)
    if low > high:
        raise ValueError(f"{text!r} runs backwards: write {high}-{low}")
    return low, high


def _port(digits: str, text: str) -> int:
    # int() alone would also read " 25", "+25", "2_5" and the digits of other scripts.
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= _HIGHEST_PORT:
        return int(digits)
    raise ValueError(f"{text!r} is not a port from 1 to 65535, nor a range such as 2500-2600")
