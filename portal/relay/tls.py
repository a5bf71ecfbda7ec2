"""The relay's certificate and its TLS contexts, read anew when the files have changed.

Without files of the operator's a certificate is made once: self-signed, RSA since old devices know nothing newer,
kept with its key in one file that only its owner can read.
"""

from __future__ import annotations

import os
import ssl
import threading
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

CERTIFICATE_FILE = "relay-certificate.pem"
_LASTS = timedelta(days=3650)
_LEGACY_CIPHERS = "ALL:!aNULL:!eNULL:!EXPORT:!RC4:!MD5:@SECLEVEL=0"  # TLS 1.0 signs with SHA-1
_log = structlog.get_logger("portal.relay")


class CertificateUnusable(Exception):
    """The files cannot be used; one line names the variable, the reason and the way out."""


class Certificates:
    """Contexts for the files. Raises CertificateUnusable at the start; later the former ones stay in use."""

    def __init__(self, certificate: Path, private_key: Path | None) -> None:
        self._files = (certificate, private_key)
        self._lock = threading.Lock()
        self._seen = self._stamps()
        self._contexts = self._load()

    def context(self, *, is_legacy: bool) -> ssl.SSLContext:
        """TLS 1.2 or newer, or for listed old devices TLS 1.0."""
        with self._lock:
            stamps = self._stamps()
            if stamps != self._seen:
                self._seen = stamps
                try:
                    self._contexts = self._load()
                except CertificateUnusable as error:
                    _log.error("the former certificate stays in use", error=str(error))
                else:
                    _log.info("the certificate was read anew")
            return self._contexts[is_legacy]

    def _stamps(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._files if path is not None)

    def _load(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        modern, legacy = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        modern.minimum_version = ssl.TLSVersion.TLSv1_2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old devices know nothing else
            legacy.minimum_version = ssl.TLSVersion.TLSv1
        legacy.set_ciphers(_LEGACY_CIPHERS)
        certificate, private_key = self._files
        for context in (modern, legacy):
            try:
                context.load_cert_chain(certificate, private_key, password=_no_password)
            except (ssl.SSLError, ValueError) as error:
                reason = getattr(error, "reason", None) or str(error)
                raise CertificateUnusable(
                    f"PORTAL_RELAY_CERTIFICATE: {certificate} and its private key cannot be used ({reason}); "
                    "give a PEM file with the chain, and PORTAL_RELAY_PRIVATE_KEY without a passphrase"
                ) from None
            except OSError as error:
                raise CertificateUnusable(
                    f"PORTAL_RELAY_CERTIFICATE: {error.filename or certificate} cannot be read: {error.strerror}"
                ) from None
        return modern, legacy


def own_certificate(instance: Path, *names: str) -> Path:
    """The file with the certificate and key that were made once for these names; of several processes one makes it."""
    path = instance / CERTIFICATE_FILE
    if not path.exists():
        instance.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(_self_signed(names))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)
        except FileExistsError:
            pass  # another process was quicker: its certificate counts
        finally:
            made.unlink()
    return path


def _self_signed(names: tuple[str, ...]) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LASTS)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in dict.fromkeys(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return encoded + certificate.public_bytes(serialization.Encoding.PEM)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _no_password() -> str:
    """Otherwise OpenSSL would ask at the terminal."""
    return ""
