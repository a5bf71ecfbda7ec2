"""What to click at Google and Microsoft before a connection can be made, with the organisation's own values filled in.

Sources: Google's pages "Manage OAuth clients", "Manage app audience" and "Control API access with domain-wide
delegation"; Microsoft's pages "Register an application", "Add and manage application credentials", "Role based access
control for applications in Exchange Online", "Connect-ExchangeOnline", "Connect-MgGraph" and "Authenticate an IMAP,
POP or SMTP connection using OAuth".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portal.connections.oauth.microsoft_endpoints import PERSONAL_TENANT
from portal.connections.oauth.provider import Cloud
from portal.connections.provider_values import Credential, SendThrough
from portal.wording import N_, Text

_GOOGLE = "https://console.cloud.google.com"
_ENTRA: Mapping[Cloud, str] = MappingProxyType(
    {
        Cloud.GLOBAL: "https://entra.microsoft.com",
        Cloud.US_GOV: "https://entra.microsoft.us",
        Cloud.US_DOD: "https://entra.microsoft.us",
        Cloud.CHINA: "https://portal.azure.cn",
    }
)
# As PowerShell's own modules for Exchange Online and Microsoft Graph name the clouds.
_EXCHANGE: Mapping[Cloud, str] = MappingProxyType(
    {Cloud.US_GOV: "O365USGovGCCHigh", Cloud.US_DOD: "O365USGovDoD", Cloud.CHINA: "O365China"}
)
_GRAPH: Mapping[Cloud, str] = MappingProxyType({Cloud.US_GOV: "USGov", Cloud.US_DOD: "USGovDoD", Cloud.CHINA: "China"})
_LONGEST_SCOPE_NAME = 64  # characters, as of most names in Exchange
# PowerShell ends a text at any of these, and reads two of them as one.
_POWERSHELL_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")


@dataclass(frozen=True)
class ConsoleStep:
    """One thing to do. It holds for one way of sending, or one kind of credential, where that is named."""

    text: Text
    value: str = ""  # to be copied there
    link: str = ""
    send_through: SendThrough | None = None
    credential: Credential | None = None


@dataclass(frozen=True, kw_only=True)
class OwnValues:
    """What the organisation filled in so far; "" where it is not known yet."""

    redirect_url: str
    scopes: Mapping[SendThrough, str]
    client_id: str = ""
    tenant_id: str = ""
    mailbox: str = ""
    cloud: Cloud = Cloud.GLOBAL
    is_personal: bool = False  # a Microsoft account without an organisation
    name: str = ""  # of the connection
    principal_id: str = ""  # the enterprise application's object ID, as the application's own tokens tell it


def google_steps(own: OwnValues) -> tuple[ConsoleStep, ...]:
    """A web client in the Google Cloud console, for which somebody consents."""
    return (
        *_google_project(),
        ConsoleStep(
            N_("Open Google Auth Platform, Branding. Give a name that people trust when they consent, and an address."),
            link=f"{_GOOGLE}/auth/branding",
        ),
        ConsoleStep(
            N_(
                "Audience: with Google Workspace choose Internal. Otherwise choose External and press Publish app: "
                "while it says Testing, Google ends the consent after seven days, and one given in Testing goes on "
                "ending after it was published."
            ),
            link=f"{_GOOGLE}/auth/audience",
        ),
        *(
            ConsoleStep(
                N_("Data access: press Add or remove scopes, and paste these."),
                own.scopes[through],
                f"{_GOOGLE}/auth/scopes",
                through,
            )
            for through in SendThrough
        ),
        ConsoleStep(
            N_("Clients: press Create client, type Web application. Under Authorised redirect URIs, paste this."),
            own.redirect_url,
            f"{_GOOGLE}/auth/clients",
        ),
        ConsoleStep(N_("Copy the client ID and the client secret into this form. Google shows the secret only once.")),
        ConsoleStep(
            N_(
                "Where your Workspace limits apps: in the Admin console, under Security, Access and data control, API "
                "controls, mark this client ID as trusted."
            ),
            own.client_id,
            "https://admin.google.com/ac/owl",
        ),
        _sign_in_as(own.mailbox),
    )


def service_account_steps(own: OwnValues) -> tuple[ConsoleStep, ...]:
    """A service account that a Workspace administrator lets act for a mailbox."""
    return (
        *_google_project(),
        ConsoleStep(
            N_("IAM and admin, Service accounts: press Create service account. It needs no role in the project."),
            link=f"{_GOOGLE}/iam-admin/serviceaccounts",
        ),
        ConsoleStep(
            N_(
                "Open it, then Keys, Add key, Create new key, JSON. Paste the whole file into this form, and delete it "
                "from your computer."
            )
        ),
        *(
            ConsoleStep(
                N_(
                    "Admin console, Security, Access and data control, API controls, Manage domain-wide delegation: "
                    "press Add new. The client ID is the number behind “client_id” in the file; the scope is this one."
                ),
                own.scopes[through],
                "https://admin.google.com/ac/owl/domainwidedelegation",
                through,
            )
            for through in SendThrough
        ),
        ConsoleStep(N_("Enter the mailbox that mail is sent by: a user of your Workspace, not a group."), own.mailbox),
    )


def microsoft_steps(own: OwnValues) -> tuple[ConsoleStep, ...]:
    """An application in Entra for which somebody consents."""
    if own.is_personal:
        return _personal_account_steps(own)
    return (
        *_entra_registration(own),
        *_entra_secret(),
        *_delegated_permissions(own),
        _authenticated_smtp(own.mailbox),
        ConsoleStep(
            N_(
                "Nobody has to grant admin consent for these, unless your organisation lets users consent to nothing, "
                "or Mail.ReadWrite is among them: then press Grant admin consent."
            )
        ),
        _sign_in_as(own.mailbox),
    )


def _personal_account_steps(own: OwnValues) -> tuple[ConsoleStep, ...]:
    """The same for Outlook.com, Hotmail and the like."""
    return (
        ConsoleStep(
            N_(
                "A personal Microsoft account cannot register an application by itself: this takes an organisation's "
                "directory, such as the one that comes with a free Azure account. Open its Entra admin center, App "
                "registrations, New registration. Choose “Accounts in any organizational directory and personal "
                "Microsoft accounts”: every other choice keeps personal accounts out."
            ),
            link=_ENTRA[Cloud.GLOBAL],
        ),
        _redirect_uri(own),
        ConsoleStep(
            N_("Overview: copy the Application (client) ID into this form. As Tenant ID, enter this word."),
            PERSONAL_TENANT,
        ),
        *_entra_secret(),
        *_delegated_permissions(own),
        _sign_in_as(own.mailbox),
    )


def _delegated_permissions(own: OwnValues) -> tuple[ConsoleStep, ...]:
    return (
        ConsoleStep(
            N_("API permissions: Add a permission, Microsoft Graph, Delegated permissions. Tick these."),
            own.scopes[SendThrough.API],
            send_through=SendThrough.API,
        ),
        ConsoleStep(
            N_(
                "API permissions: Add a permission, APIs my organization uses, Office 365 Exchange Online, Delegated "
                "permissions. Tick SMTP.Send; as a scope it is written like this."
            ),
            own.scopes[SendThrough.SMTP],
            send_through=SendThrough.SMTP,
        ),
    )


def microsoft_app_steps(own: OwnValues) -> tuple[ConsoleStep, ...]:
    """An application in Entra that sends by itself."""
    return (
        *_entra_registration(own),
        *_entra_secret(Credential.SECRET),
        ConsoleStep(
            N_(
                "Make a key pair with the button in this form and download the certificate. Then Certificates & "
                "secrets, Certificates, Upload certificate; compare the thumbprint."
            ),
            credential=Credential.CERTIFICATE,
        ),
        ConsoleStep(
            N_(
                "Certificates & secrets, Federated credentials, Add credential: enter the issuer and subject of the "
                "token that your platform keeps in the file."
            ),
            credential=Credential.FEDERATED,
        ),
        ConsoleStep(
            N_(
                "To let it send by every mailbox: API permissions, Add a permission, Microsoft Graph, Application "
                "permissions, Mail.Send. Then an administrator presses Grant admin consent."
            ),
            send_through=SendThrough.API,
        ),
        ConsoleStep(
            N_(
                "To let it send by one mailbox only: give it no permission here, and run the commands further below. "
                "Permissions add up, so Mail.Send granted here would open every mailbox all the same."
            ),
            send_through=SendThrough.API,
        ),
        ConsoleStep(
            N_(
                "API permissions: Add a permission, APIs my organization uses, Office 365 Exchange Online, Application "
                "permissions, SMTP.SendAsApp. Then an administrator presses Grant admin consent and runs the commands "
                "further below."
            ),
            send_through=SendThrough.SMTP,
        ),
        _authenticated_smtp(own.mailbox),
    )


def exchange_commands(own: OwnValues, through: SendThrough) -> str:
    """PowerShell for Exchange Online that lets the application send by the one mailbox."""
    app, mailbox = _quoted(own.client_id or "<client ID>"), own.mailbox or "<mailbox>"
    begin = (
        *_principal(own),
        f"Connect-ExchangeOnline{_at_cloud('ExchangeEnvironmentName', _EXCHANGE, own.cloud)}",
        f"if (-not (Get-ServicePrincipal | Where-Object AppId -eq {app})) "
        f"{{ New-ServicePrincipal -AppId {app} -ObjectId $principal -DisplayName 'Mail Portal' }}",
    )
    if through is SendThrough.SMTP:
        allow = (
            f"Add-MailboxPermission -Identity {_quoted(mailbox)} -User $principal -AccessRights FullAccess",
            f"Set-CASMailbox -Identity {_quoted(mailbox)} -SmtpClientAuthenticationDisabled $false",
        )
        return "\n".join((*begin, *allow))
    filter_ = f"PrimarySmtpAddress -eq {_quoted(mailbox)}"
    scope = _quoted(f"Mail Portal: {own.name or mailbox}"[:_LONGEST_SCOPE_NAME].rstrip())
    return "\n".join(
        (
            *begin,
            f"New-ManagementScope -Name {scope} -RecipientRestrictionFilter {_quoted(filter_)}",
            f"New-ManagementRoleAssignment -App {app} -Role 'Application Mail.Send' -CustomResourceScope {scope}",
            f"Test-ServicePrincipalAuthorization -Identity {app} -Resource {_quoted(mailbox)}",
        )
    )


def _principal(own: OwnValues) -> tuple[str, ...]:
    """Commands that put the enterprise application's object ID into $principal: not that of the registration."""
    if own.principal_id:
        return (f"$principal = {_quoted(own.principal_id)}",)
    filter_ = f"AppId eq {_quoted(own.client_id or '<client ID>')}"
    return (
        f"Connect-MgGraph -Scopes 'Application.Read.All'{_at_cloud('Environment', _GRAPH, own.cloud)}",
        f"$principal = (Get-MgServicePrincipal -Filter {_quoted(filter_)}).Id",
    )


