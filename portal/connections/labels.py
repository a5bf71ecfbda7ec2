"""What people call a connection's settings, methods, roles and states."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from portal.connections.discovery import Suite
from portal.connections.oauth.provider import Cloud
from portal.connections.provider_values import Credential, SendThrough
from portal.connections.values import Method, Role
from portal.transports import Step
from portal.transports.kerberos import is_installed
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
        "client_id": N_("Client ID"),
        "client_secret": N_("Client secret"),
        "next_client_secret": N_("Next client secret"),
        "tenant_id": N_("Tenant ID"),
        "cloud": N_("Cloud"),
        "credential": N_("Proves itself by"),
        "client_certificate": N_("Client certificate"),
        "client_private_key": N_("Private key of the certificate"),
        "federated_token_file": N_("Federated token file"),
        "secret_id": N_("Secret ID"),
        "secret_expires_on": N_("Secret expires on"),
        "service_account_key": N_("Service account key"),
        "mailbox": N_("Mailbox"),
        "send_through": N_("Send through"),
        "scope": N_("Scope"),
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
        Method.GOOGLE: N_("Google"),
        Method.MICROSOFT: N_("Microsoft 365"),
        Method.MICROSOFT_APP: N_("Microsoft 365, as an application"),
        Method.GOOGLE_SERVICE_ACCOUNT: N_("Google Workspace service account"),
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
        Method.GOOGLE: N_("Somebody signs in at Google once and agrees; no password is kept"),
        Method.MICROSOFT: N_("Somebody signs in at Microsoft once and agrees; no password is kept"),
        Method.MICROSOFT_APP: N_("An administrator registers the portal; nobody has to sign in"),
        Method.GOOGLE_SERVICE_ACCOUNT: N_("A Workspace administrator lets a service account send as a mailbox"),
        Method.CAPTURE: N_("Mail is kept here for reading; nothing leaves"),
    }
)
METHOD_ICONS: Mapping[str, str] = MappingProxyType(
    {
        Method.SMTP: "plug",
        Method.GOOGLE: "brand-google",
        Method.MICROSOFT: "brand-windows",
        Method.MICROSOFT_APP: "brand-windows",
        Method.GOOGLE_SERVICE_ACCOUNT: "brand-google",
        Method.BUILTIN: "server",
        Method.CAPTURE: "inbox",
    }
)
PROVIDERS: Mapping[str, Text] = MappingProxyType(
    {
        Method.GOOGLE: N_("Google"),
        Method.MICROSOFT: N_("Microsoft"),
        Method.MICROSOFT_APP: N_("Microsoft"),
        Method.GOOGLE_SERVICE_ACCOUNT: N_("Google"),
    }
)
SUITES: Mapping[str, Text] = MappingProxyType(
    {
        Suite.GOOGLE: N_("Google Workspace or Gmail"),
        Suite.MICROSOFT_365: N_("Microsoft 365"),
        Suite.OUTLOOK_COM: N_("a personal Microsoft account (Outlook.com)"),
    }
)
CLOUDS: Mapping[str, Text] = MappingProxyType(
    {
        Cloud.GLOBAL: N_("Worldwide"),
        Cloud.US_GOV: N_("US Government (GCC High)"),
        Cloud.US_DOD: N_("US Department of Defense"),
        Cloud.CHINA: N_("China (21Vianet)"),
    }
)
SEND_THROUGH: Mapping[str, Text] = MappingProxyType(
    {
        SendThrough.API: N_("The provider's API (recommended)"),
        SendThrough.SMTP: N_("SMTP, signed in with an access token"),
    }
)
CREDENTIALS: Mapping[str, Text] = MappingProxyType(
    {
        Credential.SECRET: N_("A client secret"),
        Credential.CERTIFICATE: N_("A certificate"),
        Credential.FEDERATED: N_("A federated token that the platform keeps in a file"),
    }
)
SEND_THROUGH_NOTES: Mapping[str, Text] = MappingProxyType(
    {
        SendThrough.API: N_("Gmail API or Microsoft Graph: needs the fewest permissions, and no SMTP switched on."),
        SendThrough.SMTP: N_("Needs wider permissions at Google, and Authenticated SMTP switched on at Microsoft."),
    }
)
CREDENTIAL_NOTES: Mapping[str, Text] = MappingProxyType(
    {
        Credential.SECRET: N_("Quickly made; ends after two years at most."),
        Credential.CERTIFICATE: N_("Recommended: the portal makes the key pair, and no secret is ever copied."),
        Credential.FEDERATED: N_("For Kubernetes and other platforms that hand out tokens: nothing to renew."),
    }
)
ROLE_NOTES: Mapping[str, Text] = MappingProxyType(
    {
        Role.DEFAULT: N_("Mail leaves by it unless told otherwise. The default of now becomes available."),
        Role.FALLBACK: N_("It takes over while the default is paused."),
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
        Auth.OAUTHBEARER: N_("Access token, by AUTH OAUTHBEARER (the token is the password)"),
        Auth.DEFAULT_CREDENTIALS: N_("This host's own identity (default credentials: Kerberos, or NTLM)"),
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


def default_credentials_note() -> Text:
    """What the form says of signing in as this host; how to install what that takes, where it is missing."""
    if is_installed():
        return N_(
            "The portal's machine signs in as itself: by Kerberos with its keytab or tickets, or by NTLM with its "
            "operator's credential file. No user name or password is asked or kept."
        )
    return N_(
        "To sign in as this host, its operator first installs Kerberos: “apt install gcc python3-dev libkrb5-dev”, "
        "then “make kerberos” in the portal's folder and a restart."
    )


def shown(name: str, value: str | int | bool | None) -> Text | str:
    """A setting's value in words; "" where it is not set."""
    if isinstance(value, bool):
        return N_("on") if value else N_("off")
    words = {"method": METHODS, "role": ROLES, "security": SECURITIES, "auth": AUTHS}
    words |= {"cloud": CLOUDS, "send_through": SEND_THROUGH, "credential": CREDENTIALS}
    named = words.get(name, {})
    if value in named:
        return named[str(value)]
    return "" if value is None else str(value)
