"""Which addresses are closed, in every form that reaches them.

Python's own `is_global`, `is_private` and `is_link_local` do not serve: they call the NAT64 form of a
link-local address global, and 100.64.0.0/10 neither private nor global.
Sources: the IANA special-purpose address registries (RFC 6890), RFC 6052 and RFC 8215 (NAT64), RFC 3056
(6to4), RFC 5214 (ISATAP), and the cloud providers' pages on their metadata services.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


class Kind(StrEnum):
    """What an address is, as far as the policy asks."""

    OPEN = "open"  # public or private
    LOOPBACK = "loopback"
    LINK_LOCAL = "link_local"
    METADATA = "metadata"
    UNSPECIFIED = "unspecified"
    MULTICAST = "multicast"
    BROADCAST = "broadcast"
    RESERVED = "reserved"
    DISGUISED = "disguised"  # an IPv6 form of an IPv4 address that is not open


# The first range that holds the address decides, so the narrower one stands first.
_IPV4 = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("127.0.0.0/8", Kind.LOOPBACK),
        ("169.254.169.254/32", Kind.METADATA),  # AWS, Google, Azure and most others
        ("100.100.100.200/32", Kind.METADATA),  # Alibaba
        ("168.63.129.16/32", Kind.METADATA),  # Azure's platform address
        ("192.0.0.192/32", Kind.METADATA),  # Oracle
        ("169.254.0.0/16", Kind.LINK_LOCAL),
        ("0.0.0.0/32", Kind.UNSPECIFIED),
        ("224.0.0.0/4", Kind.MULTICAST),
        ("255.255.255.255/32", Kind.BROADCAST),
        ("0.0.0.0/8", Kind.RESERVED),
        ("192.0.0.0/24", Kind.RESERVED),
        ("192.0.2.0/24", Kind.RESERVED),
        ("192.88.99.0/24", Kind.RESERVED),
        ("198.18.0.0/15", Kind.RESERVED),
        ("198.51.100.0/24", Kind.RESERVED),
        ("203.0.113.0/24", Kind.RESERVED),
        ("240.0.0.0/4", Kind.RESERVED),
    )
)
_IPV6 = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::1/128", Kind.LOOPBACK),
        ("::/128", Kind.UNSPECIFIED),
        ("fd00:ec2::/32", Kind.METADATA),  # AWS
        ("fd20:ce::254/128", Kind.METADATA),  # Google
        ("fd00:c1::a9fe:a9fe/128", Kind.METADATA),  # Oracle
        ("fe80::/10", Kind.LINK_LOCAL),
        ("ff00::/8", Kind.MULTICAST),
        ("::/8", Kind.RESERVED),
        ("100::/8", Kind.RESERVED),
        ("2001::/23", Kind.RESERVED),  # with Teredo, which hides IPv4 addresses too
        ("2001:db8::/32", Kind.RESERVED),
        ("3fff::/20", Kind.RESERVED),
        ("5f00::/16", Kind.RESERVED),
        ("fec0::/10", Kind.RESERVED),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_ISATAP_IDENTIFIERS = (0x0000_5EFE, 0x0200_5EFE)

_PRIVATE: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("fc00::/7"),
)

_METADATA_NAMES = frozenset(
    {
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
    }
)


def kind_of(address: IPv4Address | IPv6Address) -> Kind:
    """The kind of an address. A mapped address (`::ffff:a.b.c.d`) is the IPv4 address that it reaches."""
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _IPV4 if address in network), Kind.OPEN)
    if address.scope_id is not None:
        return Kind.LINK_LOCAL
    if address in _MAPPED:
        return kind_of(_low_half(address))
    hidden = _hidden_ipv4(address)
    if hidden is not None:
        return Kind.OPEN if kind_of(hidden) is Kind.OPEN else Kind.DISGUISED
    return next((kind for network, kind in _IPV6 if address in network), Kind.OPEN)


def is_private(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address, or the IPv4 address that it reaches, belongs to a private network.

    RFC 1918, RFC 6598 (carriers' own), RFC 4193.
    """
    plain = plain_form(address)
    if isinstance(plain, IPv6Address):
        plain = _hidden_ipv4(plain) or plain
    return any(plain.version == network.version and plain in network for network in _PRIVATE)


def plain_form(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address of a mapped one, any other address as it is."""
    return _low_half(address) if isinstance(address, IPv6Address) and address in _MAPPED else address


def is_metadata_name(name: str) -> bool:
    """Whether a normalised host name is a cloud's name for its metadata service."""
    return name in _METADATA_NAMES


def is_never_allowed(network: IPv4Network | IPv6Network) -> bool:
    """Whether a network lies in one closed range, so that naming it could have no effect."""
    if isinstance(network, IPv4Network):
        found = next((kind for closed, kind in _IPV4 if network.subnet_of(closed)), Kind.OPEN)
    else:
        found = next((kind for closed, kind in _IPV6 if network.subnet_of(closed)), Kind.OPEN)
    return found not in {Kind.OPEN, Kind.LOOPBACK}


def plain_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """The IPv4 network of a mapped one, any other network as it is."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network


def _hidden_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a gateway or tunnel would reach through this one; None where there is none."""
    number = int(address)
    if address in _NAT64 or address in _LOCAL_NAT64:
        # Under the local prefix the address may also sit higher up (RFC 6052 2.2): judged as 0.0.0.0, closed.
        is_higher_up = address in _LOCAL_NAT64 and number >> 32 & 0xFFFF_FFFF
        return IPv4Address(0) if is_higher_up else _low_half(address)
    if address in _SIX_TO_FOUR:
        return IPv4Address(number >> 80 & 0xFFFF_FFFF)
    if number >> 32 & 0xFFFF_FFFF in _ISATAP_IDENTIFIERS:
        return _low_half(address)
    return None


def _low_half(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)
