"""What a connection needs of the installation that it stands in, and the SMTP settings that come of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from typing import Self, cast

from sqlalchemy.engine import make_url

from portal.config import BuiltinService, Config
from portal.connections.oauth import microsoft_endpoints
from portal.connections.oauth.provider import Cloud
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import GOOGLE_METHODS, ConnectionValues, Method
from portal.extensions import handed_down
from portal.network.host_names import NotAHostName, as_address, normalise_host
from portal.network.https import HTTPS, HTTPSSettings
from portal.network.policy import MailPolicy
from portal.placeholders import UnknownPlaceholder, filled_in, filled_in_or_empty
from portal.secret_box import SecretBox
from portal.transports import AccessToken
from portal.transports.smtp_settings import Auth, Security, SMTPSettings

_POSTGRESQL_PORT = 5432
GOOGLE_HOST = "smtp.gmail.com"
GOOGLE_HOSTS = frozenset({GOOGLE_HOST, "smtp.googlemail.com", "smtp-relay.gmail.com"})
_LOOPBACK_LITERAL = "[127.0.0.1]"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Values of the environment that bear on connections."""

    box: SecretBox = field(repr=False)
    builtin: BuiltinService
    public_host: str
    policy: MailPolicy
    ca_bundle: Path | None
    https: HTTPS
    google: Mapping[str, str]  # addresses that the operator set, by their part of the variable's name
    microsoft: Mapping[str, str]
    public_url: str

    @classmethod
    def of(cls, settings: Config, box: SecretBox) -> Self:
        """What the environment says. The portal's own listeners and its database are never mail servers."""
        own = {(settings.bind.host, settings.bind.port)}
        own.update((relay.address.host, relay.address.port) for relay in settings.relay_bind)
        database = make_url(settings.database_url)
        if database.host:
            own.add((database.host, database.port or _POSTGRESQL_PORT))
        return cls(
            box=box,
            builtin=settings.builtin_service,
            public_host=settings.public_host,
            policy=MailPolicy(allow=settings.mail_allow, ports=settings.mail_ports, own_endpoints=frozenset(own)),
            ca_bundle=settings.ca_bundle,
            https=HTTPS(
                HTTPSSettings(ca_bundle=settings.ca_bundle, proxy=settings.https_proxy, no_proxy=settings.no_proxy)
            ),
            google=settings.google,
            microsoft=settings.microsoft,
            public_url=settings.public_url,
        )

    @classmethod
    def current(cls) -> Self:
        """That of the application at work."""
        return cast("Self", handed_down("installation"))

    def captures(self, values: ConnectionValues) -> bool:
        """Whether mail by this connection is kept here instead of leaving."""
        is_builtin_capture = values.method is Method.BUILTIN and self.builtin.kind == "capture"
        return values.method is Method.CAPTURE or is_builtin_capture

    def smtp_settings(self, values: ConnectionValues, password: str) -> SMTPSettings:
        """How the server of a connection that does not capture is reached.

        `password` is that of method `smtp`; the built-in service has its own. Raises ValueError for a connection
        that captures, or whose values cannot be said in SMTP.
        """
        if self.captures(values):
            raise ValueError("a connection that captures has no server")
        if values.method is Method.BUILTIN:
            return self._builtin_settings()
        if values.provider is not None:
            raise ValueError("a provider's server is signed in to with a token")
        smtp = values.smtp
        return SMTPSettings(
            host=_host(smtp.host, smtp.username, smtp.domain),
            port=smtp.effective_port,
            security=smtp.security,
            verify_certificate=smtp.verify_certificate,
            ca_certificate=smtp.ca_certificate,
            auth=smtp.auth,
            username=filled_in_or_empty(smtp.username),
            domain=filled_in_or_empty(smtp.domain),
            password=password,
            helo_name=self.helo_name(smtp),
            timeout_seconds=smtp.timeout_seconds,
        )

    def token_settings(self, values: ConnectionValues, *, username: str, access_token: AccessToken) -> SMTPSettings:
        """How a provider's submission server is reached; `username` is the mailbox that the token opens.

        Raises ValueError for other methods, and for values that cannot be said in SMTP.
        """
        if values.provider is None:
            raise ValueError(f"{values.method} signs in without a token")
        server = values.provider.server
        return SMTPSettings(
            host=_host(server.host) or self.usual_host(values),
            port=server.effective_port,
            security=server.security,
            verify_certificate=server.verify_certificate,
            ca_certificate=server.ca_certificate,
            auth=Auth.XOAUTH2,
            username=username,
            access_token=access_token,
            is_token_host=self.is_token_host(values),
            helo_name=self.helo_name(server),
            timeout_seconds=server.timeout_seconds,
        )

    def usual_host(self, values: ConnectionValues) -> str:
        """The submission server of the values' provider, "" for other methods."""
        if values.provider is None:
            return ""
        if values.method in GOOGLE_METHODS:
            return GOOGLE_HOST
        return microsoft_endpoints.Endpoints.of(values.provider.cloud, self.microsoft).smtp_host

    def is_token_host(self, values: ConnectionValues) -> bool:
        """Whether the access tokens of the values' provider may go to their submission server.

        That is one of the provider's own, in whatever cloud, or one that the operator named: whoever takes a token
        could send as the mailbox.
        """
        host = filled_in_or_empty(values.provider.server.host) if values.provider else ""
        return not host or host in _provider_hosts(values.method) or self.policy.names(host)

    def helo_name(self, smtp: SMTPValues) -> str:
        """The name given in EHLO: the one that was set, else the public host, else an address (RFC 5321 4.1.4)."""
        return filled_in_or_empty(smtp.helo_name) or default_helo_name(self.public_host)

    def _builtin_settings(self) -> SMTPSettings:
        service = self.builtin
        return SMTPSettings(
            host=service.host,
            port=service.port,
            security=Security(service.security),
            auth=Auth.PASSWORD if service.username else Auth.NONE,
            username=service.username,
            password=service.password,
            helo_name=default_helo_name(self.public_host),
        )


NOT_SET = "not-set.invalid"  # no such host ever is (RFC 6761 6.4)


def _host(host: str, *others: str) -> str:
    """The host; one that cannot be reached where a placeholder of the settings stands for nothing any more."""
    try:
        for text in others:
            filled_in(text)
        return filled_in(host)
    except UnknownPlaceholder:
        return NOT_SET


def _provider_hosts(method: Method) -> frozenset[str]:
    if method in GOOGLE_METHODS:
        return GOOGLE_HOSTS
    return frozenset(microsoft_endpoints.Endpoints.of(cloud).smtp_host for cloud in Cloud)


def default_helo_name(public_host: str) -> str:
    """A host name with a domain, else an address literal: servers refuse `localhost` and other bare names."""
    try:
        host = normalise_host(public_host)
    except NotAHostName:
        return _LOOPBACK_LITERAL
    address = as_address(host)
    if address is not None:
        return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"
    is_complete = "." in host and not host.endswith((".localhost", ".localdomain"))
    return host if is_complete else _LOOPBACK_LITERAL
