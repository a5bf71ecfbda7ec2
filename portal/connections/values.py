"""What a connection is, as plain values: methods, roles, settings, and what happens to its secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from portal.transports.smtp_settings import IMPLICIT_TLS_PORTS, Auth, Security

USUAL_PORTS = {Security.IMPLICIT_TLS: 465, Security.STARTTLS: 587, Security.AUTO: 587, Security.NONE: 25}
DEFAULT_TIMEOUT_SECONDS = 15
DEFAULT_MAX_CONNECTIONS = 4
PASSWORD = "password"  # noqa: S105 - the name of a secret field


class Method(StrEnum):
    """How a connection hands mail over."""

    SMTP = "smtp"
    BUILTIN = "builtin"  # whatever the operator configured as the built-in mail service
    CAPTURE = "capture"  # kept for reading; nothing leaves the portal


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


@dataclass(frozen=True, kw_only=True)
class SMTPValues:
    """The settings of method `smtp`; empty text means "not set". The password is kept apart."""

    host: str = ""  # normalised: lower-case A-labels or an address, without brackets
    port: int | None = None  # None: not set yet; then the usual one for the security
    security: Security = Security.STARTTLS
    verify_certificate: bool = True
    ca_certificate: str = ""  # PEM, trusted besides the system's CAs
    auth: Auth = Auth.PASSWORD
    username: str = ""
    domain: str = ""  # of the user name: DOMAIN\user
    helo_name: str = ""  # "": the host of the portal's public address
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS  # for each reply

    @property
    def effective_port(self) -> int:
        """The port to connect to."""
        return self.port or USUAL_PORTS[self.security]

    @property
    def needs_password(self) -> bool:
        """Whether it signs in."""
        return self.auth is not Auth.NONE

    @property
    def destination(self) -> str:
        """Where the password goes and how it is protected on the way; when this changes, it is dropped."""
        ca = hashlib.sha256(self.ca_certificate.encode()).hexdigest()[:16] if self.ca_certificate else "system"
        verified = "verified" if self.verify_certificate else "unverified"
        return f"{self.host}:{self.effective_port} {self.security} {verified} {ca}"

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        """What `to_json` wrote; what it does not name has its default."""
        known = {field.name: stored[field.name] for field in fields(cls) if stored and field.name in stored}
        for name, kind in (("security", Security), ("auth", Auth)):
            if name in known:
                known[name] = kind(known[name])
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class ConnectionValues:
    """Everything that a person sets, but for secrets. Empty sender fields are inherited from the organisation."""

    name: str
    method: Method
    role: Role = Role.AVAILABLE
    fallback_order: int | None = None
    smtp: SMTPValues = SMTPValues()  # kept while another method is in use
    from_address: str = ""
    display_name: str = ""
    reply_to: str = ""
    envelope_from: str = ""  # where failures go; "": the From address
    messages_per_minute: int | None = None  # None: no limit
    max_connections: int | None = None  # None: DEFAULT_MAX_CONNECTIONS

    def named(self) -> dict[str, str | int | bool | None]:
        """Every setting by the name that forms, files and the audit log share."""
        named: dict[str, Any] = asdict(self)
        smtp: dict[str, Any] = named.pop("smtp")
        return named | smtp

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        return cls(
            **{
                **stored,
                "method": Method(stored["method"]),
                "role": Role(stored["role"]),
                "smtp": SMTPValues.from_json(stored["smtp"]),
            }
        )


def usual_security(port: int | None) -> Security:
    """The security to start from where only a port is known: the one that the port was assigned to (RFC 8314)."""
    return Security.IMPLICIT_TLS if port in IMPLICIT_TLS_PORTS else Security.STARTTLS


def as_draft(values: ConnectionValues) -> ConnectionValues:
    """The same connection, which sends nothing."""
    return replace(values, role=Role.DRAFT, fallback_order=None)
