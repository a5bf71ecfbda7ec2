"""Microsoft's clouds: their addresses, and the scopes that sending needs in each.

Sources: Microsoft's pages "National clouds" (Entra and Graph) and "Authenticate an IMAP, POP or SMTP connection
using OAuth".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import quote, urlsplit

from portal.connections.oauth.provider import Cloud

# Tenants that stand for any organisation, or any account at all.
PERSONAL_TENANT = "consumers"  # for Outlook.com, Hotmail and the like
ANY_TENANT = frozenset({"common", "organizations", PERSONAL_TENANT})
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def is_guid(text: str) -> bool:
    """Whether the text is written as Microsoft writes its ids: 32 digits with four hyphens."""
    return _GUID.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """One cloud. The operator may set the global cloud's addresses; the names of its scopes stay."""

    login_url: str  # without tenant
    graph_url: str  # without /v1.0
    graph_resource: str  # Graph in scopes and audiences
    smtp_scope: str  # of a person who consents
    smtp_app_scope: str  # of an application itself
    smtp_host: str  # STARTTLS on port 587

    @classmethod
    def of(cls, cloud: Cloud, overrides: Mapping[str, str] | None = None) -> Self:
        """The cloud's own; `overrides` by the names of the fields hold for the global one alone."""
        known = cls(**_CLOUDS[cloud])
        return replace(known, **overrides) if overrides and cloud is Cloud.GLOBAL else known

    def authority(self, tenant: str) -> str:
        """Where the tenant signs in. Raises ValueError for a text that is neither a GUID nor a domain."""
        if not _TENANT.fullmatch(tenant):
            raise ValueError("a tenant is a GUID or a domain name")
        return f"{self.login_url}/{quote(tenant)}"

    @property
    def consent_origin(self) -> str:
        """Scheme, host and port of the pages on which people consent."""
        return _origin(self.login_url)

    def signs_in_at(self, url: str) -> bool:
        """Whether an address, of an endpoint or an issuer, belongs to this cloud's sign-in."""
        return _origin(url) in {self.consent_origin, _FORMER_ORIGINS.get(self.consent_origin)}

    def scopes_for(self, *, by_smtp: bool) -> tuple[str, ...]:
        """The least that sending as the person who consents needs; none of it asks for an administrator by default.

        One request is for one resource, so Graph and SMTP are never asked for together.
        """
        if by_smtp:
            return (self.smtp_scope,)
        return (f"{self.graph_resource}/Mail.Send", f"{self.graph_resource}/User.Read")

    def app_scope(self, *, by_smtp: bool) -> str:
        """What an application asks for itself: all that an administrator gave it for the resource."""
        return self.smtp_app_scope if by_smtp else f"{self.graph_resource}/.default"


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()


def _cloud(login: str, graph: str, smtp: str, *, resource: str, app_resource: str = "") -> dict[str, str]:
    return {
        "login_url": f"https://{login}",
        "graph_url": f"https://{graph}",
        "graph_resource": f"https://{graph}",
        "smtp_scope": f"https://{resource}/SMTP.Send",
        "smtp_app_scope": f"https://{app_resource or resource}/.default",
        "smtp_host": smtp,
    }


# China's discovery may still print the host that it moved from.
_FORMER_ORIGINS = {"https://login.partner.microsoftonline.cn": "https://login.chinacloudapi.cn"}

_CLOUDS: Mapping[Cloud, Mapping[str, str]] = {
    Cloud.GLOBAL: _cloud(
        *("login.microsoftonline.com", "graph.microsoft.com", "smtp.office365.com"),
        resource="outlook.office.com",
        app_resource="outlook.office365.com",
    ),
    Cloud.US_GOV: _cloud(
        *("login.microsoftonline.us", "graph.microsoft.us", "smtp.office365.us"), resource="outlook.office365.us"
    ),
    Cloud.US_DOD: _cloud(
        *("login.microsoftonline.us", "dod-graph.microsoft.us", "outlook-dod.office365.us"),
        resource="outlook-dod.office365.us",
    ),
    Cloud.CHINA: _cloud(
        *("login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn", "smtp.partner.outlook.cn"),
        resource="partner.outlook.cn",
    ),
}
