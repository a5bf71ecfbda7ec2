"""Rows for the conversation as such: servers that break the protocol, are busy, or ask to try later.

The general rows of the steps stand here too: what an unknown reply gets.
"""

from __future__ import annotations

from collections.abc import Mapping

from portal.transports import Step
from portal.transports.diagnosis_rows.row import HOST_ADMINISTRATOR, NOBODY, TEMPORARY, YOU, Row, Said
from portal.wording import N_

_REPORT = N_(
    "This is a fault of the server or of something that answers in its place. Check host and port; if they are "
    "right, show the server's words to the administrator of %(host)s."
)

ROWS = (
    Row(
        code="smtp.not_smtp",
        cause=N_("What answers at %(host)s on port %(port)s is not a mail server: no SMTP greeting came."),
        who=YOU,
        remedy=N_("Check host and port: 587 (STARTTLS), 465 (implicit TLS) or 25. Nothing was sent there."),
    ),
    Row(
        code="smtp.endless_reply",
        cause=N_("%(host)s answered with more text than any mail server needs, so the portal hung up."),
        who=HOST_ADMINISTRATOR,
        remedy=_REPORT,
    ),
    Row(
        code="smtp.line_too_long",
        cause=N_("%(host)s sent a line far longer than SMTP allows, so the portal hung up."),
        who=HOST_ADMINISTRATOR,
        remedy=_REPORT,
    ),
    Row(
        code="smtp.malformed_reply",
        cause=N_("%(host)s sent an answer that does not follow the rules of SMTP, so the portal hung up."),
        who=HOST_ADMINISTRATOR,
        remedy=_REPORT,
    ),
    Row(
        code="smtp.server_full",
        cause=N_("%(host)s has no room left to store mail."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Make room on the server's disk. The portal tries again by itself."),
        said=(Said(enhanced=("x.3.1",)),),
    ),
    Row(
        code="smtp.bad_sequence",
        cause=N_("%(host)s did not expect this command at this point of the conversation."),
        who=NOBODY,
        remedy=N_(
            "The portal tries again on a new connection. If it lasts, something between the portal and %(host)s "
            "may answer in its place: show the server's words to its administrator."
        ),
        said=(Said(codes=(503,)),),
    ),
    Row(
        code="smtp.server_busy",
        cause=N_("%(host)s is busy, shutting down, or has too many connections open, and hung up."),
        who=NOBODY,
        remedy=N_(
            "If it lasts longer than an hour, lower the connections at a time, or ask the server's administrator."
        ),
        said=(Said(codes=(421,)),),
    ),
    Row(
        code="smtp.temporary_refusal",
        cause=N_("%(host)s asks to try again later."),
        who=NOBODY,
        remedy=N_("If it lasts longer than a few hours, show the server's words to the administrator of %(host)s."),
        said=(Said(codes=TEMPORARY),),
    ),
    Row(
        code="smtp.command_refused",
        cause=N_("%(host)s does not understand a command or an address that the portal sent."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Check the addresses for unusual characters. If they are plain, the server's own words say what it "
            "stumbles over."
        ),
        said=(Said(codes=(500, 501, 502, 504, 555)),),
    ),
    Row(
        code="settings.incomplete",
        cause=N_("Something that this connection needs is missing or does not fit together."),
        who=YOU,
        remedy=N_("Fill in what the form marks, and check again."),
    ),
    Row(
        code="settings.needs_secret",
        cause=N_("The stored password or key of this connection is missing or cannot be opened any more."),
        who=YOU,
        remedy=N_(
            "Type it again and save. It is dropped when host, port or encryption change, and cannot be opened after "
            "the portal's key was replaced or the database was restored without it."
        ),
    ),
    Row(
        code="settings.consent_not_stored",
        cause=N_("The provider agreed, but the portal could not store the consent, so nothing is kept of it."),
        who=YOU,
        remedy=N_(
            "Ask for the consent once more. Does it happen again? Then run portal doctor on the portal's machine, "
            "which says what is wrong with the database."
        ),
    ),
    Row(
        code="smtp.greeting_refused",
        cause=N_("%(host)s greeted the portal with a refusal."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Let the portal's IP address in. Check also that %(host)s is the server meant for sending mail."),
    ),
    Row(
        code="smtp.ehlo_refused",
        cause=N_("%(host)s refused the portal's introduction (EHLO)."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Set the connection's EHLO name to the portal's full public host name, or let its IP address in."),
    ),
    Row(
        code="smtp.sign_in_refused",
        cause=N_("%(host)s did not let %(username)s sign in."),
        who=YOU,
        remedy=N_(
            "Read the server's own words: often the account may not send by SMTP, or needs a password made for "
            "programs. Its administrator can allow it."
        ),
    ),
    Row(
        code="smtp.recipient_refused",
        cause=N_("%(host)s did not accept the recipient."),
        who=YOU,
        remedy=N_("Read the server's own words and check the address; the administrator of %(host)s knows the rule."),
    ),
    Row(
        code="smtp.data_refused",
        cause=N_("%(host)s accepted sender and recipient but not that a message follows."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Read the server's own words; a rule or filter of the server decides this."),
    ),
    Row(
        code="smtp.content_refused",
        cause=N_("%(host)s read the message and refused it."),
        who=HOST_ADMINISTRATOR,
        remedy=N_("Read the server's own words; a filter of the server, or a rule for its senders, decides this."),
    ),
    Row(
        code="provider.refused",
        cause=N_("The provider did not allow this step."),
        who=YOU,
        remedy=N_("Read the provider's own words, and connect the account again if it asks for that."),
    ),
)

GENERAL: Mapping[Step, str] = {
    Step.SETTINGS: "settings.incomplete",
    Step.TOKEN: "provider.refused",
    Step.RESOLVE: "network.resolve_failed",
    Step.CONNECT: "network.unreachable",
    Step.TLS: "tls.handshake_failed",
    Step.GREETING: "smtp.greeting_refused",
    Step.CAPABILITIES: "smtp.ehlo_refused",
    Step.AUTHENTICATE: "smtp.sign_in_refused",
    Step.SENDER: "smtp.sender_refused",
    Step.RECIPIENT: "smtp.recipient_refused",
    Step.DATA: "smtp.data_refused",
    Step.CONTENT: "smtp.content_refused",
    Step.PERMISSIONS: "provider.refused",
    Step.MAILBOX: "provider.refused",
}