def _at_cloud(parameter: str, names: Mapping[Cloud, str], cloud: Cloud) -> str:
    """The parameter that names a cloud of its own; nothing for the one that everybody is in."""
    return f" -{parameter} {names[cloud]}" if cloud in names else ""


def _quoted(text: str) -> str:
    """The text as PowerShell's literal: nothing in it is a command."""
    return "'" + _POWERSHELL_QUOTES.sub(r"\1\1", text) + "'"


def _google_project() -> tuple[ConsoleStep, ...]:
    return (
        ConsoleStep(
            N_("Open the Google Cloud console and choose a project, or make one for the portal."),
            link=f"{_GOOGLE}/projectcreate",
        ),
        ConsoleStep(
            N_("Enable the Gmail API for the project."),
            link=f"{_GOOGLE}/apis/library/gmail.googleapis.com",
            send_through=SendThrough.API,
        ),
    )


def _entra_registration(own: OwnValues) -> tuple[ConsoleStep, ...]:
    return (
        ConsoleStep(
            N_(
                "Open the Entra admin center, App registrations, New registration. Choose “Accounts in this "
                "organizational directory only”."
            ),
            link=_ENTRA[own.cloud],
        ),
        _redirect_uri(own),
        ConsoleStep(N_("Overview: copy the Application (client) ID and the Directory (tenant) ID into this form.")),
    )


