"""What the stand-in for Microsoft knows: tenants, apps, mailboxes, permissions, and who consented to what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from cryptography.x509 import Certificate

from tests.outside.microsoft_errors import SignInRefused

Service = Literal["graph", "exchange"]

GRAPH = "https://graph.microsoft.com"
_RESOURCES: dict[str, Service] = {
    GRAPH: "graph",
    "https://outlook.office.com": "exchange",
    "https://outlook.office365.com": "exchange",
}
OPENID = frozenset({"openid", "profile", "email", "offline_access"})
# For everybody's organisations: there the person who signs in decides which tenant it is.
SHARED = frozenset({"common", "organizations", "consumers"})


class _Permission(NamedTuple):
    words: str
    needs_admin: bool = False


# The delegated permissions that exist, as the consent page words them. Who may consent to them is the policy that
# Microsoft manages for tenants that have none of their own.
PERMISSIONS: dict[tuple[Service, str], _Permission] = {
    ("graph", "Mail.Send"): _Permission("Send mail as you"),
    ("graph", "Mail.Send.Shared"): _Permission("Send mail on behalf of others or yourself"),
    ("graph", "User.Read"): _Permission("View your basic profile"),
    ("graph", "User.ReadBasic.All"): _Permission("Read all users' basic profiles"),
    ("graph", "User.Read.All"): _Permission("Read all users' full profiles", needs_admin=True),
    ("graph", "Mail.Read"): _Permission("Read your mail", needs_admin=True),
    ("graph", "Mail.ReadWrite"): _Permission("Read and write access to your mail", needs_admin=True),
    ("graph", "Mail.ReadWrite.Shared"): _Permission("Read and write mail you can access", needs_admin=True),
    ("graph", "Application.Read.All"): _Permission("Read applications", needs_admin=True),
    ("exchange", "SMTP.Send"): _Permission("Send emails from your mailbox using SMTP AUTH"),
    ("exchange", "IMAP.AccessAsUser.All"): _Permission("Read and write access to mailboxes via IMAP", needs_admin=True),
}
_EXCHANGE_ROLES = frozenset({"SMTP.SendAsApp", "IMAP.AccessAsApp", "POP.AccessAsApp"})
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Tenant:
    id: str
    domains: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.domains[0] if self.domains else self.id


@dataclass(frozen=True)
class Authority:
    """The tenant in an address as it was written; `tenant` is None for /common and /organizations."""

    name: str
    tenant: Tenant | None


@dataclass(frozen=True)
class Scope:
    """One permission of one resource; `written` is how the request spelled it, and how it is granted."""

    resource: str
    name: str
    written: str = field(compare=False)


@dataclass(kw_only=True, eq=False)
class App:
    """A registration. What stands here may be changed while the server runs."""

    tenant: Tenant
    client_id: str
    display_name: str
    secrets: dict[str, datetime | None]
    certificates: list[Certificate]
    federated_tokens: list[str]
    redirect_uris: list[str]
    platform: str
    delegated: list[str]
    application: list[str]
    scoped_mailboxes: list[str] | None
    has_admin_consent: bool
    needs_admin_consent: bool
    is_multitenant: bool
    allows_public_flows: bool
    is_disabled: bool = False

    @property
    def object_id(self) -> str:
        """Of the enterprise application."""
        return str(uuid5(NAMESPACE_URL, f"service-principal:{self.client_id}"))

    def secret_id(self, value: str) -> str:
        """What the portal shows beside the secret, and people paste in its place."""
        return str(uuid5(NAMESPACE_URL, f"secret:{self.client_id}:{value}"))

    def roles(self, service: Service) -> list[str]:
        """The application permissions that a token for this service carries."""
        wanted = [role for role in self.application if (role in _EXCHANGE_ROLES) == (service == "exchange")]
        return wanted if self.has_admin_consent else []


@dataclass(kw_only=True, eq=False)
class Mailbox:
    """An account with its mailbox. What stands here may be changed while the server runs."""

    tenant: Tenant
    address: str
    user_principal_name: str
    object_id: str
    display_name: str
    send_as: list[str]
    delegates: list[str]
    has_exchange: bool
    is_blocked: bool
    is_disabled: bool
    is_admin: bool
    aliases: list[str]


class Directory:
    """Looks things up, and refuses with the number that Microsoft has for what is not there."""

    def __init__(self) -> None:
        self.tenants: list[Tenant] = []
        self.mailboxes: list[Mailbox] = []
        self.apps: dict[str, App] = {}
        self.own_graph = ""
        self.unknown_recipients: set[str] = set()  # in lower case; whoever names one of them sends to nobody
        # By app and by who consented: a person, or with a tenant's id its administrator for everybody.
        self._consents: dict[tuple[str, str], set[tuple[Service, str]]] = {}

    def authority(self, name: str) -> Authority:
        if name in SHARED:
            return Authority(name, None)
        for tenant in self.tenants:
            if name.lower() in {tenant.id.lower(), *tenant.domains}:
                return Authority(name, tenant)
        raise SignInRefused(90002 if _GUID.fullmatch(name) or "." in name else 900023, tenant=name)

    def app(self, client_id: str, authority: Authority) -> App:
        """The app as this tenant sees it: an app of another tenant is unknown unless it is for all."""
        app = self.apps.get(client_id.lower())
        if app is None or (authority.tenant not in {None, app.tenant} and not app.is_multitenant):
            raise SignInRefused(700016, app=client_id, tenant=authority.tenant.name if authority.tenant else "")
        if app.is_disabled:
            raise SignInRefused(7000112, app=client_id, name=app.display_name)
        if authority.tenant is None and not app.is_multitenant:
            raise SignInRefused(50194, app=client_id)
        return app

    def mailbox(self, name: str) -> Mailbox | None:
        """By object id or user principal name; other addresses of a mailbox are no names of it."""
        for mailbox in self.mailboxes:
            if name.lower() in {mailbox.object_id.lower(), mailbox.user_principal_name.lower()}:
                return mailbox
        return None

    def account(self, address: str) -> Mailbox | None:
        """By any name that a person would sign in with."""
        found = [mailbox for mailbox in self.mailboxes if mailbox.address.lower() == address.lower()]
        return found[0] if found else self.mailbox(address)

    def service(self, resource: str) -> Service | None:
        return "graph" if resource == self.own_graph else _RESOURCES.get(resource)

    def scopes(self, text: str, *, tenant: str) -> tuple[frozenset[str], list[Scope]]:
        """What a `scope` parameter asks for: OpenID's own words, and permissions.

        Raises SignInRefused: 500011 for a resource that the tenant has not.
        """
        asked = text.split()
        permissions = [_scope(written) for written in asked if written not in OPENID]
        for scope in permissions:
            if self.service(scope.resource) is None:
                raise SignInRefused(500011, resource=scope.resource, tenant=tenant)
        return OPENID & set(asked), permissions

    def expand(self, app: App, scopes: Iterable[Scope]) -> list[Scope]:
        """The same with `.default` replaced by what the registration lists. Raises SignInRefused 650053."""
        expanded = []
        for scope in scopes:
            if scope.name == ".default":
                names = [name for name in app.delegated if (self.service(scope.resource), name) in PERMISSIONS]
                expanded += [Scope(scope.resource, name, f"{scope.resource}/{name}") for name in names]
            elif (self.service(scope.resource), scope.name) in PERMISSIONS:
                expanded.append(scope)
            else:
                raise SignInRefused(650053, name=app.display_name, scope=scope.name, resource=scope.resource)
        return expanded

    def consent(self, app: App, who: str, scopes: Iterable[Scope]) -> None:
        """`who` is a person's object id, or a tenant's id for everybody in it."""
        self._consents.setdefault((app.client_id, who), set()).update(self._keys(scopes))

    def without_consent(self, app: App, mailbox: Mailbox, scopes: Iterable[Scope]) -> list[Scope]:
        given = {
            key
            for who in (mailbox.object_id, mailbox.tenant.id)
            for key in self._consents.get((app.client_id, who), set())
        }
        return [scope for scope in scopes if not self._keys([scope]) <= given]

    def forget_consent(self, mailbox: Mailbox) -> None:
        for app, who in list(self._consents):
            if who == mailbox.object_id:
                del self._consents[app, who]

    def permission(self, scope: Scope) -> _Permission:
        [key] = self._keys([scope])
        return PERMISSIONS[key]

    def _keys(self, scopes: Iterable[Scope]) -> set[tuple[Service, str]]:
        return {(service, scope.name) for scope in scopes if (service := self.service(scope.resource))}


def _scope(written: str) -> Scope:
    """`Mail.Send` alone is one of Graph."""
    resource, _, name = written.rpartition("/")
    return Scope(resource.rstrip("/") or GRAPH, name, written)
