"""What a step of a connection check found, in a few words for people."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from portal.transports import AccessToken, Diagnosis, StepStatus
from portal.transports.smtp_blotting import printable
from portal.transports.smtp_capabilities import Capabilities
from portal.transports.smtp_settings import Auth, Security, SMTPSettings
from portal.transports.smtp_tls import Certificate, certificate_of
from portal.wording import N_, Text, joined

_SOON = 14  # days
_LONGEST_NAMES = 170  # characters
_LONGEST_ISSUER = 80
_SECURITY: Mapping[Security, Text] = {
    Security.AUTO: N_("encryption where offered"),
    Security.IMPLICIT_TLS: N_("implicit TLS"),
    Security.STARTTLS: N_("STARTTLS"),
    Security.NONE: N_("no encryption"),
}


@dataclass(frozen=True)
class Finding:
    """`seen` is a `Text` in the portal's own words, a server's reply as it came."""

    status: StepStatus
    seen: Text | str
    diagnosis: Diagnosis | None = None


def passed(seen: Text | str) -> Finding:
    return Finding(StepStatus.PASS, seen)


def of_settings(settings: SMTPSettings) -> Text:
    """ "smtp.contoso.test, port 587, STARTTLS, sign-in as relay" """
    where = N_("%(host)s, port %(port)s", host=settings.host, port=settings.port)
    return joined(", ", (where, _SECURITY[settings.security], _sign_in(settings)))


def _sign_in(settings: SMTPSettings) -> Text:
    if settings.auth is Auth.NONE:
        return N_("no sign-in")
    if settings.signs_in_as_host:
        return N_("sign-in as this host")
    if settings.signs_in_with_token:
        return N_("sign-in as %(name)s by access token", name=settings.sign_in_name)
    return N_("sign-in as %(name)s", name=settings.sign_in_name)


def of_sign_in(settings: SMTPSettings) -> Text:
    """ "signed in as relay" """
    if settings.auth is Auth.NONE:
        return N_("no sign-in configured")
    if settings.signs_in_as_host:
        return N_("signed in as this host")
    return N_("signed in as %(name)s", name=settings.sign_in_name)


def of_token(access_token: AccessToken, *, advise: Callable[[str], Diagnosis]) -> Finding:
    """Nothing of the token itself: "an access token, good until 2026-11-21 10:15 UTC".

    How long it lasts is known where what gives it has an `expires_at`. It may also have tried another secret and say
    so in `also_seen`; where that proved nothing, `unproved` is the error, for whose code `advise` has the remedy.
    """
    expires_at, also_seen = getattr(access_token, "expires_at", None), getattr(access_token, "also_seen", "")
    seen = N_("an access token")
    if isinstance(expires_at, datetime) and expires_at.tzinfo is not None:
        until = f"{expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        seen = N_("an access token, good until %(until)s", until=until)
    seen = joined("; ", (seen, also_seen)) if also_seen else seen
    unproved = getattr(access_token, "unproved", None)
    return Finding(StepStatus.WARN, seen, advise(unproved.code)) if unproved else passed(seen)


def of_encryption(settings: SMTPSettings, encryption: ssl.SSLSocket | None, *, now: datetime) -> Finding:
    """The TLS version and the certificate's last day; a warning where others could read along, or soon nobody."""
    if encryption is None:
        is_without = settings.auth is Auth.NONE or settings.signs_in_with_token or settings.signs_in_as_host
        read_along = N_("not encrypted: mail and password travel in clear text")
        is_chosen = settings.security is Security.NONE and settings.auth is Auth.NONE
        seen = N_("not encrypted: mail travels in clear text") if is_without else read_along
        return Finding(StepStatus.SKIP if is_chosen else StepStatus.WARN, seen)
    version, certificate = encryption.version() or "TLS", certificate_of(encryption)
    days_left = (certificate.expires_at - now).days if certificate.expires_at else _SOON
    unchecked = "" if settings.verify_certificate else N_("certificate not checked")
    parts = [version, unchecked, _last_day(certificate)]
    if days_left < _SOON:
        parts.append(N_("already over") if days_left < 0 else N_("in %(days)s days", days=days_left))
    needs_a_look = days_left < _SOON or not settings.verify_certificate
    return Finding(StepStatus.WARN if needs_a_look else StepStatus.PASS, joined(", ", parts))


def of_certificate(certificate: Certificate) -> Text:
    """Whom a refused certificate names: "it is for mail.contoso.test, issued by Contoso CA, expires 2027-01-01"."""
    names = ", ".join(certificate.names[:5]) + (" …" if len(certificate.names) > 5 else "")
    names, issuer = printable(names)[:_LONGEST_NAMES], printable(certificate.issuer)[:_LONGEST_ISSUER]
    whose = N_("it is for %(names)s", names=names) if names else ""
    issued = N_("issued by %(issuer)s", issuer=issuer) if issuer else ""
    return joined(", ", (whose, issued, _last_day(certificate)))


def of_capabilities(capabilities: Capabilities) -> Text:
    """Sign-in, the largest message and what else matters to mail: "sign-in by PLAIN, LOGIN; messages up to 36 MB"."""
    if not capabilities.is_known:
        return N_("the server knows no EHLO, only plain HELO")
    mechanisms, largest = ", ".join(capabilities.mechanisms), capabilities.largest_message
    parts = (
        N_("sign-in by %(mechanisms)s", mechanisms=mechanisms) if mechanisms else N_("no sign-in offered"),
        N_("messages up to %(size)s MB", size=_megabytes(largest)) if largest else N_("no limit of size named"),
        N_("pipelining") if capabilities.pipelining else "",
        N_("international addresses") if capabilities.smtputf8 else "",
    )
    return joined("; ", parts)


def _megabytes(octets: int) -> str:
    return f"{octets / 1_000_000:.0f}" if octets >= 10_000_000 else f"{octets / 1_000_000:.1g}"


def _last_day(certificate: Certificate) -> Text | str:
    return N_("expires %(day)s", day=f"{certificate.expires_at:%Y-%m-%d}") if certificate.expires_at else ""
