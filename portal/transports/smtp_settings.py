"""How a submission server is reached: the values that one SMTP connection is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

IMPLICIT_TLS_PORTS = frozenset({465, 2465})


class Security(StrEnum):
    """How the conversation is encrypted (RFC 8314, RFC 3207)."""

    AUTO = "auto"  # implicit TLS on ports 465 and 2465, elsewhere STARTTLS where it is offered
    IMPLICIT_TLS = "implicit_tls"
    STARTTLS = "starttls"  # never without it
    NONE = "none"


class Auth(StrEnum):
    """How the portal signs in (RFC 4954)."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105 - the best mechanism offered: PLAIN, then LOGIN
    PLAIN = "plain"
    LOGIN = "login"


@dataclass(frozen=True, kw_only=True)
class SMTPSettings:
    """One submission server. Raises ValueError where a value could not be said in an SMTP command."""

    host: str
    port: int
    security: Security = Security.STARTTLS
    verify_certificate: bool = True
    ca_certificate: str = ""  # PEM, trusted besides the system's CAs; "" for none
    auth: Auth = Auth.NONE
    username: str = ""
    domain: str = ""  # of the user name: "CONTOSO" makes the sign-in name CONTOSO\user
    password: str = field(default="", repr=False)
    helo_name: str  # a host name or an address literal, "[192.0.2.1]"
    timeout_seconds: float = 15  # for each reply

    def __post_init__(self) -> None:
        if not self.helo_name or not all("!" <= character <= "~" for character in self.helo_name):
            raise ValueError("the EHLO name must be a host name or an address literal in plain ASCII")
        for value in (self.username, self.domain, self.password):
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise ValueError("a user name or password cannot hold a NUL character or half a surrogate pair")
        if self.timeout_seconds <= 0:
            raise ValueError("the timeout must be more than 0 seconds")

    @property
    def is_implicit_tls(self) -> bool:
        """Whether TLS comes before the greeting."""
        return self.security is Security.IMPLICIT_TLS or (
            self.security is Security.AUTO and self.port in IMPLICIT_TLS_PORTS
        )

    @property
    def sign_in_name(self) -> str:
        """The user name as the server is told it."""
        return f"{self.domain}\\{self.username}" if self.domain else self.username
