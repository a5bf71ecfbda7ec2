"""What happens to the stand-in for Microsoft besides requests: set up, people end grants, time passes."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from uuid import NAMESPACE_URL, uuid5

from cryptography import x509

from tests.outside.microsoft_devices import Devices
from tests.outside.microsoft_directory import GRAPH, App, Directory, Mailbox, Tenant
from tests.outside.microsoft_grants import DeviceRequest, Grant, Grants
from tests.outside.microsoft_tokens import Clock, Mint

PLATFORMS = ("web", "spa", "native")


@dataclass(frozen=True)
class Granted:
    """What an app holds after consent."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class Administration:
    """The part of a `MicrosoftServer` that needs no network; `_changed` guards all that it knows."""

    def __init__(self, clock: Clock, *, strict_rotation: bool, device_interval: timedelta) -> None:
        self._clock = clock
        self._passed = timedelta(0)
        self._directory = Directory()
        self._grants = Grants(lambda: self.now, strict_rotation=strict_rotation, device_interval=device_interval)
        self._mint = Mint(lambda: self.now)
        self._changed = threading.Condition()

    @property
    def now(self) -> datetime:
        return self._clock() + self._passed

    def pass_time(self, duration: timedelta) -> None:
        """The stand-in's clock only; the caller's own stays."""
        with self._changed:
            self._passed += duration

    def add_tenant(self, tenant_id: str, *, domains: Collection[str] = ()) -> Tenant:
        tenant = Tenant(tenant_id, tuple(domain.lower() for domain in domains))
        with self._changed:
            self._directory.tenants.append(tenant)
        return tenant

    def add_app(
        self,
        tenant: str | Tenant,
        client_id: str,
        *,
        secrets: Mapping[str, date | None] | None = None,
        certificates: Collection[str] = (),
        federated_tokens: Collection[str] = (),
        redirect_uris: Collection[str] = (),
        platform: str = "web",
        delegated: Collection[str] = ("User.Read",),
        application: Collection[str] = (),
        scoped_mailboxes: Collection[str] | None = None,
        name: str = "Mail Portal",
        has_admin_consent: bool = True,
        needs_admin_consent: bool = False,
        is_multitenant: bool = False,
        allows_public_flows: bool = False,
    ) -> App:
        """An app, or the same with other settings. A secret's date is when it ends, at the start of that day in UTC."""
        if platform not in PLATFORMS:
            raise ValueError(f"{platform!r} is none of {', '.join(PLATFORMS)}")
        app = App(
            tenant=self._tenant(tenant),
            client_id=client_id,
            display_name=name,
            secrets={value: _moment(ends) for value, ends in (secrets or {}).items()},
            certificates=[x509.load_pem_x509_certificate(pem.encode()) for pem in certificates],
            federated_tokens=list(federated_tokens),
            redirect_uris=list(redirect_uris),
            platform=platform,
            delegated=list(delegated),
            application=list(application),
            scoped_mailboxes=None if scoped_mailboxes is None else list(scoped_mailboxes),
            has_admin_consent=has_admin_consent,
            needs_admin_consent=needs_admin_consent,
            is_multitenant=is_multitenant,
            allows_public_flows=allows_public_flows,
        )
        with self._changed:
            self._directory.apps[client_id.lower()] = app
        return app

    def add_mailbox(
        self,
        tenant: str | Tenant,
        address: str,
        *,
        object_id: str = "",
        user_principal_name: str = "",
        name: str = "",
        send_as: Collection[str] = (),
        delegates: Collection[str] = (),
        has_exchange: bool = True,
        is_blocked: bool = False,
        is_disabled: bool = False,
        is_admin: bool = False,
        aliases: Collection[str] = (),
    ) -> Mailbox:
        mailbox = Mailbox(
            tenant=self._tenant(tenant),
            address=address,
            user_principal_name=user_principal_name or address,
            object_id=object_id or str(uuid5(NAMESPACE_URL, f"mailto:{address}")),
            display_name=name or address.partition("@")[0].title(),
            send_as=list(send_as),
            delegates=list(delegates),
            has_exchange=has_exchange,
            is_blocked=is_blocked,
            is_disabled=is_disabled,
            is_admin=is_admin,
            aliases=list(aliases),
        )
        with self._changed:
            self._directory.mailboxes.append(mailbox)
        return mailbox

    def forget_recipient(self, address: str) -> None:
        """A message to it, among others or alone, is refused; the answer does not name it."""
        with self._changed:
            self._directory.unknown_recipients.add(address.lower())

    def grant(self, client_id: str, account: str, *scopes: str) -> Granted:
        """As if the person had consented for offline access just now; all scopes of one resource."""
        with self._changed:
            app, mailbox = self._directory.apps[client_id.lower()], self._account(account)
            _, asked = self._directory.scopes(" ".join(scopes), tenant=mailbox.tenant.name)
            allowed = tuple(self._directory.expand(app, asked))
            self._directory.consent(app, mailbox.object_id, allowed)
            refresh = self._grants.issue_refresh_token(
                Grant(app, mailbox, allowed, frozenset({"openid", "profile", "offline_access"}))
            )
            names = [scope.name for scope in allowed]
            access = self._mint.user_token(app, mailbox, allowed[0].resource if allowed else GRAPH, names)
        return Granted(access, refresh)

    def app_token(self, client_id: str, *, resource: str = GRAPH) -> str:
        """An access token of the app itself, as its token request would be answered."""
        with self._changed:
            app, service = self._directory.apps[client_id.lower()], self._directory.service(resource)
            assert service is not None
            return self._mint.app_token(app, app.tenant, resource, app.roles(service))

    def revoke_grants(self, account: str, *, aadsts: int = 50173, suberror: str | None = None) -> None:
        """The account's refresh tokens are dead: their next use is answered with this number. 65001 ends consent."""
        with self._changed:
            mailbox = self._account(account)
            self._grants.revoke(mailbox, aadsts, suberror)
            if aadsts == 65001:
                self._directory.forget_consent(mailbox)

    def consent_for_everybody(self, client_id: str, *scopes: str) -> None:
        """As an administrator would for the app's own tenant."""
        with self._changed:
            app = self._directory.apps[client_id.lower()]
            _, asked = self._directory.scopes(" ".join(scopes), tenant=app.tenant.name)
            self._directory.consent(app, app.tenant.id, self._directory.expand(app, asked))

    def approve_device(self, user_code: str, account: str) -> None:
        """As if the account's owner had typed the code and continued."""
        with self._changed:
            Devices(self._directory, self._grants).approve(self._device(user_code), account)

    def decline_device(self, user_code: str) -> None:
        with self._changed:
            self._device(user_code).is_declined = True

    def _device(self, user_code: str) -> DeviceRequest:
        device = self._grants.device_by_user_code(user_code)
        if device is None:
            raise ValueError(f"no device waits for {user_code}")
        return device

    def _account(self, address: str) -> Mailbox:
        mailbox = self._directory.account(address)
        if mailbox is None:
            raise ValueError(f"there is no account {address}")
        return mailbox

    def _tenant(self, tenant: str | Tenant) -> Tenant:
        if isinstance(tenant, Tenant):
            return tenant
        found = self._directory.authority(tenant).tenant
        assert found is not None
        return found


def _moment(ends: date | None) -> datetime | None:
    if ends is None or isinstance(ends, datetime):
        return ends
    return datetime.combine(ends, time.min, tzinfo=UTC)
