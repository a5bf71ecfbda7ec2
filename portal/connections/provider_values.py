"""What a person sets of a connection to Google or Microsoft, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from portal.connections.oauth.provider import Cloud
from portal.connections.provider_texts import TAKE_PLACEHOLDERS, what_it_stands_for
from portal.connections.smtp_values import SMTPValues
from portal.placeholders import has_placeholder
from portal.wording import Text

# Of the server that mail is handed to with `send_through: smtp`; a host left empty is the provider's own.
SERVER_FIELDS = ("host", "port", "security", "verify_certificate", "ca_certificate", "helo_name", "timeout_seconds")


_NOT_SET = SMTPValues()


class SendThrough(StrEnum):
    """How a provider is handed mail."""

    API = "api"  # Gmail API, Microsoft Graph
    SMTP = "smtp"  # AUTH XOAUTH2


class Credential(StrEnum):
    """What an application proves itself with."""

    SECRET = "secret"  # noqa: S105 - a kind of credential, not one
    CERTIFICATE = "certificate"
    FEDERATED = "federated"  # a token that the platform keeps in a file


@dataclass(frozen=True, kw_only=True)
class ProviderValues:
    """The settings of one method of Google's or Microsoft's; empty text means "not set". Secrets are kept apart.

    They are kept as typed; with `filled_in` they are used.
    """

    client_id: str = ""
    tenant_id: str = ""  # Microsoft: a GUID, a domain, or "organizations"
    cloud: Cloud = Cloud.GLOBAL
    mailbox: str = ""  # whom it sends as; "": whoever consents
    send_through: SendThrough = SendThrough.API
    scope: str = ""  # "": what sending needs
    credential: Credential = Credential.SECRET
    client_certificate: str = ""  # PEM, public
    federated_token_file: str = ""
    secret_id: str = ""
    secret_expires_on: str = ""  # RFC 3339 full-date
    server: SMTPValues = _NOT_SET

    @property
    def uses_smtp(self) -> bool:
        """Whether mail is handed over by SMTP."""
        return self.send_through is SendThrough.SMTP

    @property
    def destination(self) -> str:
        """Where secrets go; when this changes, they are dropped."""
        tenant_id = self.filled_in().tenant_id  # so that another value of a variable gets no secret of the former
        return f"{tenant_id.lower()} {self.cloud} {self.server.destination}"

    def references(self) -> dict[str, str | Text]:
        """What each text with placeholders stands for now, by field; a Text says why it stands for nothing that fits.

        Not those of the server's host and EHLO name, which are filled in where the server is reached.
        """
        typed = {name: getattr(self, name) for name in sorted(TAKE_PLACEHOLDERS)}
        return {name: what_it_stands_for(name, text) for name, text in typed.items() if has_placeholder(text)}

    def filled_in(self) -> ProviderValues:
        """The same as it is used: what stands for nothing that fits counts as not set."""
        used: dict[str, Any] = {
            name: found if isinstance(found, str) else "" for name, found in self.references().items()
        }
        return replace(self, **used) if used else self

    def named(self) -> dict[str, Any]:
        """Every setting by the name that forms, files and the audit log share."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "server"}
        return own | {name: getattr(self.server, name) for name in SERVER_FIELDS}

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads back."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "server"}
        return own | {"server": self.server.to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        """What `to_json` wrote; what it does not name has its default."""
        if not stored:
            return cls()
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        for name, kind in (("cloud", Cloud), ("send_through", SendThrough), ("credential", Credential)):
            if name in known:
                known[name] = kind(known[name])
        return replace(cls(), **{**known, "server": SMTPValues.from_json(stored.get("server"))})
