"""What people say of a server, as frozen values, and what each of its texts may be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any
from uuid import UUID

from portal.mail.addresses import AddressError, parse_address, same_address_key
from portal.mail.domains import readable_domain
from portal.mail.header_text import HeaderTextError, check_header_text
from portal.placeholders import filled_in_or_empty
from portal.wording import N_

SCOPES = ("send", "read", "settings")
KEY_KINDS = ("live", "test", "team")
FORMATS = ("html", "text")
UNLISTED_SENDER = ("rewrite", "refuse")
LONGEST_NAME = 100  # characters
LONGEST_DESCRIPTION = 300
LONGEST_VARIABLE = 500
MOST_FALLBACKS = 3  # of one server
MOST_LISTED = 200  # addresses or networks of one list
DEFAULT_LARGEST_MESSAGE = 37_748_736  # octets: 25 MB of attachments, as base64, and some
LARGEST_MESSAGE = 157_286_400  # more no way out takes
DEFAULT_MOST_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8
MOST_RECIPIENTS = 1000
MOST_MESSAGES = 10_000_000
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class ServerValues:
    """An application or device. "" and None mean "inherited"; an empty list means "none besides"."""

    name: str
    description: str = ""
    is_enabled: bool = True
    is_exempt: bool = False  # leaves though the organisation's switch is off
    from_address: str = ""
    display_name: str = ""
    reply_to: str = ""
    automatic_bcc: str = ""
    format: str = ""
    connection_id: UUID | None = None
    fallback_ids: tuple[UUID, ...] | None = None  # (): no fallback
    messages_per_minute: int | None = None
    messages_per_day: int | None = None
    largest_message: int | None = None  # octets
    most_recipients: int | None = None
    allowed_senders: tuple[str, ...] = ()  # addresses or @domains besides its own From
    unlisted_sender: str = "rewrite"
    networks: tuple[str, ...] = ()  # send without a log-in
    legacy_networks: tuple[str, ...] = ()  # may use TLS 1.0, and sign in in clear text
    allows_cram_md5: bool = False
    variables: Mapping[str, str] = field(default_factory=lambda: _NO_VARIABLES)

    def placeholders(self) -> dict[str, str]:
        """What `%server:NAME%` may name."""
        return {"name": self.name, **self.variables}

    def own_from(self) -> str:
        """The From address that the server names, its placeholders filled in; "" where it names none."""
        return filled_in_or_empty(self.from_address, self.placeholders())

    def named(self) -> dict[str, Any]:
        """Field name -> value in words of the audit log: lists on one line."""
        return {one.name: _on_one_line(getattr(self, one.name)) for one in fields(self)}


def check_name(text: str) -> str:
    """The name on one line. Raises HeaderTextError."""
    return check_header_text(text, limit=LONGEST_NAME)


def check_description(text: str) -> str:
    """What it is, where it stands: one line. Raises HeaderTextError."""
    return check_header_text(text, limit=LONGEST_DESCRIPTION)


def check_sender(text: str) -> str:
    """An address, or @ and a domain for all of its addresses, in canonical form. Raises AddressError."""
    text = text.strip()
    if text.startswith("@"):
        return "@" + parse_address(f"name{text}").rpartition("@")[2]
    return parse_address(text)


def check_network(text: str) -> str:
    """A network or one address, in canonical form: `192.0.2.0/24`, `2001:db8::/32`. Raises HeaderTextError."""
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise HeaderTextError(
            N_("“%(text)s” is no network. Type an address, or a network as in 192.0.2.0/24.", text=text[:60])
        ) from None
    if network.prefixlen < (8 if network.version == 4 else 16):
        raise HeaderTextError(N_("The network %(text)s is too large: it holds half the world.", text=str(network)))
    return str(network)


def check_variable(text: str) -> tuple[str, str]:
    """A line `NAME=value`. Raises HeaderTextError."""
    name, equals, value = text.partition("=")
    if not equals or not _VARIABLE.fullmatch(name.strip()) or name.strip().lower() == "name":
        raise HeaderTextError(
            N_(
                "“%(text)s” is no variable. Type a name of letters, digits and _, an equals sign and the value, as in "
                "SITE=Berlin. “name” is the server's own name.",
                text=text[:60],
            )
        )
    return name.strip(), check_header_text(value, limit=LONGEST_VARIABLE)


def matches(patterns: Sequence[str], address: str) -> bool:
    """Whether an address is among addresses and @domains. What is no address matches nothing."""
    key = same_address_key(address)
    if not key:
        return False
    domain = f"@{key.rpartition('@')[2]}"
    return any(domain == one if one.startswith("@") else key == same_address_key(one) for one in patterns)


def sender_key(sender: str) -> str:
    """Equal for two spellings of one address or @domain; "" for what is neither."""
    return sender if sender.startswith("@") else same_address_key(sender)


def readable_sender(pattern: str) -> str:
    """An address or @domain as people write it; `check_sender` gives the same again."""
    local_part, at, domain = pattern.rpartition("@")
    return f"{local_part}{at}{readable_domain(domain)}"


def is_sender(text: str) -> bool:
    """Whether the text is an address or @domain."""
    try:
        check_sender(text)
    except AddressError:
        return False
    return True


def _on_one_line(value: Any) -> Any:
    match value:
        case tuple():
            return ", ".join(map(str, value))
        case Mapping():
            return ", ".join(f"{name}={text}" for name, text in value.items())
        case UUID():
            return str(value)
    return value
