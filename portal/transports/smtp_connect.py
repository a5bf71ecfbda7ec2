"""A TCP connection to one of the vetted addresses of a host."""

from __future__ import annotations

import errno
import socket
from time import monotonic

from portal.network.addresses import VettedAddress
from portal.transports.smtp_wire import WireFault

CONNECT_SECONDS = 10.0


def connect(addresses: tuple[VettedAddress, ...], *, deadline: float) -> tuple[socket.socket, VettedAddress]:
    """The first address that answers, tried in turn, all of them within 10 s and the deadline.

    Each address gets an equal share of the time that is left, so that a dead IPv6 route leaves time for IPv4.
    Raises WireFault with what most likely is the matter: refused, then silence, then no route.
    """
    ends_at = min(monotonic() + CONNECT_SECONDS, deadline)
    faults: list[WireFault] = []
    for position, address in enumerate(addresses):
        share = (ends_at - monotonic()) / (len(addresses) - position)
        if share <= 0:
            break
        try:
            return _connect_to(address, share), address
        except OSError as error:
            faults.append(_fault(error, address, share))
    if not faults:
        raise WireFault("network.too_slow", "no time was left to connect")
    raise min(faults, key=lambda fault: _LIKELINESS.index(fault.code))


_LIKELINESS = ("network.connection_refused", "network.connect_timeout", "network.unreachable")


def _connect_to(address: VettedAddress, seconds: float) -> socket.socket:
    connected = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connected.settimeout(seconds)
        connected.connect(address.sockaddr)
        # A command waits for its answer anyway; Nagle would only hold back the final dot.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connected.close()
        raise
    return connected


def _fault(error: OSError, address: VettedAddress, seconds: float) -> WireFault:
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return WireFault("network.connect_timeout", f"{address.text}: no answer within {seconds:.1f} s")
    if isinstance(error, ConnectionError):
        return WireFault("network.connection_refused", f"{address.text}: {error.strerror}")
    return WireFault("network.unreachable", f"{address.text}: {error.strerror or error}")
