"""Rows for signing in at Microsoft 365 (Exchange Online).

Sources: learn.microsoft.com, "Enable or disable authenticated client SMTP submission", and the
Exchange team's announcement of 27 January 2026 on Basic authentication.
"""

from __future__ import annotations

from portal.transports import Step
from portal.transports.diagnosis_rows.row import (
    AT_MICROSOFT,
    MICROSOFT_ADMINISTRATOR,
    REFUSAL,
    SIGN_IN,
    YOU,
    Provider,
    Row,
    Said,
    When,
    token,
)
from portal.wording import N_

_AT_MICROSOFT_BY_TOKEN = When(provider=Provider.MICROSOFT, signs_in_with_token=True)
_SECURITY_DEFAULTS = (Said(codes=REFUSAL, token=token("security defaults"), steps=SIGN_IN),)

ROWS = (
    Row(
        code="microsoft.smtp_auth_disabled",
        cause=N_("Sign-in by SMTP is switched off for the whole Microsoft 365 organisation, OAuth included."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Switch it on for this mailbox alone; that overrides the organisation's setting and takes up to an hour. "
            "In the Microsoft 365 admin center: Users, %(mailbox)s, Mail, Manage email apps, Authenticated SMTP. "
            "Or in Exchange Online PowerShell: "
            "Set-CASMailbox -Identity %(mailbox_argument)s -SmtpClientAuthenticationDisabled $false"
        ),
        said=(Said(codes=REFUSAL, token=token("SmtpClientAuthentication is disabled for the tenant"), steps=SIGN_IN),),
    ),
    Row(
        code="microsoft.smtp_auth_disabled",
        cause=N_("Sign-in by SMTP is switched off for the mailbox %(mailbox)s, OAuth included."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Switch it on for this mailbox; it takes up to an hour. "
            "In the Microsoft 365 admin center: Users, %(mailbox)s, Mail, Manage email apps, Authenticated SMTP. "
            "Or in Exchange Online PowerShell: "
            "Set-CASMailbox -Identity %(mailbox_argument)s -SmtpClientAuthenticationDisabled $false"
        ),
        said=(Said(codes=REFUSAL, token=token("SmtpClientAuthentication is disabled"), steps=SIGN_IN),),
    ),
    Row(
        code="microsoft.basic_auth_disabled",
        cause=N_("Basic authentication is switched off: Microsoft 365 does not let %(username)s sign in by password."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Switch Basic authentication for SMTP on again for this mailbox (its authentication policy; from the end "
            "of December 2026 on it is off by default). That is for a time only: Microsoft will remove it, so plan "
            "for OAuth sign-in or Microsoft Graph. See who blocks it in PowerShell: "
            "Get-User -Identity %(mailbox_argument)s | Format-List AuthenticationPolicy"
        ),
        said=(Said(codes=REFUSAL, token=token("basic authentication is disabled")),),
    ),
    Row(
        code="microsoft.security_defaults",
        cause=N_("The organisation's security defaults keep %(username)s from signing in by SMTP, OAuth included."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Let the connection send by Microsoft Graph, or replace the security defaults by Conditional Access "
            "policies that leave this mailbox out (Microsoft Entra admin center, Overview, Properties)."
        ),
        when=_AT_MICROSOFT_BY_TOKEN,
        said=_SECURITY_DEFAULTS,
    ),
    Row(
        code="microsoft.security_defaults",
        cause=N_("The organisation's security defaults keep %(username)s from signing in with a password."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Use OAuth sign-in or Microsoft Graph for this mailbox, or replace the security defaults by Conditional "
            "Access policies that leave it out (Microsoft Entra admin center, Overview, Properties)."
        ),
        said=_SECURITY_DEFAULTS,
    ),
    Row(
        code="microsoft.token_refused",
        cause=N_("Microsoft 365 does not accept the access token for the mailbox %(mailbox)s."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Check in this order: the user name is the mailbox's address; the token is for Exchange "
            "(https://outlook.office365.com), not for Graph; SMTP.Send or SMTP.SendAsApp is granted; an application "
            "has its service principal, made with the object ID of the enterprise application. Changes take up to "
            "an hour. An application also needs: "
            "Add-MailboxPermission -Identity %(mailbox_argument)s -User <service principal> -AccessRights FullAccess"
        ),
        when=_AT_MICROSOFT_BY_TOKEN,
        said=(
            Said(codes=(535,), enhanced=("x.7.3",), steps=SIGN_IN),
            Said(codes=REFUSAL, token=token("user credentials were incorrect"), steps=SIGN_IN),
        ),
    ),
    Row(
        code="smtp.bad_credentials",
        cause=N_("Microsoft 365 does not accept the user name %(username)s with this password."),
        who=YOU,
        remedy=N_(
            "Type user name (the full address) and password again. With multi-factor sign-in an app password is "
            "needed; a shared mailbox has no password: sign in as a user who may send as it."
        ),
        when=AT_MICROSOFT,
        said=(
            Said(codes=REFUSAL, token=token("user credentials were incorrect"), steps=SIGN_IN),
            Said(codes=(535,), enhanced=("x.7.3",), steps=SIGN_IN),
        ),
    ),
    Row(
        code="microsoft.sign_in_blocked",
        cause=N_(
            "A policy of the organisation (Conditional Access or an authentication policy) stopped the sign-in of "
            "%(username)s."
        ),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Open the user's sign-in log in the Microsoft Entra admin center: it names the policy. Leave this "
            "account out of it, or allow SMTP sign-in from the portal's address."
        ),
        said=(Said(codes=REFUSAL, enhanced=("x.7.139",), steps=SIGN_IN),),
    ),
    Row(
        code="microsoft.basic_auth_retired",
        cause=N_("Microsoft 365 takes no passwords for sending mail any more: Basic authentication is gone for good."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_("Change this connection to OAuth sign-in or to Microsoft Graph. No setting brings passwords back."),
        # 5.7.30 alone may also ask for REQUIRETLS (RFC 8689), though not where nothing was handed over yet.
        said=(
            Said(codes=REFUSAL, enhanced=("x.7.30",), steps=SIGN_IN | {Step.SENDER}),
            Said(codes=REFUSAL, token=token("basic authentication is not supported")),
        ),
    ),
    Row(
        code="smtp.auth_required",
        cause=N_("Microsoft 365 takes mail here only from those who sign in, and this connection does not."),
        who=YOU,
        remedy=N_(
            "Set the authentication to user name and password; the user name is the mailbox's address. To send "
            "without sign-in, use the organisation's own host (contoso-com.mail.protection.outlook.com, port 25) "
            "with a connector."
        ),
        when=AT_MICROSOFT,
        said=(
            Said(codes=REFUSAL, enhanced=("x.7.57",)),
            Said(codes=REFUSAL, token=token("client (was )?not authenticated to send")),
        ),
    ),
)
