"""Whose mail service an address belongs to: told by its domain, or by the servers that take the domain's mail (MX)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import dns.exception
import dns.resolver

from portal.connections.oauth.microsoft_endpoints import PERSONAL_TENANT
from portal.connections.values import Method
from portal.mail.addresses import AddressError, parse_mailbox

LOOKUP_SECONDS = 3.0


class Suite(StrEnum):
    """A mail service, as people know it."""

    GOOGLE = "google"
    MICROSOFT_365 = "microsoft_365"
    OUTLOOK_COM = "outlook_com"  # personal Microsoft accounts: no organisation, and so no tenant of one's own

    @property
    def method(self) -> Method:
        """The method that serves it best."""
        return Method.GOOGLE if self is Suite.GOOGLE else Method.MICROSOFT

    @property
    def tenant_id(self) -> str:
        """What stands for the tenant, "" where the organisation has its own."""
        return PERSONAL_TENANT if self is Suite.OUTLOOK_COM else ""


# Names that no public DNS knows (RFC 2606, RFC 6761, RFC 6762, RFC 8375): nobody is asked for them.
_PRIVATE_ENDINGS = ("test", "example", "invalid", "localhost", "local", "internal", "home.arpa")
_DOMAINS: Mapping[str, Suite] = MappingProxyType(
    dict.fromkeys(("gmail.com", "googlemail.com"), Suite.GOOGLE)
    | dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com", "passport.com"), Suite.OUTLOOK_COM)
)
_MX_ENDINGS: Mapping[str, Suite] = MappingProxyType(
    {
        "google.com": Suite.GOOGLE,  # smtp.google.com, aspmx.l.google.com
        "googlemail.com": Suite.GOOGLE,
        "mail.protection.outlook.com": Suite.MICROSOFT_365,
        "mx.microsoft": Suite.MICROSOFT_365,
        "mail.protection.office365.us": Suite.MICROSOFT_365,
        "mail.protection.partner.outlook.cn": Suite.MICROSOFT_365,
        "olc.protection.outlook.com": Suite.OUTLOOK_COM,  # of outlook.de, hotmail.co.uk and many more
    }
)


def suite_of(address: str, *, resolver: dns.resolver.Resolver | None = None) -> Suite | None:
    """The service of an address, None where that is not known. Asks the DNS for three seconds at most.

    `resolver` is that of the machine unless given. Not to be called within a transaction.
    """
    domain = _domain_of(address)
    known = suite_of_domain(domain)
    if known is not None:
        return known
    if not domain or any(_is_within(domain, ending) for ending in _PRIVATE_ENDINGS):
        return None
    hosts = _mail_hosts(domain, resolver)
    return next((suite for ending, suite in _MX_ENDINGS.items() for host in hosts if _is_within(host, ending)), None)


def suite_of_domain(domain: str) -> Suite | None:
    """What the name of a domain alone tells; None for those of organisations."""
    return _DOMAINS.get(domain.lower())


def _domain_of(address: str) -> str:
    try:
        return parse_mailbox(address).address.rpartition("@")[2].lower()
    except AddressError:
        return ""


def _mail_hosts(domain: str, resolver: dns.resolver.Resolver | None) -> tuple[str, ...]:
    """The servers that take the domain's mail, the preferred first; none where the DNS does not say."""
    try:
        answer = (resolver or dns.resolver.Resolver()).resolve(domain, "MX", lifetime=LOOKUP_SECONDS, search=False)
        found = sorted((record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in answer)
    except (dns.exception.DNSException, OSError, UnicodeError):
        return ()
    return tuple(host for _preference, host in found)


def _is_within(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")
