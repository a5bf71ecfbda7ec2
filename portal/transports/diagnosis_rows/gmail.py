"""Rows for sending by the Gmail API.

Sources: developers.google.com, "Resolve errors" and "Usage limits" of the Gmail API; support.google.com,
"Gmail sending limits in Google Workspace".
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import GOOGLE_ADMINISTRATOR, MAILBOX_OWNER, NOBODY, YOU, Row
from portal.wording import N_

ROWS = (
    Row(
        code="gmail.token_refused",
        cause=N_("Gmail does not accept the access token of %(mailbox)s, not even a new one."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Press Connect on this connection's page and sign in as %(mailbox)s. If that does not help, look whether "
            "the account may still use Gmail."
        ),
    ),
    Row(
        code="gmail.api_disabled",
        cause=N_("The Gmail API is switched off in the Google Cloud project of the client %(client_id)s."),
        who=YOU,
        remedy=N_(
            "Open https://console.cloud.google.com/apis/library/gmail.googleapis.com?project=%(google_project)s and "
            "press Enable. It takes some minutes to act; the portal tries again by itself."
        ),
    ),
    Row(
        code="gmail.domain_policy",
        cause=N_("The rules of your Google Workspace do not let applications use the Gmail API."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_(
            "In the Admin console (admin.google.com) open Security, Access and data control, API controls, Manage app "
            "access, add the client ID %(client_id)s and mark it as Trusted."
        ),
    ),
    Row(
        code="gmail.mail_not_enabled",
        cause=N_("The account %(mailbox)s has no Gmail: the service is off for it, or it is no user's account."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_(
            "In the Admin console (admin.google.com) open Apps, Google Workspace, Gmail, Service status, and switch it "
            "on for the account; it also needs a licence. A service account needs a user's mailbox to send as."
        ),
    ),
    Row(
        code="gmail.rate_limited",
        cause=N_("The portal sends faster than the Gmail API allows: about 60 messages a minute for one account."),
        who=NOBODY,
        remedy=N_("Set the connection's messages per minute to 50 or less if it comes back."),
    ),
    Row(
        code="gmail.sending_limit",
        cause=N_("%(mailbox)s has sent all that Gmail allows in 24 hours: 2,000 messages, or 500 without Workspace."),
        who=NOBODY,
        remedy=N_(
            "Gmail opens the account again within 24 hours and the portal tries by itself. For more mail, use the SMTP "
            "relay of Google Workspace (smtp-relay.gmail.com) or another account."
        ),
    ),
    Row(
        code="gmail.project_quota",
        cause=N_("The Google Cloud project of the client %(client_id)s has used up its requests to the Gmail API."),
        who=YOU,
        remedy=N_(
            "Wait until the next day, or raise the quota: "
            "https://console.cloud.google.com/apis/api/gmail.googleapis.com/quotas?project=%(google_project)s"
        ),
    ),
    Row(
        code="gmail.recipients_refused",
        cause=N_(
            "Gmail does not accept the recipients: an address is malformed, or there are too many for one message."
        ),
        who=YOU,
        remedy=N_("Correct the address that Gmail names. One message may have 100 recipients."),
    ),
    Row(
        code="gmail.message_too_large",
        cause=N_("The message is larger than Gmail takes: 35 MB, of which attachments can be about 25 MB."),
        who=YOU,
        remedy=N_("Send fewer or smaller attachments, or a link to them; attachments grow by a third on their way."),
    ),
    Row(
        code="gmail.message_refused",
        cause=N_("Gmail read the message and refused it."),
        who=YOU,
        remedy=N_("Read Gmail's own words: they name what it stumbles over."),
    ),
    Row(
        code="gmail.refused",
        cause=N_("Gmail does not let the portal send as %(mailbox)s."),
        who=GOOGLE_ADMINISTRATOR,
        remedy=N_(
            "Read Gmail's own words. The usual reasons are a rule of the organisation (Admin console, Security, API "
            "controls) and an account that may not use Gmail."
        ),
    ),
    Row(
        code="gmail.unavailable",
        cause=N_("Gmail is out of order for the moment."),
        who=NOBODY,
        remedy=N_("If it lasts longer than an hour, look at https://www.google.com/appsstatus."),
    ),
    Row(
        code="gmail.from_rewritten",
        cause=N_("Gmail writes %(mailbox)s into the From line in place of %(sender)s, unless that is an alias of it."),
        who=MAILBOX_OWNER,
        remedy=N_(
            "Use %(mailbox)s as From address, or add %(sender)s in Gmail as %(mailbox)s: Settings, See all settings, "
            "Accounts, Send mail as."
        ),
    ),
)
