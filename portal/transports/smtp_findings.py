"""What a step of a connection check found, in a few words for people."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from portal.transports import Diagnosis, StepStatus
from portal.transports.smtp_blotting import printable
from portal.transports.smtp_capabilities import Capabilities
from portal.transports.smtp_settings import Auth, Security, SMTPSettings
from portal.transports.smtp_tls import Certificate, certificate_of

_SOON = 14  # days
_LONGEST = 300
_SECURITY = {
    Security.AUTO: "encryption where offered",
    Security.IMPLICIT_TLS: "implicit TLS",
    Security.STARTTLS: "STARTTLS",
    Security.NONE: "no encryption",
}


@dataclass(frozen=True)
class Finding:
    status: StepStatus
    seen: str
    diagnosis: Diagnosis | None = None


def passed(seen: str) -> Finding:
    return Finding(StepStatus.PASS, seen)


def of_settings(settings: SMTPSettings) -> str:
    """ "smtp.contoso.test, port 587, STARTTLS, sign-in as relay" """
    sign_in = "no sign-in" if settings.auth is Auth.NONE else f"sign-in as {_name(settings)}"
    how = " by access token" if settings.signs_in_with_token else ""
    return f"{settings.host}, port {settings.port}, {_SECURITY[settings.security]}, {sign_in}{how}"


def of_sign_in(settings: SMTPSettings) -> str:
    """ "signed in as relay" """
    return "no sign-in configured" if settings.auth is Auth.NONE else f"signed in as {_name(settings)}"


def _name(settings: SMTPSettings) -> str:
    return "this host" if settings.signs_in_as_host else settings.sign_in_name


def of_token(settings: SMTPSettings) -> str:
    """Nothing of the token itself: "an access token, good until 2026-11-21 10:15 UTC".

    How long it lasts is known where what gives it has an `expires_at`.
    """
    expires_at = getattr(settings.access_token, "expires_at", None)
    if isinstance(expires_at, datetime) and expires_at.tzinfo is not None:
        return f"an access token, good until {expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return "an access token"


def of_encryption(settings: SMTPSettings, encryption: ssl.SSLSocket | None, *, now: datetime) -> Finding:
    """The TLS version and the certificate's last day; a warning where others could read along, or soon nobody."""
    if encryption is None:
        is_without = settings.auth is Auth.NONE or settings.signs_in_with_token or settings.signs_in_as_host
        says_password = not is_without
        read_along = "mail and password travel in clear text" if says_password else "mail travels in clear text"
        is_chosen = settings.security is Security.NONE and settings.auth is Auth.NONE
        return Finding(StepStatus.SKIP if is_chosen else StepStatus.WARN, f"not encrypted: {read_along}")
    version, certificate = encryption.version() or "TLS", certificate_of(encryption)
    days_left = (certificate.expires_at - now).days if certificate.expires_at else _SOON
    parts = [version, *([] if settings.verify_certificate else ["certificate not checked"]), _last_day(certificate)]
    if days_left < _SOON:
        parts.append("already over" if days_left < 0 else f"in {days_left} days")
    needs_a_look = days_left < _SOON or not settings.verify_certificate
    return Finding(StepStatus.WARN if needs_a_look else StepStatus.PASS, ", ".join(filter(None, parts)))


def of_certificate(certificate: Certificate) -> str:
    """Whom a refused certificate names: "it is for mail.contoso.test, issued by Contoso CA, expires 2027-01-01"."""
    names = ", ".join(certificate.names[:5]) + (" …" if len(certificate.names) > 5 else "")
    parts = (f"it is for {names}" if names else "", f"issued by {certificate.issuer}" if certificate.issuer else "")
    return printable(", ".join(filter(None, (*parts, _last_day(certificate)))))[:_LONGEST]


def of_capabilities(capabilities: Capabilities) -> str:
    """Sign-in, the largest message and what else matters to mail: "sign-in by PLAIN, LOGIN; messages up to 36 MB"."""
    if not capabilities.is_known:
        return "the server knows no EHLO, only plain HELO"
    mechanisms, largest = capabilities.mechanisms, capabilities.largest_message
    return "; ".join(
        filter(
            None,
            (
                f"sign-in by {', '.join(mechanisms)}" if mechanisms else "no sign-in offered",
                f"messages up to {_megabytes(largest)}" if largest else "no limit of size named",
                "pipelining" if capabilities.pipelining else "",
                "international addresses" if capabilities.smtputf8 else "",
            ),
        )
    )


def _megabytes(octets: int) -> str:
    return f"{octets / 1_000_000:.0f} MB" if octets >= 10_000_000 else f"{octets / 1_000_000:.1g} MB"


def _last_day(certificate: Certificate) -> str:
    return f"expires {certificate.expires_at:%Y-%m-%d}" if certificate.expires_at else ""
