"""TLS for SMTP: what is trusted, the handshake within its time, and what is told about a certificate."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from portal.network.trust import system_context
from portal.transports import Step
from portal.transports.diagnosis_errors import code_of
from portal.transports.smtp_wire import WireFault


def make_context(
    *, verify_certificate: bool, ca_certificate: str = "", ca_bundle: Path | None = None
) -> ssl.SSLContext:
    """What a server's certificate is judged by: the system's CAs, the operator's bundle, the connection's own PEM.

    TLS 1.2 or newer. A certificate in `ca_certificate` need not be a root: an intermediate or the server's own
    is trusted as it is. Raises WireFault `tls.bad_ca_certificate`.
    """
    context = system_context()
    try:
        if ca_bundle is not None:
            context.load_verify_locations(cafile=ca_bundle)
        if ca_certificate.strip():
            context.load_verify_locations(cadata=ca_certificate.strip())
    except (OSError, ValueError) as error:
        what = "the connection's own CA certificate" if ca_certificate.strip() else f"the file {ca_bundle}"
        raise WireFault("tls.bad_ca_certificate", f"{what} holds no readable PEM certificate") from error
    if not verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def encrypt(
    plain: socket.socket, context: ssl.SSLContext, *, server_name: str, seconds: float, is_first: bool
) -> ssl.SSLSocket:
    """The socket with TLS on it; `seconds` is the time for the whole handshake.

    `server_name` is what the certificate must name: a host name in ASCII or an IP address (RFC 6125, RFC 9525).
    `is_first`: nothing was said before, so bytes that are no TLS are a plain server's greeting.
    Raises WireFault; the socket is then no longer usable.
    """
    try:
        return _shake_hands(plain, context, server_name, seconds)
    except TimeoutError:
        code = "network.silence" if is_first else "network.too_slow"
        raise WireFault(code, f"the TLS handshake was not complete after {seconds:.1f} s") from None
    except ssl.SSLError as error:
        raise WireFault(_code_of(error, is_first=is_first), _seen(error)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise WireFault("network.connection_lost", f"the connection was lost in the handshake: {reason}") from error


def _shake_hands(plain: socket.socket, context: ssl.SSLContext, server_name: str, seconds: float) -> ssl.SSLSocket:
    encrypted = context.wrap_socket(plain, server_hostname=server_name, do_handshake_on_connect=False)
    try:
        encrypted.settimeout(seconds)
        encrypted.do_handshake()
    except BaseException:
        encrypted.close()
        raise
    return encrypted


def _code_of(error: ssl.SSLError, *, is_first: bool) -> str:
    code = code_of(error, Step.TLS, port=0, security="") or "tls.handshake_failed"
    return "tls.handshake_failed" if code == "tls.expected_plain" and not is_first else code


def _seen(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS handshake failed: the server closed the connection"
    return f"TLS handshake failed: {(error.reason or 'unknown').lower().replace('_', ' ')}"


@dataclass(frozen=True)
class Certificate:
    """What people are told about a server's certificate; values that cannot be read are empty."""

    names: tuple[str, ...]  # host names and IP addresses it is for
    issuer: str
    expires_at: datetime | None


def certificate_of(encrypted: ssl.SSLSocket) -> Certificate:
    """The certificate that the server showed, verified or not."""
    try:
        shown = x509.load_der_x509_certificate(encrypted.getpeercert(binary_form=True) or b"")
        return Certificate(_names(shown), _common_name(shown.issuer), shown.not_valid_after_utc)
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension):
        return Certificate((), "", None)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME) or name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""
