"""Rows for Microsoft's sign-in (AADSTS numbers), second part: accounts, their grants, and policies for them.

Source: learn.microsoft.com, "Microsoft Entra authentication and authorization error codes".
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import MICROSOFT_ADMINISTRATOR, YOU, Row
from portal.wording import N_

_START_AGAIN = N_("Press Connect on this connection's page once more and finish within ten minutes, in one browser.")

ROWS = (
    Row(
        code="microsoft.grant_dead",
        cause=N_("The consent of %(mailbox)s has ended: password changed, sessions revoked, or consent withdrawn."),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page and sign in as %(mailbox)s. Waiting messages leave by themselves "
            "afterwards."
        ),
    ),
    Row(
        code="microsoft.grant_unused",
        cause=N_("The consent of %(mailbox)s has ended because it was not used for 90 days."),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page and sign in as %(mailbox)s. While the portal runs it renews the "
            "consent by itself."
        ),
    ),
    Row(
        code="microsoft.sign_in_expired",
        cause=N_(
            "The organisation's rules want %(mailbox)s to sign in again from time to time, and that time is over."
        ),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Press Connect on this connection's page. To end the repetition, leave the account out of the sign-in "
            "frequency (Microsoft Entra admin center, Entra ID, Conditional Access, Session), or use an application "
            "with its own permission."
        ),
    ),
    Row(
        code="microsoft.mfa_needed",
        cause=N_("Microsoft wants a second factor of %(mailbox)s, which only a person can give."),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page, sign in as %(mailbox)s and confirm with the second factor; if "
            "none is set up yet, at https://mysignins.microsoft.com/security-info."
        ),
    ),
    Row(
        code="microsoft.conditional_access",
        cause=N_("A rule of the organisation (Conditional Access) does not let the portal sign in."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "The Microsoft Entra admin center names the rule: Entra ID, Monitoring & health, Sign-in logs, the "
            "sign-in, Conditional Access. Leave the application %(client_id)s or the account out of it, or add the "
            "portal's public IP address to the trusted locations."
        ),
    ),
    Row(
        code="microsoft.device_needed",
        cause=N_("A rule of the organisation wants a device that it manages, or an approved app, for this sign-in."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Give the consent on a managed device. If renewing fails too, leave the application %(client_id)s out of "
            "the rule: Microsoft Entra admin center, Entra ID, Conditional Access."
        ),
    ),
    Row(
        code="microsoft.security_defaults_refuse",
        cause=N_("The organisation's security defaults stopped this sign-in."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Use Microsoft Graph for this connection, or replace the security defaults by Conditional Access: "
            "Microsoft Entra admin center, Entra ID, Overview, Properties, Manage security defaults."
        ),
    ),
    Row(
        code="microsoft.tenant_restricted",
        cause=N_("A rule between organisations (cross-tenant access) does not let this account use the application."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Use an account of the organisation itself, or allow it in the Microsoft Entra admin center: Entra ID, "
            "External Identities, Cross-tenant access settings."
        ),
    ),
    Row(
        code="microsoft.assignment_required",
        cause=N_("Only people who are assigned to the application %(client_id)s may use it, and this account is not."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open Enterprise apps, the application, Users and groups, and add the "
            "account."
        ),
    ),
    Row(
        code="microsoft.foreign_account",
        cause=N_("The account that signed in belongs to another organisation, and is no guest of this one."),
        who=YOU,
        remedy=N_(
            "Connect again with an account of this organisation: choose Use another account on Microsoft's page, or a "
            "private window."
        ),
    ),
    Row(
        code="microsoft.wrong_kind_of_account",
        cause=N_(
            "A personal Microsoft account was used where the application takes work accounts only, or the reverse."
        ),
        who=YOU,
        remedy=N_(
            "Sign in with the other kind of account, or change who may use the application: Microsoft Entra admin "
            "center, App registrations, the application, Authentication, Supported account types."
        ),
    ),
    Row(
        code="microsoft.account_not_found",
        cause=N_("Microsoft knows no such account in the tenant %(tenant)s."),
        who=YOU,
        remedy=N_("Check the spelling of the account, and that the tenant in the form is its organisation."),
    ),
    Row(
        code="microsoft.account_locked",
        cause=N_("Microsoft has locked the account for a while: too many failed sign-ins, or a suspicious address."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Wait, or unlock it in the Microsoft Entra admin center: Users, the account, Sign-in logs names the "
            "reason. Look which program still uses an old password."
        ),
    ),
    Row(
        code="microsoft.account_disabled",
        cause=N_("The account is switched off in Microsoft 365."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Allow its sign-in in the Microsoft 365 admin center: Users, Active users, the account, Unblock sign-in."
        ),
    ),
    Row(
        code="microsoft.password_expired",
        cause=N_("The password of the account has expired."),
        who=YOU,
        remedy=N_("Sign in once at https://outlook.office.com and choose a new password, then connect again."),
    ),
    Row(
        code="microsoft.wrong_password",
        cause=N_("The user name or the password that was typed on Microsoft's page is wrong."),
        who=YOU,
        remedy=N_("Connect again and type both anew; a forgotten password is reset from Microsoft's page."),
    ),
    Row(
        code="microsoft.wrong_account",
        cause=N_("The account that gave its consent is not %(mailbox)s, the mailbox of this connection."),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page and choose %(mailbox)s on Microsoft's page, or enter the account "
            "that consented as the mailbox in the form. To send as another address, set that as the From address."
        ),
    ),
    Row(
        code="microsoft.code_refused",
        cause=N_("Microsoft did not accept the answer of the consent: it was used before, or is too old."),
        who=YOU,
        remedy=_START_AGAIN,
    ),
    Row(
        code="microsoft.flow_mixed_up",
        cause=N_("The answer of the consent belongs to another start of it."),
        who=YOU,
        remedy=_START_AGAIN,
    ),
    Row(
        code="microsoft.tenant_mismatch",
        cause=N_("The consent was given in another organisation than the tenant %(tenant)s of the form."),
        who=YOU,
        remedy=N_("Connect again with an account of that organisation, or correct the tenant in the form."),
    ),
    Row(
        code="microsoft.device_code_expired",
        cause=N_("The code to type at Microsoft was not used in time."),
        who=YOU,
        remedy=N_("Start again and type the new code within 15 minutes."),
    ),
)