def _redirect_uri(own: OwnValues) -> ConsoleStep:
    return ConsoleStep(
        N_(
            "Redirect URI: choose the platform Web, and paste this. With “Single-page application” the consent "
            "would end after 24 hours; with “Mobile and desktop” Microsoft would take no secret."
        ),
        own.redirect_url,
    )


def _entra_secret(credential: Credential | None = None) -> tuple[ConsoleStep, ...]:
    return (
        ConsoleStep(
            N_(
                "Certificates & secrets, New client secret. Copy the Value into this form: it is shown only once. The "
                "Secret ID beside it is not the secret; note it and the day of expiry here too, and the portal will "
                "warn in time."
            ),
            credential=credential,
        ),
    )


def _authenticated_smtp(mailbox: str) -> ConsoleStep:
    return ConsoleStep(
        N_(
            "Microsoft 365 admin center, Users, Active users, the mailbox, Mail, Manage email apps: tick Authenticated "
            "SMTP. Where it is off, tokens are refused as well as passwords."
        ),
        mailbox,
        send_through=SendThrough.SMTP,
    )


def _sign_in_as(mailbox: str) -> ConsoleStep:
    if mailbox:
        return ConsoleStep(N_("Press Connect here, and sign in with this account."), mailbox)
    return ConsoleStep(N_("Press Connect here, and sign in with the account that mail is to be sent by."))
