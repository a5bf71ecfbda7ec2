"""From a connection's values and secrets to what the providers' modules and ways out need."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from portal.connections.installation import Installation
from portal.connections.oauth import google, microsoft
from portal.connections.oauth.provider import ConsentProvider, Grant, Registration
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.scopes import asked_for, scope_problem
from portal.connections.unfilled import refuse_unfilled, unfilled
from portal.connections.values import (
    CLIENT_SECRET,
    MICROSOFT_METHODS,
    NEXT_CLIENT_SECRET,
    PRIVATE_KEY,
    SERVICE_ACCOUNT_KEY,
    ConnectionValues,
    Method,
)
from portal.mail.addresses import same_address_key
from portal.wording import N_, Text


def what_registration_lacks(values: ConnectionValues) -> dict[str, Text]:
    """What Google or Microsoft need and is not set, or cannot work, by field; of a server what is not filled in."""
    own, method = values.provider, values.method
    missing: dict[str, Text] = {}
    if own is None or values.typed_provider is None:
        return unfilled(values)
    if method is not Method.GOOGLE_SERVICE_ACCOUNT and not own.client_id:
        missing["client_id"] = N_("Enter the client ID of the application that you registered at the provider.")
    if method in MICROSOFT_METHODS and not own.tenant_id:
        missing["tenant_id"] = N_("Enter the tenant: its ID, or one of the organisation's domains.")
    if method in {Method.MICROSOFT_APP, Method.GOOGLE_SERVICE_ACCOUNT} and not own.mailbox:
        missing["mailbox"] = N_("Enter the address of the mailbox that mail is sent by.")
    if method is Method.MICROSOFT_APP and own.credential is Credential.CERTIFICATE and not own.client_certificate:
        missing["client_certificate"] = N_("Make a key pair here, or paste the certificate (PEM).")
    if method is Method.MICROSOFT_APP and own.credential is Credential.FEDERATED and not own.federated_token_file:
        missing["federated_token_file"] = N_("Enter the path of the file that the platform keeps the token in.")
    problem = scope_problem(method, values.typed_provider)
    return missing | ({"scope": problem} if problem else {}) | unfilled(values)


def registration_of(values: ConnectionValues, secrets: Mapping[str, str]) -> Registration:
    """The application registered at the provider. Raises ValueError for a method without one."""
    own = _provider_of(values)
    by_certificate = own.credential is Credential.CERTIFICATE and values.method is Method.MICROSOFT_APP
    by_file = own.credential is Credential.FEDERATED and values.method is Method.MICROSOFT_APP
    by_secret = not by_certificate and not by_file
    return Registration(
        client_id=own.client_id,
        client_secret=secrets.get(CLIENT_SECRET, "") if by_secret else "",
        next_client_secret=secrets.get(NEXT_CLIENT_SECRET, "") if by_secret else "",
        tenant_id=own.tenant_id,
        cloud=own.cloud,
        private_key=secrets.get(PRIVATE_KEY, "") if by_certificate else "",
        public_certificate=own.client_certificate if by_certificate else "",
        federated_token_file=Path(own.federated_token_file) if by_file and own.federated_token_file else None,
        service_account_key=secrets.get(SERVICE_ACCOUNT_KEY, ""),
    )


def scopes_of(values: ConnectionValues, *, installation: Installation) -> tuple[str, ...]:
    """What has to be granted: what the values name, else the least that sending needs."""
    usual = _usual_scopes(values, installation)
    return asked_for(values.method, _provider_of(values).scope, usual=usual)


def _usual_scopes(values: ConnectionValues, installation: Installation) -> tuple[str, ...]:
    own = _provider_of(values)
    match values.method:
        case Method.GOOGLE:
            return google.scopes_for(by_smtp=own.uses_smtp)
        case Method.GOOGLE_SERVICE_ACCOUNT:
            return (google.SMTP_SCOPE if own.uses_smtp else google.API_SCOPE,)
        case Method.MICROSOFT:
            scopes = microsoft_endpoints(own, installation).scopes_for(by_smtp=own.uses_smtp)
            if own.uses_smtp or not sends_as_another(own, values.from_address):
                return scopes
            return (*scopes, f"{microsoft_endpoints(own, installation).graph_resource}/Mail.Send.Shared")
    return (microsoft_endpoints(own, installation).app_scope(by_smtp=own.uses_smtp),)


def google_scopes(own: ProviderValues) -> tuple[str, ...]:
    """What a person has to grant at Google."""
    return asked_for(Method.GOOGLE, own.scope, usual=google.scopes_for(by_smtp=own.uses_smtp))


def microsoft_endpoints(own: ProviderValues, installation: Installation) -> microsoft.Endpoints:
    """The addresses of the values' cloud."""
    return microsoft.Endpoints.of(own.cloud, installation.microsoft)


def google_endpoints(installation: Installation) -> google.Endpoints:
    """Google's addresses, as the operator set them."""
    return google.Endpoints.of(installation.google)


def consent_provider(method: Method, *, installation: Installation) -> ConsentProvider:
    """Who asks for consent. Raises ValueError for a method that nobody consents to."""
    match method:
        case Method.GOOGLE:
            return google.Google(installation.https, google_endpoints(installation))
        case Method.MICROSOFT:
            return microsoft.Microsoft(installation.https, installation.microsoft)
    raise ValueError(f"nobody consents to {method}")


def new_token(
    values: ConnectionValues,
    secrets: Mapping[str, str],
    held: Grant | None,
    *,
    force: bool,
    installation: Installation,
    now: datetime,
) -> Grant:
    """A grant whose access token is good, from the provider. `held` is what somebody consented to, where it needs that.

    Calls the provider: not to be called within a transaction. Raises TransportError of the step TOKEN, and of SETTINGS
    where a placeholder stands for nothing.
    """
    refuse_unfilled(values)
    registration, own = registration_of(values, secrets), _provider_of(values)
    scopes = scopes_of(values, installation=installation)
    match values.method:
        case Method.MICROSOFT_APP:
            return microsoft.app_token(
                registration,
                scope=scopes[0],
                https=installation.https,
                endpoints=microsoft_endpoints(own, installation),
                now=now,
            )
        case Method.GOOGLE_SERVICE_ACCOUNT:
            return google.service_account_token(
                registration,
                subject=own.mailbox,
                scopes=scopes,
                https=installation.https,
                endpoints=google_endpoints(installation),
                now=now,
            )
    if held is None:
        raise ValueError(f"{values.method} needs a grant to renew")
    provider = consent_provider(values.method, installation=installation)
    return provider.renew(registration, held.stored, scopes=scopes, now=now, force=force)


def sends_as_another(own: ProviderValues, from_address: str) -> bool:
    """Whether somebody signs in as one mailbox and sends as another, shared one."""
    return bool(own.mailbox and from_address) and same_address_key(own.mailbox) != same_address_key(from_address)


def _provider_of(values: ConnectionValues) -> ProviderValues:
    own = values.provider
    if own is None:
        raise ValueError(f"{values.method} is no method of a provider")
    return own
