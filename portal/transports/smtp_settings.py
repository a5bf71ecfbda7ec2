"""How a submission server is reached: the values that one SMTP connection is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from portal.transports import AccessToken

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
    OAUTHBEARER = "oauthbearer"  # an access token, at any server (RFC 7628)
    DEFAULT_CREDENTIALS = "default_credentials"  # the host's own identity, by Kerberos or NTLM
    XOAUTH2 = "xoauth2"  # an access token, at Google and Microsoft: follows from the method, nobody chooses it


TOKEN_MECHANISMS = frozenset({Auth.OAUTHBEARER, Auth.XOAUTH2})


@dataclass(frozen=True, kw_only=True)
class SMTPSettings:
    """One submission server. Raises ValueError where a value could not be said in an SMTP command.

    `access_token` gives the token to sign in with; asked with True it gives another one, because the last was
    refused. It may raise TransportError. Without it the token stands in `password`. `is_token_host` says that tokens
    may go to this host: it is the provider's own, or one that the operator named.
    """

    host: str
    port: int
    security: Security = Security.STARTTLS
    verify_certificate: bool = True
    ca_certificate: str = ""  # PEM, trusted besides the system's CAs; "" for none
    auth: Auth = Auth.NONE
    username: str = ""
    domain: str = ""  # of the user name: "CONTOSO" makes the sign-in name CONTOSO\user
    password: str = field(default="", repr=False)
    access_token: AccessToken | None = field(default=None, repr=False, compare=False)
    is_token_host: bool = True
    helo_name: str  # a host name or an address literal, "[192.0.2.1]"
    timeout_seconds: float = 15  # for each reply

    def __post_init__(self) -> None:
        if not self.helo_name or not all(map(_is_visible_ascii, self.helo_name)):
            raise ValueError("the EHLO name must be a host name or an address literal in plain ASCII")
        for value in (self.username, self.domain, self.password):
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise ValueError("a user name or password cannot hold a NUL character or half a surrogate pair")
        if self.timeout_seconds <= 0:
            raise ValueError("the timeout must be more than 0 seconds")
        if self.signs_in_with_token:
            self._refuse_what_would_end_a_field()

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

    @property
    def signs_in_with_token(self) -> bool:
        """Whether an access token takes the place of the password."""
        return self.auth in TOKEN_MECHANISMS

    @property
    def signs_in_as_host(self) -> bool:
        """Whether the identity of the host that the portal runs on takes the place of user name and password."""
        return self.auth is Auth.DEFAULT_CREDENTIALS

    @property
    def asks_for_token(self) -> bool:
        """Whether the token must be fetched before each sign-in."""
        return self.signs_in_with_token and self.access_token is not None

    def _refuse_what_would_end_a_field(self) -> None:
        # The fields of a sign-in by token end with U+0001: one inside a value would begin a field of its own.
        if any(character < " " or character == "\x7f" for character in self.sign_in_name):
            raise ValueError("a user name cannot hold control characters")
        if not all(map(_is_visible_ascii, self.password)):
            raise ValueError("an access token is made of visible ASCII characters, without spaces")


def _is_visible_ascii(character: str) -> bool:
    return "!" <= character <= "~"
