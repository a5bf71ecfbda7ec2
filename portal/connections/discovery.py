"""Whose mail service an address belongs to: told by its domain, or by the servers that take the domain's mail (MX)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import dns.exception
import dns.resolver

from portal.connections.values import Method
from portal.mail.addresses import AddressError, parse_mailbox

LOOKUP_SECONDS = 3.0
# Names that no public DNS knows (RFC 2606, RFC 6761, RFC 6762, RFC 8375): nobody is asked for them.
_PRIVATE_ENDINGS = ("test", "example", "invalid", "localhost", "local", "internal", "home.arpa")
_DOMAINS: Mapping[str, Method] = MappingProxyType(
    dict.fromkeys(("gmail.com", "googlemail.com"), Method.GOOGLE)
    | dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com"), Method.MICROSOFT)
)
_MX_ENDINGS: Mapping[str, Method] = MappingProxyType(
    {
        "google.com": Method.GOOGLE,  # smtp.google.com, aspmx.l.google.com
        "googlemail.com": Method.GOOGLE,
        "mail.protection.outlook.com": Method.MICROSOFT,
        "mx.microsoft": Method.MICROSOFT,
        "mail.protection.office365.us": Method.MICROSOFT,
        "mail.protection.partner.outlook.cn": Method.MICROSOFT,
    }
)


def provider_of(address: str, *, resolver: dns.resolver.Resolver | None = None) -> Method | None:
    """The method that serves an address best, None where that is not known. Asks the DNS for three seconds at most.

    `resolver` is that of the machine unless given. Not to be called within a transaction.
    """
    domain = _domain_of(address)
    if domain in _DOMAINS:
        return _DOMAINS[domain]
    if not domain or any(_is_within(domain, ending) for ending in _PRIVATE_ENDINGS):
        return None
    hosts = _mail_hosts(domain, resolver)
    return next((method for ending, method in _MX_ENDINGS.items() for host in hosts if _is_within(host, ending)), None)


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
