"""Exceptions of sockets and TLS, named by the stable codes that a diagnosis knows. One table for every protocol."""

from __future__ import annotations

import errno
import socket
import ssl

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


def tls_code(error: ssl.SSLError) -> str:
    """What TLS broke off for; `tls.handshake_failed` where OpenSSL's reason says nothing to people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_FAULTS.get(error.verify_code, "tls.invalid_certificate")
    return _HANDSHAKE_FAULTS.get(getattr(error, "reason", None) or "", "tls.handshake_failed")


def lookup_code(error: socket.gaierror) -> str:
    """Whether there is no such name, or the resolver itself failed."""
    return "network.name_not_found" if error.errno in _NO_SUCH_NAME else "network.resolve_failed"


def says_unreachable(error: OSError) -> bool:
    """Whether the system found no way to the address, or is not allowed to go there."""
    return error.errno in _UNREACHABLE
