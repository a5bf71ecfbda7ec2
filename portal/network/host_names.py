"""Host names as people type them, in the one form that is compared, resolved and used for TLS."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import idna

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_ENDS_IN_A_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")
_HIGHEST_LENGTH = 253


class NotAHostName(ValueError):
    """The text is neither a host name nor an address."""


def normalise_host(text: str) -> str:
    """Lower-case ASCII without brackets and trailing dot; an address in its shortest form.

    Names in other scripts become A-labels by UTS 46 (RFC 5890), which also turns full-width digits and
    ideographic full stops into plain ones. Spellings that only the resolver reads as an address, such as
    `127.1` or `0x7f000001`, stay as they are. Raises NotAHostName for everything else, zone ids included.
    """
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    address = as_address(host)
    if address is not None:
        return str(address)
    host = _to_ascii(host).removesuffix(".").lower()
    address = as_address(host)
    if address is not None:
        return str(address)
    if len(host) > _HIGHEST_LENGTH or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise NotAHostName(text)
    return host


def as_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the text spells in the standard way; None for names, odd spellings and zone ids."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id else address


def is_address_spelling(name: str) -> bool:
    """Whether a resolver may read a normalised name as an IPv4 address (`127.1`, `0x7f.1`, `2130706433`)."""
    return _ENDS_IN_A_NUMBER.search(name) is not None


def _to_ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True, std3_rules=False).decode("ascii")
    except idna.IDNAError:
        raise NotAHostName(host) from None
