"""Exceptions of sockets, TLS and the network policy, named by the diagnosis' codes."""

from __future__ import annotations

import socket
import ssl

from portal.network.errors import HostRefused
from portal.network.fault_codes import lookup_code, says_unreachable, tls_code
from portal.transports import Step, TransportError

_IMPLICIT_TLS_PORTS = {465, 2465}


def code_of(error: BaseException, step: Step, *, port: int, security: str) -> str | None:
    """The code of an exception met at a step; None for one that says nothing about server or network."""
    match error:
        case HostRefused() | TransportError():
            code = error.code or None
        case ssl.SSLError():
            code = tls_code(error)
        case socket.gaierror():
            code = lookup_code(error)
        case TimeoutError():
            code = _of_silence(step, port=port, security=security)
        case ConnectionRefusedError():
            code = "network.connection_refused"
        case OSError() | EOFError():
            code = _of_connection(error, step)
        case _:
            code = None
    return code


def _of_silence(step: Step, *, port: int, security: str) -> str:
    if step is Step.RESOLVE:
        return "network.resolve_failed"
    if step is Step.CONNECT:
        return "network.connect_timeout"
    if step is Step.GREETING and port in _IMPLICIT_TLS_PORTS and security != "implicit_tls":
        return "tls.expected_tls"
    if step is Step.GREETING or (step is Step.TLS and security == "implicit_tls"):
        return "network.silence"
    return "smtp.reply_lost" if step is Step.CONTENT else "network.too_slow"


def _of_connection(error: OSError | EOFError, step: Step) -> str:
    if isinstance(error, OSError) and says_unreachable(error):
        return "network.unreachable"
    if str(error).startswith("Tunnel connection failed: 407"):
        return "network.proxy_sign_in_needed"
    if step is Step.TLS:
        return "tls.handshake_failed"
    return "smtp.reply_lost" if step is Step.CONTENT else "network.connection_lost"
