"""Rows for sending by Microsoft Graph.

Sources: learn.microsoft.com, "user: sendMail", "Microsoft Graph error responses", "Microsoft Graph throttling
guidance" and "Role Based Access Control for Applications in Exchange Online".
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import MICROSOFT_ADMINISTRATOR, NOBODY, YOU, Row
from portal.wording import N_

ROWS = (
    Row(
        code="graph.token_refused",
        cause=N_("Microsoft Graph does not accept the access token of this connection, not even a new one."),
        who=YOU,
        remedy=N_(
            "Press Connect on this connection's page and sign in again. If that does not help, check that the cloud in "
            "the form is the organisation's (global, US Government, China)."
        ),
    ),
    Row(
        code="graph.claims_challenge",
        cause=N_("A rule of the organisation (Conditional Access) wants a new sign-in before Microsoft Graph goes on."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Press Connect on this connection's page and sign in again. If it comes back, leave %(mailbox)s or the "
            "application out of the rule: Microsoft Entra admin center, Entra ID, Conditional Access."
        ),
    ),
    Row(
        code="graph.wrong_audience",
        cause=N_("The access token is for another service than Microsoft Graph, or for another cloud."),
        who=YOU,
        remedy=N_(
            "Check the cloud in the form, and leave the scope empty or set it to "
            "https://graph.microsoft.com/Mail.Send; for an application alone it is "
            "https://graph.microsoft.com/.default."
        ),
    ),
    Row(
        code="graph.mail_send_missing",
        cause=N_("The consent of %(mailbox)s does not include the permission Mail.Send."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Microsoft Entra admin center open App registrations, the application %(client_id)s, API "
            "permissions, Add a permission, Microsoft Graph, Delegated permissions: Mail.Send. Then press Connect on "
            "this connection's page."
        ),
    ),
    Row(
        code="graph.sends_as_everybody",
        cause=N_("The application %(client_id)s may send as every mailbox of the organisation."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Limit it to this mailbox, in Exchange Online PowerShell: "
            "New-ServicePrincipal -AppId %(client_id_argument)s -ObjectId <object ID of the enterprise application>; "
            "New-ManagementScope -Name 'Mail Portal' -RecipientRestrictionFilter %(mailbox_filter)s; "
            "New-ManagementRoleAssignment -App %(client_id_argument)s -Role 'Application Mail.Send' "
            "-CustomResourceScope 'Mail Portal'. The steps in the connection's form hold the same commands, with the "
            "object ID and your cloud filled in. Only then take Mail.Send away in the Microsoft Entra admin center "
            "(App registrations, the application, API permissions), since rights add up. Test it with "
            "Test-ServicePrincipalAuthorization -Identity %(client_id_argument)s -Resource %(mailbox_argument)s; it "
            "acts within two hours."
        ),
    ),
    Row(
        code="graph.rights_not_visible",
        cause=N_("Whether this connection may send as %(mailbox)s cannot be read from its access token."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "That is as it should be where the right comes from Exchange's RBAC for Applications. A test message "
            "tells, or in Exchange Online PowerShell: Test-ServicePrincipalAuthorization -Identity "
            "%(client_id_argument)s -Resource %(mailbox_argument)s"
        ),
    ),
    Row(
        code="graph.mailbox_not_readable",
        cause=N_("The portal may not look the mailbox %(mailbox)s up; for sending that right is not needed."),
        who=YOU,
        remedy=N_("Check the spelling of the mailbox and send a test message: it shows whether the mailbox is there."),
    ),
    Row(
        code="graph.access_denied",
        cause=N_("Microsoft Graph does not let this connection send as %(mailbox)s."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Either the permission is missing: Microsoft Entra admin center, App registrations, the application "
            "%(client_id)s, API permissions, Microsoft Graph, Mail.Send, Grant admin consent. Or the mailbox is "
            "outside what the application may use; this tells, in Exchange Online PowerShell: "
            "Test-ServicePrincipalAuthorization -Identity %(client_id_argument)s -Resource %(mailbox_argument)s. "
            "Changes take 30 minutes to two hours."
        ),
    ),
    Row(
        code="graph.policy_blocks",
        cause=N_("A policy of the organisation keeps this application from the mailbox %(mailbox)s."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "See which policy it is, in Exchange Online PowerShell: Test-ApplicationAccessPolicy -AppId "
            "%(client_id_argument)s -Identity %(mailbox_argument)s. Add the mailbox to its group, or replace the "
            "policy by RBAC for Applications. A mailbox on your own Exchange server cannot be used."
        ),
    ),
    Row(
        code="graph.directory_permission_missing",
        cause=N_("The application may not read this entry of the directory."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Sending does not need it. To use what does, open the Microsoft Entra admin center, App registrations, the "
            "application %(client_id)s, API permissions: User.Read.All to look mailboxes up, Application.Read.All to "
            "read when the secret expires; then Grant admin consent."
        ),
    ),
    Row(
        code="graph.send_as_denied",
        cause=N_("Microsoft 365 does not let %(mailbox)s send as %(sender)s."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Use the mailbox's own address as From address, or give the right, which takes up to an hour, in Exchange "
            "Online PowerShell: Add-RecipientPermission -Identity %(sender_argument)s -Trustee %(mailbox_argument)s "
            "-AccessRights SendAs. A person's consent then needs Mail.Send.Shared, too."
        ),
    ),
    Row(
        code="graph.sends_as_another",
        cause=N_("Mail is from %(sender)s, which is not the address of %(mailbox)s, the mailbox that sends it."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "That takes the right “Send as”, and a test message shows whether it is there. Where it is not, use the "
            "mailbox's own address as From address, here or under Email settings, or give the right, which takes up to "
            "an hour, in Exchange Online PowerShell: Add-RecipientPermission -Identity %(sender_argument)s -Trustee "
            "%(mailbox_argument)s -AccessRights SendAs"
        ),
    ),
    Row(
        code="graph.mailbox_not_found",
        cause=N_("Microsoft 365 knows no mailbox %(mailbox)s in this organisation."),
        who=YOU,
        remedy=N_(
            "Correct the mailbox in the connection's form: its main address stands in the Microsoft 365 admin center, "
            "Users, Active users. Check also that the tenant in the form is this organisation's."
        ),
    ),
    Row(
        code="graph.mailbox_not_enabled",
        cause=N_("%(mailbox)s has no mailbox in Exchange Online: no licence, not set up yet, or on your own server."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Give the account a licence with Exchange Online (Microsoft 365 admin center, Users, Active users, "
            "Licenses and apps) and wait until the mailbox is set up, or use a shared mailbox. A mailbox on your own "
            "Exchange server is reached by SMTP."
        ),
    ),
    Row(
        code="graph.mailbox_blocked",
        cause=N_("Microsoft 365 has stopped %(mailbox)s from sending, because its mail looked like misuse."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Sign in to the mailbox at https://outlook.office.com and follow what it asks. Then lift the block in the "
            "Microsoft Defender portal: Email & collaboration, Review, Restricted entities."
        ),
    ),
    Row(
        code="graph.mailbox_full",
        cause=N_("The mailbox %(mailbox)s is full, so Microsoft 365 cannot keep what it sends."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Empty its folders Sent Items and Deleted Items at https://outlook.office.com, or enlarge it. A rule can "
            "delete old sent mail: Microsoft Purview portal, Data lifecycle management, retention policies."
        ),
    ),
    Row(
        code="graph.recipients_refused",
        cause=N_(
            "Microsoft 365 does not accept a recipient of the message: an address is malformed or cannot be found."
        ),
        who=YOU,
        remedy=N_("Correct the recipients' addresses."),
    ),
    Row(
        code="graph.message_too_large",
        cause=N_("The message is larger than Microsoft Graph takes at once: 4 MB, attachments of about 2 MB."),
        who=YOU,
        remedy=N_(
            "Send smaller attachments or a link to them. Larger ones can go by upload: that needs the permission "
            "Mail.ReadWrite (Microsoft Entra admin center, App registrations, the application %(client_id)s, API "
            "permissions; where a person consents, in the field Scope, too). Or send through smtp.office365.com, which "
            "takes more."
        ),
    ),
    Row(
        code="graph.message_refused",
        cause=N_("Microsoft 365 read the message and refused it."),
        who=YOU,
        remedy=N_("Read Microsoft's own words: they name what it stumbles over."),
    ),
    Row(
        code="graph.sending_limit",
        cause=N_(
            "%(mailbox)s has sent all that Microsoft 365 allows: 10,000 recipients in 24 hours, 30 messages a minute."
        ),
        who=NOBODY,
        remedy=N_(
            "The limit runs out by itself and the portal tries again. If the portal cannot have sent that much, the "
            "account may be misused: change its password. For more mail, use Azure Communication Services."
        ),
    ),
    Row(
        code="graph.throttled",
        cause=N_("Microsoft Graph asks the portal to slow down."),
        who=NOBODY,
        remedy=N_("If it comes back, set the connections at a time to 4 or less and the messages per minute to 30."),
    ),
    Row(
        code="graph.unavailable",
        cause=N_("Microsoft Graph is out of order for the moment."),
        who=NOBODY,
        remedy=N_(
            "If it lasts longer than an hour, look at the Microsoft 365 admin center, Health, Service health, or at "
            "https://status.cloud.microsoft."
        ),
    ),
    Row(
        code="graph.refused",
        cause=N_("Microsoft Graph refused the request."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_("Read Microsoft's own words; with the request-id Microsoft's support can find what happened."),
    ),
)
