"""Providers whose submission servers are known: what fills the form, and what they ask for at present.

Sources: support.google.com, "Send email from a printer, scanner, or app" and "Gmail sending limits";
learn.microsoft.com, "How to set up a multifunction device or application to send email using Microsoft 365";
the Exchange team's announcement of 27 January 2026 on Basic authentication for SMTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from portal.wording import N_, Text

_MICROSOFT_RELAY_DOMAIN = "mail.protection.outlook.com"


@dataclass(frozen=True)
class Preset:
    """One provider's way in. `host` is empty where it follows from the sender's domain.

    `messages_per_minute` and `max_connections` are None where the provider names no such limit.
    """

    key: str
    label: Text
    host: str
    port: int
    security: str
    auth: str
    username_hint: Text
    messages_per_minute: int | None
    max_connections: int | None
    notes: tuple[Text, ...]
    instead: str = ""  # the method that serves better, where there is one


_NO_USERNAME = N_("None: the provider knows the portal by its IP address.")

_GMAIL = Preset(
    key="gmail",
    label=N_("Gmail with app password"),
    host="smtp.gmail.com",
    port=587,
    security="starttls",
    auth="password",
    username_hint=N_("The whole Google address, such as portal@contoso.com"),
    messages_per_minute=None,
    max_connections=None,
    notes=(
        N_(
            "Google takes an app password only (16 letters), not the account's own. Turn on 2-step verification for "
            "the account, then make one: https://myaccount.google.com/apppasswords"
        ),
        N_(
            "The From address must be the account's own or one confirmed under “Send mail as”: Google replaces any "
            "other by the account's address."
        ),
        N_("Google allows 2,000 messages in 24 hours with Workspace, and 500 without, for 100 recipients each."),
    ),
    instead="google",
)
_GMAIL_RELAY = Preset(
    key="gmail_relay",
    label=N_("Gmail relay (Google Workspace)"),
    host="smtp-relay.gmail.com",
    port=587,
    security="starttls",
    auth="none",
    username_hint=_NO_USERNAME,
    messages_per_minute=None,
    max_connections=None,
    notes=(
        N_(
            "A Workspace administrator opens the relay once: Admin console, Apps, Google Workspace, Gmail, Routing, "
            "SMTP relay service. Add the portal's public IP address there, and allow the sender's domain."
        ),
        N_(
            "If the relay also asks for SMTP authentication, set the authentication to user name and password: an "
            "address of the domain and an app password, since Google takes no account passwords."
        ),
        N_("The EHLO name must be the portal's full host name: Google hangs up on localhost."),
    ),
)
_MICROSOFT_365 = Preset(
    key="microsoft365",
    label=N_("Microsoft 365 with password"),
    host="smtp.office365.com",
    port=587,
    security="starttls",
    auth="password",
    username_hint=N_("The mailbox's whole address, such as portal@contoso.com"),
    messages_per_minute=30,
    max_connections=3,
    notes=(
        N_(
            "Microsoft switches SMTP passwords off by default at the end of December 2026. An administrator of the "
            "organisation can switch them on again; organisations made later have none by default. Microsoft means "
            "to announce the day of their final end in the second half of 2027."
        ),
        N_(
            "Authenticated SMTP must be on for the mailbox: Microsoft 365 admin center, Users, the mailbox, Mail, "
            "Manage email apps. Security defaults keep it off."
        ),
        N_(
            "The From address must be the mailbox's own, or one that it may send as. Microsoft allows 30 messages a "
            "minute, three connections at a time and 10,000 recipients in 24 hours."
        ),
    ),
    instead="microsoft",
)
_MICROSOFT_365_RELAY = Preset(
    key="microsoft365_relay",
    label=N_("Microsoft 365 relay"),
    host="",
    port=25,
    security="starttls",
    auth="none",
    username_hint=_NO_USERNAME,
    messages_per_minute=None,
    max_connections=None,
    notes=(
        N_(
            "The host follows from the sender's domain: contoso.com becomes contoso-com.mail.protection.outlook.com. "
            "Domains with a hyphen, and some newer ones, have a host of another form: copy it from Microsoft 365 "
            "admin center, Settings, Domains, the MX record."
        ),
        N_(
            "Without a connector it reaches mailboxes of the own organisation only, and not even those where Reject "
            "Direct Send is on. For others, an administrator adds a connector for the portal's public IP address: "
            "Exchange admin center, Mail flow, Connectors."
        ),
        N_("Port 25 must be open from the portal's machine to the internet; many clouds and home lines close it."),
    ),
)

PRESETS = MappingProxyType(
    {preset.key: preset for preset in (_GMAIL, _GMAIL_RELAY, _MICROSOFT_365, _MICROSOFT_365_RELAY)}
)
_BY_HOST = MappingProxyType(
    {preset.host: preset for preset in PRESETS.values() if preset.host} | {"smtp.googlemail.com": _GMAIL}
)


def preset(key: str) -> Preset:
    """The preset of that key. Raises KeyError."""
    return PRESETS[key]


def fill(preset: Preset, from_address: str) -> dict[str, str | int]:
    """Values for a connection's fields by their names; an empty text clears the field.

    Where host or user name follow from `from_address` (`""` where there is none yet) and cannot, they are empty.
    """
    return {
        "host": preset.host or _relay_host(from_address),
        "port": preset.port,
        "security": preset.security,
        "auth": preset.auth,
        "username": from_address if preset.auth != "none" else "",
        "messages_per_minute": preset.messages_per_minute or "",
        "max_connections": preset.max_connections or "",
    }


def preset_for_host(host: str) -> Preset | None:
    """The preset whose host this is, in any case and with or without a trailing dot."""
    name = host.strip().lower().removesuffix(".")
    if name.endswith("." + _MICROSOFT_RELAY_DOMAIN):
        return _MICROSOFT_365_RELAY
    return _BY_HOST.get(name)


def _relay_host(from_address: str) -> str:
    # Microsoft forms the host of a domain with a hyphen by a rule that it does not publish.
    domain = from_address.rpartition("@")[2].lower()
    if not re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)+", domain) or "@" not in from_address:
        return ""
    return f"{domain.replace('.', '-')}.{_MICROSOFT_RELAY_DOMAIN}"
