"""Key pairs with which the portal signs in to Microsoft instead of a secret: made here, so no key ever travels.

The administrator uploads the public certificate in the Entra admin center, under Certificates & secrets. Microsoft
asks for RSA keys of 2,048 bits or more, and takes certificates that vouch for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from portal.wording import N_, Text

_KEY_BITS = 3072  # NIST SP 800-57: good beyond 2030
_LEAST_KEY_BITS = 2048
_LIFE = timedelta(days=730)
_LONGEST_NAME = 64  # X.520's upper bound of a common name


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """What a person compares with the Entra admin center, and when to be warned."""

    subject: str
    thumbprint: str  # SHA-1 in upper-case hexadecimal digits, as Microsoft's pages show it
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """PEM texts: the private key is to be sealed, the certificate is for everybody."""

    private_key: str = field(repr=False)
    public_certificate: str


def make_key_pair(common_name: str, *, now: datetime) -> KeyPair:
    """A new RSA key and a certificate that vouches for itself, good for two years.

    `common_name` tells people which portal it belongs to; what is longer than 64 characters is cut off.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_LONGEST_NAME])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the clocks need not agree
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(
        private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        public_certificate=certificate.public_bytes(Encoding.PEM).decode(),
    )


def facts_of(public_certificate: str) -> CertificateFacts:
    """What is said of a certificate in PEM. Raises ValueError where it is none."""
    certificate = x509.load_pem_x509_certificate(public_certificate.encode())
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        thumbprint=certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - names it, proves nothing
        expires_at=certificate.not_valid_after_utc,
    )


def pair_problem(private_key: str, public_certificate: str) -> Text | None:
    """Why Microsoft would not take the pair, None where nothing is known against it."""
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it asks for a passphrase
        return N_("The private key cannot be read. Give it in PEM form, without a passphrase.")
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _LEAST_KEY_BITS:
        return N_("Microsoft takes RSA keys of 2,048 bits or more. Make a new key pair.")
    try:
        certified = x509.load_pem_x509_certificate(public_certificate.encode()).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return N_("The certificate cannot be read. Give it in PEM form, from -----BEGIN CERTIFICATE----- on.")
    if certified != key.public_key():
        return N_("The certificate does not belong to the private key. Make a new key pair, or give both of one.")
    return None
