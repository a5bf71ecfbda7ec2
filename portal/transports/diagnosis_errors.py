"""Exceptions of sockets, TLS and the network policy, named by the diagnosis' codes."""

from __future__ import annotations

import errno
import socket
import ssl

from portal.network.errors import HostRefused
from portal.transports import Step, TransportError

_CERTIFICATE_FAULTS = {  # OpenSSL's X509_V_ERR numbers
    2: "tls.unknown_ca",
    9: "tls.not_yet_valid_certificate",
    10: "tls.expired_certificate",
    18: "tls.self_signed_certificate",
    19: "tls.self_signed_certificate",
    20: "tls.unknown_ca",
    21: "tls.unknown_ca",
    27: "tls.unknown_ca",
    62: "tls.wrong_name",
    64: "tls.wrong_name",
    66: "tls.weak_certificate",
    67: "tls.weak_certificate",
    68: "tls.weak_certificate",
}
_HANDSHAKE_FAULTS = {  # OpenSSL's reasons
    "WRONG_VERSION_NUMBER": "tls.expected_plain",
    "RECORD_LAYER_FAILURE": "tls.expected_plain",
    "UNKNOWN_PROTOCOL": "tls.expected_plain",
    "HTTP_REQUEST": "tls.expected_plain",
    "UNSUPPORTED_PROTOCOL": "tls.protocol_too_old",
    "NO_PROTOCOLS_AVAILABLE": "tls.protocol_too_old",
    "TLSV1_ALERT_PROTOCOL_VERSION": "tls.protocol_too_old",
    "EE_KEY_TOO_SMALL": "tls.weak_certificate",
    "DH_KEY_TOO_SMALL": "tls.protocol_too_old",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "tls.client_certificate_needed",
}
_UNREACHABLE = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
}
_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY}
_IMPLICIT_TLS_PORTS = {465, 2465}


def code_of(error: BaseException, step: Step, *, port: int, security: str) -> str | None:
    """The code of an exception met at a step; None for one that says nothing about server or network."""
    match error:
        case HostRefused() | TransportError():
            code = error.code or None
        case ssl.SSLError():
            code = _of_tls(error)
        case socket.gaierror():
            code = "network.name_not_found" if error.errno in _NO_SUCH_NAME else "network.resolve_failed"
        case TimeoutError():
            code = _of_silence(step, port=port, security=security)
        case ConnectionRefusedError():
            code = "network.connection_refused"
        case OSError() | EOFError():
            code = _of_connection(error, step)
        case _:
            code = None
    return code


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_FAULTS.get(error.verify_code, "tls.invalid_certificate")
    return _HANDSHAKE_FAULTS.get(getattr(error, "reason", None) or "", "tls.handshake_failed")


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
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "network.unreachable"
    if str(error).startswith("Tunnel connection failed: 407"):
        return "network.proxy_sign_in_needed"
    if step is Step.TLS:
        return "tls.handshake_failed"
    return "smtp.reply_lost" if step is Step.CONTENT else "network.connection_lost"
