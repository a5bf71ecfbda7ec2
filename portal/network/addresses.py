"""A host and port turned into vetted socket addresses, within a deadline.

One refused answer refuses the host, and what was vetted is what is connected to: a name that resolves
differently a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from portal.network.errors import AddressRefused, HostRefused, NameNotFound, PortRefused, ResolveFailed
from portal.network.host_names import NotAHostName, as_address, normalise_host
from portal.network.lookup import Address, Resolver, look_up
from portal.network.policy import MailPolicy
from portal.network.ranges import Kind, is_metadata_name, is_private, kind_of
from portal.wording import N_, Text

__all__ = [
    "AddressRefused",
    "HostRefused",
    "NameNotFound",
    "PortRefused",
    "ResolveFailed",
    "VettedAddress",
    "resolve",
]


@dataclass(frozen=True)
class VettedAddress:
    """What to hand to `socket.socket` and `connect`; `text` is the address alone, for people."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]
    text: str


def resolve(
    host: str, port: int, policy: MailPolicy, *, deadline: float, resolver: Resolver = socket.getaddrinfo
) -> tuple[VettedAddress, ...]:
    """Every address of the host, in the resolver's order, when the policy allows all of them; never empty.

    `deadline` is a value of `time.monotonic()`. Raises PortRefused, AddressRefused, NameNotFound or
    ResolveFailed, all of them HostRefused.
    """
    if port not in policy.ports:
        raise PortRefused(
            N_(
                "Port %(port)s is not among the ports that this portal may use: %(ports)s.",
                port=port,
                ports=str(policy.ports),
            )
        )
    name = _checked_name(host)
    addresses = look_up(name, deadline=deadline, resolver=resolver)
    for address in addresses:
        _refuse_closed(name, address, policy)
    if _is_own_endpoint(name, port, addresses, policy, deadline=deadline, resolver=resolver):
        raise AddressRefused(
            N_("%(host)s, port %(port)s, is the portal itself or its own database.", host=name, port=port)
        )
    return tuple(_vetted(address, port) for address in addresses)


def _checked_name(host: str) -> str:
    if "%" in host:
        raise AddressRefused(
            N_("%(host)s names a network zone (the part after %%): only link-local addresses have one.", host=host)
        )
    try:
        name = normalise_host(host)
    except NotAHostName:
        raise NameNotFound(N_("“%(host)s” is neither a host name nor an IP address.", host=host[:253])) from None
    if is_metadata_name(name):
        raise AddressRefused(_closed(Kind.METADATA, name))
    return name


_CLOSED: Mapping[Kind, Text] = {
    Kind.LOOPBACK: N_("%(target)s is the portal's own machine, and PORTAL_MAIL_ALLOW does not name it."),
    Kind.LINK_LOCAL: N_("%(target)s is a link-local address, which no mail server is reached by."),
    Kind.METADATA: N_("%(target)s is a cloud's metadata service, not a mail server."),
    Kind.UNSPECIFIED: N_("%(target)s is the unspecified address, which stands for no machine."),
    Kind.MULTICAST: N_("%(target)s is a multicast address, which stands for no single machine."),
    Kind.BROADCAST: N_("%(target)s is the broadcast address, which stands for no single machine."),
    Kind.RESERVED: N_("%(target)s is a reserved address, which is not in use on any network."),
    Kind.DISGUISED: N_("%(target)s is an IPv6 form of an IPv4 address that is closed to the portal."),
}


_PRIVATE = N_("%(target)s is in a private network, and PORTAL_MAIL_ALLOW does not name it.")


def _closed(kind: Kind, target: str) -> Text:
    return Text(_CLOSED[kind].template, {"target": target})


def _refuse_closed(name: str, address: Address, policy: MailPolicy) -> None:
    kind = kind_of(address)
    if policy.closes_private and is_private(address) and not policy.allows_loopback(name, address):
        raise AddressRefused(
            Text(_PRIVATE.template, {"target": name if name == str(address) else f"{name} ({address})"})
        )
    if kind is Kind.OPEN or (kind is Kind.LOOPBACK and policy.allows_loopback(name, address)):
        return
    raise AddressRefused(_closed(kind, name if name == str(address) else f"{name} ({address})"))


def _is_own_endpoint(
    name: str,
    port: int,
    addresses: tuple[Address, ...],
    policy: MailPolicy,
    *,
    deadline: float,
    resolver: Resolver,
) -> bool:
    own_hosts = [own_host for own_host, own_port in policy.own_endpoints if own_port == port]
    return any(_is_own(name, addresses, own, deadline=deadline, resolver=resolver) for own in own_hosts)


def _is_own(name: str, addresses: tuple[Address, ...], own_host: str, *, deadline: float, resolver: Resolver) -> bool:
    try:
        own_name = normalise_host(own_host)
        literal = as_address(own_name)
        if literal is not None and literal.is_unspecified:
            return any(_is_on_this_machine(address) for address in addresses)
        return name == own_name or not set(look_up(own_name, deadline=deadline, resolver=resolver)).isdisjoint(
            addresses
        )
    except (NotAHostName, HostRefused):
        return False


def _is_on_this_machine(address: Address) -> bool:
    # Only an address of this machine can be bound; nothing is sent, and the port is any free one.
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _vetted(address: Address, port: int) -> VettedAddress:
    text = str(address)
    if address.version == 4:
        return VettedAddress(socket.AF_INET, (text, port), text)
    return VettedAddress(socket.AF_INET6, (text, port, 0, 0), text)
