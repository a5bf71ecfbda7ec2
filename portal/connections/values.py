"""What a connection is, as plain values: methods, roles, settings, and what happens to its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self, TypeAlias

from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.smtp_values import SMTPValues
from portal.transports.smtp_settings import Auth

DEFAULT_MAX_CONNECTIONS = 4
PASSWORD = "password"  # noqa: S105 - the name of a secret field
CLIENT_SECRET = "client_secret"  # noqa: S105
NEXT_CLIENT_SECRET = "next_client_secret"  # noqa: S105 - tried once where the first is refused
PRIVATE_KEY = "client_private_key"  # of the client certificate
SERVICE_ACCOUNT_KEY = "service_account_key"


class Method(StrEnum):
    """How a connection hands mail over."""

    SMTP = "smtp"
    GOOGLE = "google"  # somebody consents
    MICROSOFT = "microsoft"  # somebody consents
    MICROSOFT_APP = "microsoft_app"  # the application itself sends
    GOOGLE_SERVICE_ACCOUNT = "google_service_account"
    BUILTIN = "builtin"  # whatever the operator configured as the built-in mail service
    CAPTURE = "capture"  # kept for reading; nothing leaves the portal


CONSENT_METHODS = frozenset({Method.GOOGLE, Method.MICROSOFT})
GOOGLE_METHODS = frozenset({Method.GOOGLE, Method.GOOGLE_SERVICE_ACCOUNT})
MICROSOFT_METHODS = frozenset({Method.MICROSOFT, Method.MICROSOFT_APP})
PROVIDER_METHODS = GOOGLE_METHODS | MICROSOFT_METHODS
SECRETS_OF: Mapping[Method, tuple[str, ...]] = MappingProxyType(
    {
        Method.SMTP: (PASSWORD,),
        Method.GOOGLE: (CLIENT_SECRET,),
        Method.MICROSOFT: (CLIENT_SECRET, NEXT_CLIENT_SECRET),
        Method.MICROSOFT_APP: (CLIENT_SECRET, NEXT_CLIENT_SECRET, PRIVATE_KEY),
        Method.GOOGLE_SERVICE_ACCOUNT: (SERVICE_ACCOUNT_KEY,),
        Method.BUILTIN: (),
        Method.CAPTURE: (),
    }
)
SECRET_FIELDS = (PASSWORD, CLIENT_SECRET, NEXT_CLIENT_SECRET, PRIVATE_KEY, SERVICE_ACCOUNT_KEY)


class Role(StrEnum):
    """What a connection is for."""

    DEFAULT = "default"  # at most one
    FALLBACK = "fallback"  # takes over while the default is paused, in the order of `fallback_order`
    AVAILABLE = "available"  # for whoever names it
    DRAFT = "draft"  # never sends, but for a test message


class SecretAction(StrEnum):
    """What a form or file wants done with a stored secret."""

    KEEP = "keep"
    REPLACE = "replace"
    CLEAR = "clear"


@dataclass(frozen=True)
class SecretChange:
    """`value` is set for REPLACE only."""

    action: SecretAction = SecretAction.KEEP
    value: str = field(default="", repr=False)


KEPT = SecretChange()
SecretChanges: TypeAlias = Mapping[str, SecretChange]  # by field; one that is missing is kept
NO_CHANGES: SecretChanges = MappingProxyType({})


def changes_anything(secrets: SecretChanges) -> bool:
    """Whether a secret is to be replaced or cleared."""
    return any(change.action is not SecretAction.KEEP for change in secrets.values())


_NO_SERVER, _NO_PROVIDER = SMTPValues(), ProviderValues()


@dataclass(frozen=True, kw_only=True)
class ConnectionValues:
    """Everything that a person sets, but for secrets. Empty sender fields are inherited from the organisation.

    Each method has its own settings, which are kept while another one is in use.
    """

    name: str
    method: Method
    role: Role = Role.AVAILABLE
    fallback_order: int | None = None
    smtp: SMTPValues = _NO_SERVER
    google: ProviderValues = _NO_PROVIDER
    microsoft: ProviderValues = _NO_PROVIDER
    microsoft_app: ProviderValues = _NO_PROVIDER
    google_service_account: ProviderValues = _NO_PROVIDER
    from_address: str = ""
    display_name: str = ""
    reply_to: str = ""
    envelope_from: str = ""  # where failures go; "": the From address
    messages_per_minute: int | None = None  # None: no limit
    max_connections: int | None = None  # None: DEFAULT_MAX_CONNECTIONS

    @property
    def provider(self) -> ProviderValues | None:
        """The settings of the method in use, where that is Google's or Microsoft's, their placeholders filled in.

        To be used, not stored: see `typed_provider`.
        """
        return self.typed_provider.filled_in() if self.typed_provider else None

    @property
    def typed_provider(self) -> ProviderValues | None:
        """The same as it was typed, for whoever shows, changes and stores it."""
        return getattr(self, self.method) if self.method in PROVIDER_METHODS else None

    def with_provider(self, provider: ProviderValues) -> Self:
        """The same with other settings of the method in use, as typed. Raises ValueError for another method."""
        if self.method not in PROVIDER_METHODS:
            raise ValueError(f"{self.method} is no method of a provider")
        settings: dict[str, Any] = {str(self.method): provider}
        return replace(self, **settings)

    @property
    def uses_host_identity(self) -> bool:
        """Whether it signs in with what is the portal's host's own, and nobody types a secret for it."""
        by_kerberos_or_ntlm = self.method is Method.SMTP and self.smtp.auth is Auth.DEFAULT_CREDENTIALS
        app = self.microsoft_app if self.method is Method.MICROSOFT_APP else None
        return by_kerberos_or_ntlm or (app is not None and app.credential is Credential.FEDERATED)

    @property
    def destination(self) -> str:
        """Where the secrets of the method in use go; when this changes, they are dropped."""
        return self.typed_provider.destination if self.typed_provider else self.smtp.destination

    def named(self) -> dict[str, str | int | bool | None]:
        """Every setting by the name that forms, files and the audit log share; None for what the method has not."""
        common = {name: getattr(self, name) for name in COMMON_FIELDS}
        if self.typed_provider:
            return common | dict.fromkeys(SMTPValues().named()) | self.typed_provider.named()
        return common | dict.fromkeys(ProviderValues().named()) | self.smtp.named()

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads back."""
        return {name: getattr(self, name) for name in COMMON_FIELDS} | {"methods": self.method_values()}

    def method_values(self) -> dict[str, Any]:
        """The settings of every method, by the method's name."""
        providers = {str(method): getattr(self, method).to_json() for method in sorted(PROVIDER_METHODS)}
        return {str(Method.SMTP): self.smtp.to_json()} | providers

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        named = {name: stored[name] for name in COMMON_FIELDS}
        return cls(
            **{**named, "method": Method(stored["method"]), "role": Role(stored["role"])},
            **settings_by_method(stored["methods"]),
        )


COMMON_FIELDS = (
    *("name", "method", "role", "fallback_order", "from_address", "display_name", "reply_to", "envelope_from"),
    *("messages_per_minute", "max_connections"),
)


def settings_by_method(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What `ConnectionValues.method_values` gave, as arguments for ConnectionValues."""
    providers = {str(method): ProviderValues.from_json(stored.get(method)) for method in PROVIDER_METHODS}
    return {str(Method.SMTP): SMTPValues.from_json(stored.get(Method.SMTP))} | providers


def as_draft(values: ConnectionValues) -> ConnectionValues:
    """The same connection, which sends nothing."""
    return replace(values, role=Role.DRAFT, fallback_order=None)
