"""Rows for Microsoft's sign-in (AADSTS numbers), first part: the application and its registration.

Source: learn.microsoft.com, "Microsoft Entra authentication and authorization error codes".
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import MICROSOFT_ADMINISTRATOR, NOBODY, YOU, Row
from portal.wording import N_

ROWS = (
    Row(
        code="microsoft.redirect_uri_mismatch",
        cause=N_("Microsoft does not know the portal's redirect URI for the application %(client_id)s."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Copy the redirect URI from the connection's form, character for character, to the Microsoft Entra admin "
            "center: App registrations, the application, Authentication, Add a platform, Web."
        ),
    ),
    Row(
        code="microsoft.redirect_uri_missing",
        cause=N_(
            "The application %(client_id)s has no redirect URI. A consent that was just given is valid all the same."
        ),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Add the redirect URI of the connection's form in the Microsoft Entra admin center: App registrations, the "
            "application, Authentication, Add a platform, Web. After an administrator's consent, go back and check."
        ),
    ),
    Row(
        code="microsoft.registered_as_spa",
        cause=N_("The redirect URI is registered as a single-page application, which gets access for a day at most."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application %(client_id)s, "
            "Authentication: remove the redirect URI from Single-page application and add it under Web. Then connect "
            "again."
        ),
    ),
    Row(
        code="microsoft.registered_as_public",
        cause=N_("The application %(client_id)s is registered as a public client, which has no secret."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application, Authentication: move the "
            "redirect URI from Mobile and desktop applications to Web, and set Allow public client flows to No."
        ),
    ),
    Row(
        code="microsoft.app_not_found",
        cause=N_("Microsoft finds no application %(client_id)s in the tenant %(tenant)s."),
        who=YOU,
        remedy=N_(
            "Compare both with the Microsoft Entra admin center, App registrations, the application, Overview: "
            "Application (client) ID and Directory (tenant) ID. An application of another organisation first needs an "
            "administrator's consent in yours."
        ),
    ),
    Row(
        code="microsoft.app_disabled",
        cause=N_("The application %(client_id)s is switched off in this organisation."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open Enterprise apps, the application, Properties: set Enabled for "
            "users to sign in to Yes."
        ),
    ),
    Row(
        code="microsoft.tenant_not_found",
        cause=N_("Microsoft knows no tenant %(tenant)s in this cloud."),
        who=YOU,
        remedy=N_(
            "Copy the Directory (tenant) ID from the Microsoft Entra admin center, App registrations, the application, "
            "Overview. Check also the cloud in the form (global, US Government, China)."
        ),
    ),
    Row(
        code="microsoft.tenant_needed",
        cause=N_("The application %(client_id)s belongs to one organisation, but the form names none."),
        who=YOU,
        remedy=N_(
            "Put the Directory (tenant) ID in place of common or organizations: Microsoft Entra admin center, App "
            "registrations, the application, Overview."
        ),
    ),
    Row(
        code="microsoft.wrong_cloud",
        cause=N_("The organisation lives in another of Microsoft's clouds than the one chosen here."),
        who=YOU,
        remedy=N_("Choose the organisation's cloud in the form: global, US Government (GCC High or DoD) or China."),
    ),
    Row(
        code="microsoft.secret_wrong",
        cause=N_("Microsoft does not accept the client secret. Very often what was typed is the Secret ID."),
        who=YOU,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application %(client_id)s, Certificates & "
            "secrets, New client secret, and copy the column Value, not Secret ID. The value is shown only once."
        ),
    ),
    Row(
        code="microsoft.secret_expired",
        cause=N_("The client secret of the application %(client_id)s has expired."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application, Certificates & secrets, New "
            "client secret. Type its Value and its end here: the portal reminds you in time. Waiting messages leave by "
            "themselves afterwards."
        ),
    ),
    Row(
        code="microsoft.next_secret_wrong",
        cause=N_(
            "Microsoft does not accept what stands in the field Next client secret. Very often it is the Secret ID."
        ),
        who=YOU,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application %(client_id)s, Certificates & "
            "secrets, New client secret, and copy the column Value, not Secret ID, to the field Next client secret. "
            "The client secret that is in use still works: nothing has stopped."
        ),
    ),
    Row(
        code="microsoft.next_secret_expired",
        cause=N_("The secret in the field Next client secret has expired."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application %(client_id)s, Certificates & "
            "secrets, New client secret, and type its Value in the field Next client secret, or remove the one that is "
            "stored there. The client secret that is in use still works: nothing has stopped."
        ),
    ),
    Row(
        code="microsoft.secret_missing",
        cause=N_(
            "The application %(client_id)s has to prove itself, but the connection has neither secret nor certificate."
        ),
        who=YOU,
        remedy=N_(
            "Make one in the Microsoft Entra admin center: App registrations, the application, Certificates & secrets, "
            "New client secret, and type its Value here."
        ),
    ),
    Row(
        code="microsoft.certificate_refused",
        cause=N_(
            "Microsoft does not accept the certificate of this connection: it is not uploaded, expired, or another."
        ),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Download the certificate from the connection's page and upload it in the Microsoft Entra admin center: "
            "App registrations, the application %(client_id)s, Certificates & secrets, Certificates. Compare the "
            "thumbprints, and check the clock of the portal's machine."
        ),
    ),
    Row(
        code="microsoft.federation_mismatch",
        cause=N_("Microsoft does not accept the federated credential: its issuer, subject or audience does not fit."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Compare them with the token in the file, in the Microsoft Entra admin center: App registrations, the "
            "application %(client_id)s, Certificates & secrets, Federated credentials."
        ),
    ),
    Row(
        code="microsoft.clock_wrong",
        cause=N_("Microsoft finds that the time in the portal's request is wrong."),
        who=YOU,
        remedy=N_("Set the clock of the portal's machine, best by switching on time synchronisation (NTP)."),
    ),
    Row(
        code="microsoft.consent_missing",
        cause=N_(
            "Nobody has agreed yet at Microsoft that this connection may send, or its settings changed since then."
        ),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page, sign in with the account that mail is sent by, and accept what "
            "Microsoft asks. Waiting messages leave by themselves afterwards."
        ),
    ),
    Row(
        code="microsoft.consent_needed",
        cause=N_("Nobody has agreed yet that the application %(client_id)s may send mail."),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page and accept. For an application alone, an administrator presses "
            "Grant admin consent in the Microsoft Entra admin center: App registrations, the application, API "
            "permissions."
        ),
    ),
    Row(
        code="microsoft.admin_consent_needed",
        cause=N_("In this organisation only an administrator may agree that the application %(client_id)s sends mail."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Open the link for administrators on this connection's page, or the Microsoft Entra admin center: App "
            "registrations, the application, API permissions, Grant admin consent. Then connect again."
        ),
    ),
    Row(
        code="microsoft.consent_declined",
        cause=N_("The consent at Microsoft was declined, so the portal may not send."),
        who=YOU,
        remedy=N_("Press Connect on this connection's page once more and accept what Microsoft asks."),
    ),
    Row(
        code="microsoft.permission_not_registered",
        cause=N_(
            "The application %(client_id)s does not have the permission that is asked for, or Exchange has no licence."
        ),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application, API permissions, Add a "
            "permission: Microsoft Graph, Mail.Send; to send by SMTP: Office 365 Exchange Online, SMTP.Send. Then "
            "Grant admin consent."
        ),
    ),
    Row(
        code="microsoft.service_not_found",
        cause=N_(
            "The organisation does not have the service that the permission is for: no Exchange, or another cloud."
        ),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Check the cloud and the scope in the form, and that the organisation has a licence with Exchange Online "
            "(Microsoft 365 admin center, Billing, Licenses)."
        ),
    ),
    Row(
        code="microsoft.scope_invalid",
        cause=N_("Microsoft does not accept the scope: it is misspelt, or names two services at once."),
        who=YOU,
        remedy=N_(
            "Leave the scope in the form empty: the portal knows the right one for Graph and for SMTP. One connection "
            "asks for one service only."
        ),
    ),
    Row(
        code="microsoft.sign_in_loop",
        cause=N_("Microsoft has seen the same request too often in a short time and makes the application wait."),
        who=NOBODY,
        remedy=N_("The portal tries again by itself. Look whether another program uses the same application."),
    ),
    Row(
        code="microsoft.sign_in_unavailable",
        cause=N_("Microsoft's sign-in is out of order for the moment."),
        who=NOBODY,
        remedy=N_("If it lasts longer than an hour, look at https://status.cloud.microsoft."),
    ),
)
