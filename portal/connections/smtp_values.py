"""What a person sets of a submission server, as plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from portal.placeholders import filled_in_or_empty
from portal.transports.smtp_settings import IMPLICIT_TLS_PORTS, Auth, Security

USUAL_PORTS = {Security.IMPLICIT_TLS: 465, Security.STARTTLS: 587, Security.AUTO: 587, Security.NONE: 25}
DEFAULT_TIMEOUT_SECONDS = 15
WITHOUT_PASSWORD = frozenset({Auth.NONE, Auth.DEFAULT_CREDENTIALS})


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
        """Whether it signs in with one."""
        return self.auth not in WITHOUT_PASSWORD

    @property
    def destination(self) -> str:
        """Where the password goes and how it is protected on the way; when this changes, it is dropped."""
        ca = hashlib.sha256(self.ca_certificate.encode()).hexdigest()[:16] if self.ca_certificate else "system"
        verified = "verified" if self.verify_certificate else "unverified"
        host = filled_in_or_empty(self.host)  # so that another value of a variable gets no secret of the former
        return f"{host}:{self.effective_port} {self.security} {verified} {ca}"

    def named(self) -> dict[str, Any]:
        """Every setting by the name that forms, files and the audit log share."""
        return asdict(self)

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


def usual_security(port: int | None) -> Security:
    """The security to start from where only a port is known: the one that the port was assigned to (RFC 8314)."""
    return Security.IMPLICIT_TLS if port in IMPLICIT_TLS_PORTS else Security.STARTTLS
