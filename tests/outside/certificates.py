"""Certificates for test servers, made in memory when a test asks for them.

    authority = Authority()
    good = authority.issue("127.0.0.1", "localhost")
    expired = authority.issue("127.0.0.1", valid_from=timedelta(days=-30), valid_until=timedelta(days=-1))
    wrong_name = authority.issue("mail.elsewhere.test")
    unknown = Authority().issue("127.0.0.1")          # from an authority that nobody trusts
    alone = self_signed("127.0.0.1")

`authority.pem` is what a connection's CA field or PORTAL_CA_BUNDLE takes; `certificate.context()` is the server's side.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class ServerCertificate:
    """A chain and its key in PEM; `expires_at` is the leaf's."""

    chain: bytes
    key: bytes = field(repr=False)
    expires_at: datetime

    @property
    def pem(self) -> str:
        return self.chain.decode()

    def context(self) -> ssl.SSLContext:
        """A server's TLS context that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.key + self.chain)
            file.flush()
            context.load_cert_chain(file.name)
        return context


class Authority:
    """A certificate authority of its own, unknown to every system."""

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="Contoso Test CA")

    @property
    def pem(self) -> str:
        return self._ca.cert_pem.bytes().decode()

    def issue(
        self,
        *names: str,
        valid_from: timedelta = timedelta(days=-1),
        valid_until: timedelta = timedelta(days=365),
    ) -> ServerCertificate:
        """A certificate for host names and IP addresses; the times are counted from now."""
        now = datetime.now(UTC).replace(microsecond=0)
        issued = self._ca.issue_cert(*names, not_before=now + valid_from, not_after=now + valid_until)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        return ServerCertificate(chain, issued.private_key_pem.bytes(), now + valid_until)


def self_signed(*names: str) -> ServerCertificate:
    """A certificate that vouches for itself, as mail servers make at their installation."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3650)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(expires_at)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ServerCertificate(certificate.public_bytes(serialization.Encoding.PEM), encoded, expires_at)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
