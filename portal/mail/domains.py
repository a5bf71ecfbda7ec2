"""Domains of addresses: one canonical form, ASCII as DNS and SMTP carry it (IDNA 2008 A-labels, RFC 5890)."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv6Address

import idna

_DOT_ATOM = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


class DomainError(ValueError):
    """The text is no domain."""


def ascii_domain(domain: str) -> str:
    """The domain in lower case with A-labels: `Bücher.TEST` becomes `xn--bcher-kva.test`.

    Raises DomainError, also where characters stand for ASCII letters that they are not (KELVIN SIGN, LONG S,
    full-width forms): such a domain is read as one and reached as another.
    """
    if has_disguised_ascii(domain):
        raise DomainError(domain)
    if domain.isascii() and "xn--" not in domain.lower():
        return domain.lower()
    try:
        encoded = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        idna.decode(encoded)  # what claims to be Punycode must be
    except (idna.IDNAError, UnicodeError) as error:
        raise DomainError(domain) from error
    return encoded.lower()


def readable_domain(domain: str) -> str:
    """The domain as people write it, with U-labels; one that cannot be decoded is returned as it is."""
    if "xn--" not in domain:
        return domain
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain


def has_disguised_ascii(text: str) -> bool:
    """Whether a character beyond ASCII turns into ASCII when normalised: the trap of CVE-2019-19844."""
    return not text.isascii() and any(
        not char.isascii() and unicodedata.normalize("NFKC", char).isascii() for char in text
    )


def message_id_domain(host: str) -> str:
    """The right side of a Message-ID (RFC 5322 3.6.4) for a host name or address; IPv6 becomes a literal.

    Raises DomainError.
    """
    if ":" in host:
        return f"[IPv6:{_ipv6(host)}]"
    encoded = ascii_domain(host)
    if not _DOT_ATOM.fullmatch(encoded):
        raise DomainError(host)
    return encoded


def _ipv6(host: str) -> IPv6Address:
    try:
        return IPv6Address(host.partition("%")[0])
    except ValueError as error:
        raise DomainError(host) from error
