"""Rows for sending by Microsoft 365 (Exchange Online): senders, limits, blocks, relays.

Sources: learn.microsoft.com, "Exchange Online limits" and "Fix NDR errors".
"""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import (
    AT_MICROSOFT,
    MICROSOFT_ADMINISTRATOR,
    NOBODY,
    REFUSAL,
    YOU,
    Row,
    Said,
    token,
)
from portal.wording import N_

ROWS = (
    Row(
        code="microsoft.send_as_denied",
        cause=N_("Microsoft 365 does not let %(username)s send as %(sender)s."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Use the mailbox's own address as From address, or give the right, which takes up to an hour, in Exchange "
            "Online PowerShell: Add-RecipientPermission -Identity %(sender_argument)s "
            "-Trustee %(mailbox_argument)s -AccessRights SendAs"
        ),
        said=(
            Said(codes=REFUSAL, enhanced=("x.7.60", "x.2.252")),
            Said(codes=REFUSAL, token=token("SendAsDenied", "permissions to send as this sender")),
        ),
    ),
    Row(
        code="microsoft.daily_limit",
        cause=N_("The mailbox %(mailbox)s has reached Microsoft 365's limit of 10,000 recipients in 24 hours."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Wait: the limit runs out within 24 hours. If the portal cannot have sent that much, the account may be "
            "misused: change its password. For more mail, use Azure Communication Services."
        ),
        said=(
            Said(codes=REFUSAL, token=token("SubmissionQuotaExceeded")),
            Said(codes=REFUSAL, enhanced=("x.2.2",), token=token("submission quota")),
        ),
    ),
    Row(
        code="microsoft.too_many_connections",
        cause=N_("Microsoft 365 allows three connections at a time for one mailbox, and %(mailbox)s has more."),
        who=YOU,
        remedy=N_(
            "Set the connections at a time to 3 or less. If other programs send by the same mailbox, "
            "give the portal one of its own."
        ),
        said=(Said(codes=REFUSAL, token=token("sender thread limit", "concurrent connections limit")),),
    ),
    Row(
        code="microsoft.rate_limited",
        cause=N_("The mailbox %(mailbox)s sends more than the 30 messages a minute that Microsoft 365 allows."),
        who=YOU,
        remedy=N_("Set the connection's messages per minute to 30 or less. The portal tries again by itself."),
        said=(Said(codes=REFUSAL, token=token("submission rate for this client")),),
    ),
    Row(
        code="microsoft.mailbox_blocked",
        cause=N_("Microsoft 365 has blocked %(mailbox)s from sending: it took its mail for spam."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Find out what was sent and change the password. Then lift the block in the Microsoft Defender portal: "
            "Email & collaboration, Review, Restricted entities."
        ),
        said=(Said(codes=REFUSAL, token=token("bad outbound sender")),),
    ),
    Row(
        code="microsoft.account_banned",
        cause=N_("Microsoft 365 has banned the account behind %(mailbox)s from sending: its mail looked like spam."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Only Microsoft lifts this: open a support case from the Microsoft 365 admin center with the reply. Find "
            "out before what was sent, and change the password."
        ),
        said=(Said(codes=REFUSAL, enhanced=("x.7.501", "x.7.502", "x.7.503", "x.7.511")),),
    ),
    Row(
        code="microsoft.tenant_blocked",
        cause=N_("Microsoft 365 has stopped the whole organisation from sending outside: too much looked like spam."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Find the account that sends spam and close it, then ask Microsoft's support to lift the block. New "
            "organisations have low limits at first."
        ),
        said=(Said(codes=REFUSAL, enhanced=("x.7.705",)),),
    ),
    Row(
        code="microsoft.address_not_accepted",
        cause=N_("Microsoft 365 takes no mail of this organisation from the IP address that it came from."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "This is usual for new and trial organisations: buy a licence or ask Microsoft's support, with the "
            "reply, to accept the address."
        ),
        said=(Said(codes=REFUSAL, enhanced=("x.7.708",)),),
    ),
    Row(
        code="microsoft.unregistered_domain",
        cause=N_("The domain %(domain)s is not registered with the Microsoft 365 organisation that sends."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Add and verify %(domain)s in the Microsoft 365 admin center (Settings, Domains), or use a From address "
            "of a verified domain."
        ),
        said=(Said(codes=REFUSAL, enhanced=("x.7.750",)),),
    ),
    Row(
        code="microsoft.external_recipient_limit",
        cause=N_("The organisation has written to as many outside recipients in 24 hours as its licences allow."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_("Wait up to 24 hours, send less to the outside, or use Azure Communication Services for bulk mail."),
        said=(Said(codes=REFUSAL, enhanced=("x.7.232", "x.7.233")),),
    ),
    Row(
        code="microsoft.connector_mismatch",
        cause=N_("Microsoft 365 does not recognise the portal: no connector matches its IP address or certificate."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "In the Exchange admin center, under Mail flow, Connectors, add the portal's public IP address to the "
            "connector from your organisation's server, or make one."
        ),
        said=(
            Said(codes=REFUSAL, enhanced=("x.7.64",)),
            Said(codes=REFUSAL, token=token("TenantAttribution")),
        ),
    ),
    Row(
        code="microsoft.direct_send_refused",
        cause=N_("The organisation refuses mail in its own name without sign-in (Reject Direct Send is on)."),
        who=MICROSOFT_ADMINISTRATOR,
        remedy=N_(
            "Make a connector for the portal's public IP address in the Exchange admin center, or let the connection "
            "sign in at smtp.office365.com."
        ),
        said=(
            Said(codes=REFUSAL, enhanced=("x.7.68",)),
            Said(codes=REFUSAL, token=token("direct send not allowed")),
        ),
    ),
    Row(
        code="microsoft.server_busy",
        cause=N_("Microsoft 365 is busy, or slows down mail that it finds suspicious."),
        who=NOBODY,
        remedy=N_("If it lasts longer than a day, your Microsoft 365 administrator asks Microsoft, with the reply."),
        when=AT_MICROSOFT,
        said=(Said(codes=(421, 451), enhanced=("4.3.2", "4.7.0", "4.7.500")),),
    ),
)
