"""Connections to HTTPS servers: looked up, reached, tunnelled through the proxy, encrypted, by one deadline."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass, replace
from ipaddress import ip_address
from time import monotonic
from typing import TypeAlias, cast

from urllib3.util.ssltransport import SSLTransport

from portal.network.addresses import VettedAddress, resolve
from portal.network.errors import HostRefused
from portal.network.fault_codes import says_unreachable
from portal.network.host_names import as_address
from portal.network.https_errors import HTTPSError, broken_off, handshake_failed, reason_of
from portal.network.https_origins import Origin
from portal.network.lookup import Resolver, look_up
from portal.network.policy import MailPolicy, PortSet
from portal.network.proxies import Proxy, goes_direct
from portal.network.ranges import is_metadata_name
from portal.network.timed_sockets import TimedSocket, TimedTLSSocket

_CONNECT_SECONDS = 10.0
_EVERY_PORT = PortSet(((1, 65535),))
_LIKELINESS = ("network.connection_refused", "network.connect_timeout", "network.unreachable")

Wire: TypeAlias = TimedSocket | TimedTLSSocket  # next to the network, so it keeps to the deadline
Spoken: TypeAlias = TimedSocket | TimedTLSSocket | SSLTransport  # what requests are written to


@dataclass
class Connection:
    """An open connection, used by one thread at a time."""

    origin: Origin
    wire: Wire
    talk: http.client.HTTPConnection
    idle_since: float | None = None  # a value of time.monotonic(); None while it has never been idle

    @property
    def is_reused(self) -> bool:
        return self.idle_since is not None

    def close(self) -> None:
        self.talk.close()
        self.wire.close()


@dataclass(frozen=True)
class Connector:
    """How this installation reaches servers. Without a policy every address may be connected to."""

    trust: ssl.SSLContext
    proxy: Proxy | None
    no_proxy: str
    policy: MailPolicy | None
    resolver: Resolver

    def open(self, origin: Origin, *, deadline: float) -> Connection:
        """A connection of its own to the origin, before `deadline`, a value of `time.monotonic()`.

        Raises HTTPSError; nothing was handed over then.
        """
        proxy = None if goes_direct(origin.host, origin.port, self.no_proxy) else self.proxy
        try:
            if proxy is None:
                wire, spoken = self._open_directly(origin, deadline)
            else:
                wire, spoken = self._open_through(proxy, origin, deadline)
        except HostRefused as error:
            raise HTTPSError(error.code, str(error.reason), was_handed_over=False) from error
        talk = http.client.HTTPConnection(origin.host, origin.port)
        talk.auto_open = 0  # a lost connection is not opened again behind our back
        talk.sock = spoken
        return Connection(origin, wire, talk)

    def _open_directly(self, origin: Origin, deadline: float) -> tuple[Wire, Spoken]:
        addresses = self._addresses(origin.host, origin.port, self.policy, deadline)
        if origin.scheme == "http" and not all(ip_address(address.text).is_loopback for address in addresses):
            seen = f"{origin.host} leads away from this machine, and http:// is not encrypted"
            raise HTTPSError("network.address_refused", seen, was_handed_over=False)
        plain = _reach(addresses, origin.host, deadline)
        if origin.scheme == "http":
            return plain, plain
        encrypted = _encrypt(plain, self.trust, origin.host, peer=origin.host)
        return encrypted, encrypted

    def _open_through(self, proxy: Proxy, origin: Origin, deadline: float) -> tuple[Wire, Spoken]:
        if self.policy is not None and (as_address(origin.host) is not None or is_metadata_name(origin.host)):
            # A name is looked up by the proxy; an address, or a name that is closed as such, is judged here.
            self._addresses(origin.host, origin.port, self.policy, deadline)
        plain = _reach(self._addresses(proxy.host, proxy.port, None, deadline), str(proxy), deadline)
        if not proxy.is_encrypted:
            _tunnel(plain, proxy, origin)
            encrypted = _encrypt(plain, self.trust, origin.host, peer=origin.host)
            return encrypted, encrypted
        outer = _encrypt(plain, self.trust, proxy.host, peer=str(proxy))
        _tunnel(outer, proxy, origin)
        return outer, _encrypt_inside(outer, self.trust, origin.host)

    def _addresses(self, host: str, port: int, policy: MailPolicy | None, deadline: float) -> tuple[VettedAddress, ...]:
        if policy is not None:
            # The ports of a policy are those for mail.
            open_ports = replace(policy, ports=_EVERY_PORT)
            return resolve(host, port, open_ports, deadline=deadline, resolver=self.resolver)
        return tuple(
            VettedAddress(socket.AF_INET, (str(address), port), str(address))
            if address.version == 4
            else VettedAddress(socket.AF_INET6, (str(address), port, 0, 0), str(address))
            for address in look_up(host, deadline=deadline, resolver=self.resolver)
        )


def _reach(addresses: tuple[VettedAddress, ...], peer: str, deadline: float) -> TimedSocket:
    """The first address that answers, within 10 s and the deadline; each gets an equal share of the time left."""
    ends_at = min(monotonic() + _CONNECT_SECONDS, deadline)
    faults: list[HTTPSError] = []
    for position, address in enumerate(addresses):
        share = (ends_at - monotonic()) / (len(addresses) - position)
        if share <= 0:
            break
        try:
            return _connect_to(address, share, deadline)
        except OSError as error:
            named = peer if address.text in peer else f"{peer} ({address.text})"
            fault = _unreached(error, named, share)
            fault.__cause__ = error
            faults.append(fault)
    if not faults:
        raise HTTPSError("network.too_slow", f"no time was left to connect to {peer}", was_handed_over=False)
    raise min(faults, key=lambda fault: _LIKELINESS.index(fault.code))


def _connect_to(address: VettedAddress, seconds: float, deadline: float) -> TimedSocket:
    connected = TimedSocket(address.family, socket.SOCK_STREAM)
    try:
        connected.settimeout(seconds)
        connected.connect(address.sockaddr)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connected.close()
        raise
    connected.deadline = deadline
    return connected


def _unreached(error: OSError, peer: str, seconds: float) -> HTTPSError:
    if isinstance(error, TimeoutError):
        code, seen = "network.connect_timeout", f"{peer} did not answer within {seconds:.1f} s"
    elif isinstance(error, ConnectionError):
        code, seen = "network.connection_refused", f"{peer} refused the connection: {reason_of(error)}"
    else:
        code, seen = "network.unreachable", f"there is no way to {peer}: {reason_of(error)}"
        if not says_unreachable(error):
            seen = f"connecting to {peer} failed: {reason_of(error)}"
    return HTTPSError(code, seen, was_handed_over=False)


def _encrypt(plain: TimedSocket, trust: ssl.SSLContext, server_name: str, *, peer: str) -> TimedTLSSocket:
    encrypted: ssl.SSLSocket | None = None
    try:
        encrypted = trust.wrap_socket(plain, server_hostname=server_name, do_handshake_on_connect=False)
        timed = cast(TimedTLSSocket, encrypted)  # the context makes no other
        timed.deadline = plain.deadline
        timed.do_handshake()
    except BaseException as error:
        (encrypted or plain).close()
        if isinstance(error, (OSError, ValueError)):
            raise handshake_failed(error, peer) from error
        raise
    return timed


def _encrypt_inside(outer: TimedTLSSocket, trust: ssl.SSLContext, server_name: str) -> SSLTransport:
    """TLS to the server inside TLS to the proxy."""
    try:
        return SSLTransport(outer, trust, server_hostname=server_name)
    except BaseException as error:
        outer.close()
        if isinstance(error, (OSError, ValueError)):
            raise handshake_failed(error, server_name) from error
        raise


def _tunnel(wire: Wire, proxy: Proxy, origin: Origin) -> None:
    """Ask the proxy for a way to the origin; the wire is closed when there is none."""
    try:
        status = _connect_status(wire, proxy, origin)
    except BaseException as error:
        wire.close()
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise broken_off(error, str(proxy), was_handed_over=False) from error
        raise
    if 200 <= status <= 299:
        return
    wire.close()
    if status == 407:
        seen = f"{proxy} answered 407: it asks for a user name and password, or does not accept those it was given"
        raise HTTPSError("network.proxy_sign_in_needed", seen, was_handed_over=False)
    seen = f"{proxy} answered {status} when it was asked for a way to {origin.tunnel}"
    raise HTTPSError("network.unreachable", seen, was_handed_over=False)


def _connect_status(wire: Wire, proxy: Proxy, origin: Origin) -> int:
    lines = [f"CONNECT {origin.tunnel} HTTP/1.1", f"Host: {origin.tunnel}", "User-Agent: Mail Portal"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    wire.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    with http.client.HTTPResponse(wire, method="CONNECT") as answer:
        answer.begin()
        return answer.status
