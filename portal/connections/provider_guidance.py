"""What the form tells of Google and Microsoft beside its fields: addresses to register, scopes, warnings, steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from urllib.parse import quote

from portal.connections import console_steps
from portal.connections.console_steps import ConsoleStep, OwnValues
from portal.connections.discovery import Suite, suite_of_domain
from portal.connections.installation import Installation
from portal.connections.oauth import google, microsoft
from portal.connections.oauth.microsoft_certificates import CertificateFacts, facts_of
from portal.connections.oauth.microsoft_endpoints import PERSONAL_TENANT
from portal.connections.provider_values import Credential, ProviderValues, SendThrough
from portal.connections.registrations import scopes_of
from portal.connections.secret_expiry import Expiry, expiry_of
from portal.connections.stored import StoredConnection
from portal.connections.values import PROVIDER_METHODS, ConnectionValues, Method
from portal.wording import N_, Text

CALLBACKS: Mapping[Method, str] = MappingProxyType(
    {
        Method.GOOGLE: "/oauth/google/callback",
        Method.MICROSOFT: "/oauth/microsoft/callback",
        Method.MICROSOFT_APP: "/oauth/microsoft/callback",
    }
)
_STEPS: Mapping[Method, Callable[[OwnValues], tuple[ConsoleStep, ...]]] = MappingProxyType(
    {
        Method.GOOGLE: console_steps.google_steps,
        Method.MICROSOFT: console_steps.microsoft_steps,
        Method.MICROSOFT_APP: console_steps.microsoft_app_steps,
        Method.GOOGLE_SERVICE_ACCOUNT: console_steps.service_account_steps,
    }
)
_NOTES: Mapping[Method, tuple[Text, ...]] = MappingProxyType(
    {
        Method.GOOGLE: (
            N_(
                "While the project at Google is in Testing, every consent ends after seven days. Choose the audience "
                "Internal (Google Workspace), or publish the app."
            ),
            N_("A changed password of the Google account ends the consent too: then press Connect again."),
        ),
        Method.MICROSOFT: (
            N_(
                "Register the redirect URL under the platform Web. Under Single-page application, Microsoft ends the "
                "consent after 24 hours."
            ),
        ),
        Method.MICROSOFT_APP: (
            N_(
                "The permission Mail.Send granted in Entra opens every mailbox of the organisation. The commands at "
                "the end of the steps open one mailbox only."
            ),
        ),
        Method.GOOGLE_SERVICE_ACCOUNT: (
            N_("This needs Google Workspace: only its administrator can let a service account act for a mailbox."),
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """What is told of one method. The redirect URL is "" where no browser is sent back."""

    redirect_url: str
    problem: Text | None  # why the provider would not register the redirect URL
    scopes: Mapping[SendThrough, str]
    notes: tuple[Text, ...]
    steps: tuple[ConsoleStep, ...]
    commands: Mapping[SendThrough, str]  # PowerShell, empty where none are needed


@dataclass(frozen=True, kw_only=True)
class ProviderFacts:
    """What the fields hold, in words."""

    expiry: Expiry | None
    certificate: CertificateFacts | None
    certificate_address: str  # "data:…" to download it from, "" where there is none
    signs_in_by_certificate: bool


def guidance_of(
    values: ConnectionValues, *, installation: Installation, present: StoredConnection | None = None
) -> dict[Method, Guidance]:
    """For every method of a provider, each with its own values; `present` is the connection as it is stored."""
    principal_id = _principal_of(values, present)
    return {
        method: _guidance(replace(values, method=method), installation, principal_id)
        for method in sorted(PROVIDER_METHODS)
    }


def facts(values: ConnectionValues, *, today: date) -> ProviderFacts:
    """When the secret ends, and which certificate is in use."""
    pem, certificate = values.microsoft_app.filled_in().client_certificate, _certificate_of(values)
    is_app = values.method is Method.MICROSOFT_APP
    return ProviderFacts(
        expiry=expiry_of(values, today=today),
        certificate=certificate,
        certificate_address=f"data:application/x-x509-ca-cert,{quote(pem)}" if certificate else "",
        signs_in_by_certificate=is_app and values.microsoft_app.credential is Credential.CERTIFICATE,
    )


def usual_hosts(installation: Installation, values: ConnectionValues) -> dict[Method, str]:
    """The providers' submission servers by method, in the cloud that was chosen."""
    return {method: installation.usual_host(replace(values, method=method)) for method in sorted(PROVIDER_METHODS)}


def _guidance(values: ConnectionValues, installation: Installation, principal_id: str) -> Guidance:
    own = values.provider or ProviderValues()
    callback = CALLBACKS.get(values.method, "")
    redirect_url = f"{installation.public_url}{callback}" if callback else ""
    scopes = {through: _scopes(values, through, installation) for through in SendThrough}
    known = OwnValues(
        redirect_url=redirect_url,
        scopes=scopes,
        client_id=own.client_id,
        tenant_id=own.tenant_id,
        mailbox=own.mailbox,
        cloud=own.cloud,
        is_personal=_is_personal(values.method, own),
        name=values.name,
        principal_id=principal_id if values.method is Method.MICROSOFT_APP else "",
    )
    is_app = values.method is Method.MICROSOFT_APP
    return Guidance(
        redirect_url=redirect_url,
        problem=_problem(values.method, redirect_url),
        scopes=scopes,
        notes=_NOTES[values.method],
        steps=_STEPS[values.method](known),
        commands={one: console_steps.exchange_commands(known, one) for one in SendThrough} if is_app else {},
    )


def _principal_of(values: ConnectionValues, present: StoredConnection | None) -> str:
    """As the stored connection's last token tells it, where the form still names the same application."""
    if present is None or present.values.method is not Method.MICROSOFT_APP or present.grant is None:
        return ""
    was, now = present.values.microsoft_app.filled_in(), values.microsoft_app.filled_in()
    is_same = (was.client_id, was.tenant_id, was.cloud) == (now.client_id, now.tenant_id, now.cloud)
    return present.grant.principal_id if is_same else ""


def _scopes(values: ConnectionValues, through: SendThrough, installation: Installation) -> str:
    typed = values.typed_provider or ProviderValues()
    return " ".join(scopes_of(values.with_provider(replace(typed, send_through=through)), installation=installation))


def _problem(method: Method, redirect_url: str) -> Text | None:
    if not redirect_url:
        return None
    of_provider = google.redirect_problem if method is Method.GOOGLE else microsoft.redirect_problem
    return of_provider(redirect_url)


def _is_personal(method: Method, own: ProviderValues) -> bool:
    """Whether a Microsoft account without an organisation is to send, as far as it shows."""
    if method is not Method.MICROSOFT:
        return False
    of_mailbox = suite_of_domain(own.mailbox.rpartition("@")[2])
    return own.tenant_id.lower() == PERSONAL_TENANT or (of_mailbox is Suite.OUTLOOK_COM and not own.tenant_id)


def _certificate_of(values: ConnectionValues) -> CertificateFacts | None:
    pem = values.microsoft_app.filled_in().client_certificate if values.method is Method.MICROSOFT_APP else ""
    try:
        return facts_of(pem) if pem else None
    except ValueError:
        return None
