"""What people call a connection's settings, methods, roles and states."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from portal.connections.values import Method, Role
from portal.transports import Step
from portal.transports.smtp_settings import Auth, Security
from portal.wording import N_, Text

FIELDS: Mapping[str, Text] = MappingProxyType(
    {
        "name": N_("Name"),
        "method": N_("Method"),
        "role": N_("Used for"),
        "fallback_order": N_("Order of fallbacks"),
        "host": N_("Host"),
        "port": N_("Port"),
        "security": N_("Encryption"),
        "verify_certificate": N_("Check the server's certificate"),
        "ca_certificate": N_("Own certificate authority"),
        "auth": N_("Authentication"),
        "username": N_("User name"),
        "domain": N_("Domain of the user name"),
        "password": N_("Password"),
        "helo_name": N_("EHLO name"),
        "timeout_seconds": N_("Timeout"),
        "from_address": N_("From address"),
        "display_name": N_("Display name"),
        "reply_to": N_("Reply-To address"),
        "envelope_from": N_("Address for failures"),
        "messages_per_minute": N_("Messages per minute"),
        "max_connections": N_("Connections at a time"),
    }
)
METHODS: Mapping[str, Text] = MappingProxyType(
    {
        Method.SMTP: N_("SMTP server"),
        Method.BUILTIN: N_("Built-in service"),
        Method.CAPTURE: N_("Capture"),
    }
)
ROLES: Mapping[str, Text] = MappingProxyType(
    {
        Role.DEFAULT: N_("Default"),
        Role.FALLBACK: N_("Fallback"),
        Role.AVAILABLE: N_("Available"),
        Role.DRAFT: N_("Draft"),
    }
)
METHOD_NOTES: Mapping[str, Text] = MappingProxyType(
    {
        Method.SMTP: N_("Any relay or provider, with a user name and password or without"),
        Method.CAPTURE: N_("Mail is kept here for reading; nothing leaves"),
    }
)
METHOD_ICONS: Mapping[str, str] = MappingProxyType(
    {Method.SMTP: "plug", Method.BUILTIN: "server", Method.CAPTURE: "inbox"}
)
ROLE_NOTES: Mapping[str, Text] = MappingProxyType(
    {
        Role.DEFAULT: N_("Mail leaves by it unless told otherwise. The default of now becomes available."),
        Role.AVAILABLE: N_("It waits for whoever names it, for example a test message."),
    }
)
SECURITIES: Mapping[str, Text] = MappingProxyType(
    {
        Security.STARTTLS: N_("STARTTLS (usually port 587)"),
        Security.IMPLICIT_TLS: N_("Implicit TLS (usually port 465)"),
        Security.AUTO: N_("Automatic: the best that the server offers"),
        Security.NONE: N_("None: everything travels readable"),
    }
)
AUTHS: Mapping[str, Text] = MappingProxyType(
    {
        Auth.PASSWORD: N_("User name and password"),
        Auth.PLAIN: N_("User name and password, by AUTH PLAIN only"),
        Auth.LOGIN: N_("User name and password, by AUTH LOGIN only (Base 64)"),
        Auth.NONE: N_("None: the server takes mail without signing in"),
    }
)
STEPS: Mapping[str, Text] = MappingProxyType(
    {
        Step.SETTINGS: N_("Read the settings"),
        Step.TOKEN: N_("Get an access token"),
        Step.RESOLVE: N_("Look up the host"),
        Step.CONNECT: N_("Connect"),
        Step.TLS: N_("Encrypt"),
        Step.GREETING: N_("Wait for the greeting"),
        Step.CAPABILITIES: N_("Ask what the server can do"),
        Step.AUTHENTICATE: N_("Sign in"),
        Step.SENDER: N_("Offer the sender"),
        Step.RECIPIENT: N_("Offer a recipient"),
        Step.DATA: N_("Ask to hand over a message"),
        Step.PERMISSIONS: N_("Look at the permissions"),
        Step.MAILBOX: N_("Look at the mailbox"),
    }
)


def shown(name: str, value: str | int | bool | None) -> Text | str:
    """A setting's value in words; "" where it is not set."""
    if isinstance(value, bool):
        return N_("on") if value else N_("off")
    words = {"method": METHODS, "role": ROLES, "security": SECURITIES, "auth": AUTHS}.get(name, {})
    if value in words:
        return words[str(value)]
    return "" if value is None else str(value)
