"""Rows for the message itself: its size, its characters, its header, and what the server thinks of it."""

from __future__ import annotations

from portal.transports.diagnosis_rows.row import (
    HAND_OVER,
    HOST_ADMINISTRATOR,
    NOBODY,
    PERMANENT,
    REFUSAL,
    TRANSACTION,
    YOU,
    Row,
    Said,
    token,
)
from portal.wording import N_

ROWS = (
    Row(
        code="smtp.message_too_large",
        cause=N_("The message is larger than %(host)s accepts."),
        who=YOU,
        remedy=N_(
            "Send fewer or smaller attachments, or a link to them; attachments grow by a third on their way. The "
            "administrator of %(host)s can raise the limit."
        ),
        said=(
            Said(codes=REFUSAL, enhanced=("x.3.4", "x.2.3"), steps=TRANSACTION),
            Said(
                codes=REFUSAL,
                token=token(
                    "message (size )?(is )?too (big|large|long)",
                    "(exceeds|exceeded) .{0,40}(message )?size",
                    "size (limit )?exceed",
                ),
                steps=TRANSACTION,
            ),
            Said(codes=(552,), token=token("size"), steps=TRANSACTION),
        ),
    ),
    Row(
        code="smtp.smtputf8_missing",
        cause=N_("An address of the message holds letters beyond ASCII, and %(host)s does not take such addresses."),
        who=YOU,
        remedy=N_("Use an address in plain letters, or a server that offers SMTPUTF8 (RFC 6531)."),
        said=(
            Said(codes=REFUSAL, enhanced=("x.6.7", "x.6.9", "x.6.10")),
            Said(codes=REFUSAL, token=token("smtputf8"), steps=TRANSACTION),
        ),
    ),
    Row(
        code="smtp.8bitmime_missing",
        cause=N_("The message holds bytes beyond ASCII as they are, and %(host)s takes messages in ASCII only."),
        who=YOU,
        remedy=N_(
            "The program that made the message must encode it as quoted-printable or base64. A server that offers "
            "8BITMIME (RFC 6152) takes it as it is."
        ),
    ),
    Row(
        code="smtp.bad_address",
        cause=N_("An address of the message holds a character that no address may hold; nothing was sent."),
        who=YOU,
        remedy=N_("Correct the address: spaces, angle brackets and control characters are not allowed in it."),
    ),
    Row(
        code="smtp.bare_newline",
        cause=N_("The message holds a line break that is not CR LF; servers refuse that to prevent smuggled mail."),
        who=YOU,
        remedy=N_("The program that made the message must end each line with CR LF (RFC 5321 2.3.8)."),
        said=(
            Said(codes=REFUSAL, enhanced=("x.6.11",)),
            Said(codes=REFUSAL, token=token("bare <?(cr|lf|newline|line ?feed|carriage return)"), steps=HAND_OVER),
        ),
    ),
    Row(
        code="smtp.from_header_invalid",
        cause=N_("%(host)s finds no valid From line in the message."),
        who=YOU,
        remedy=N_("Correct the From address and display name; exactly one From address is allowed."),
        said=(
            Said(codes=REFUSAL, enhanced=("x.7.512",)),
            Said(
                codes=REFUSAL,
                token=token("(missing|invalid|multiple|duplicate|no valid) .{0,30}from:? ?(header|address|line|field)"),
                steps=HAND_OVER,
            ),
        ),
    ),
    Row(
        code="smtp.judged_spam",
        cause=N_("%(host)s takes the message for spam or finds something harmful in it."),
        who=HOST_ADMINISTRATOR,
        remedy=N_(
            "Ask what its filter objects to. Links to odd places, attachments that can be run, and a From "
            "domain without SPF and DKIM are the usual reasons."
        ),
        said=(
            Said(
                codes=PERMANENT,
                token=token("\\bspam", "unsolicited", "virus", "malware", "content (was |is )?(rejected|blocked)"),
                steps=TRANSACTION,
            ),
        ),
    ),
    Row(
        code="smtp.no_valid_recipients",
        cause=N_("%(host)s has accepted none of the recipients, so there is nothing to hand over."),
        who=YOU,
        remedy=N_("Look at what the server said to each recipient, and correct the addresses."),
        said=(Said(codes=PERMANENT, token=token("no valid recipients", "valid RCPT command must precede")),),
    ),
    Row(
        code="smtp.reply_lost",
        cause=N_("The connection ended before %(host)s confirmed the message: whether it took it is not known."),
        who=YOU,
        remedy=N_(
            "Look whether the message arrived, or in the server's list of sent mail, before you send it again: it "
            "may go out twice."
        ),
    ),
    Row(
        code="smtp.rate_limited",
        cause=N_("The portal sent faster than %(host)s allows."),
        who=NOBODY,
        remedy=N_("Lower the connection's messages per minute or its connections at a time to what the server allows."),
        said=(
            Said(
                codes=REFUSAL,
                token=token(
                    "rate (limit|is limited)",
                    "throttl",
                    "sending rate",
                    "too many (messages|mails|emails|connections|concurrent)",
                    "slow down",
                    "exceeded .{0,40}\\brate\\b",
                ),
            ),
        ),
    ),
    Row(
        code="smtp.quota_reached",
        cause=N_("The account's allowance of messages at %(host)s is used up for now."),
        who=YOU,
        remedy=N_(
            "Wait until the provider's next day or month begins, or raise the allowance there. Waiting messages "
            "leave by themselves as long as they have not expired."
        ),
        said=(
            Said(codes=PERMANENT, enhanced=("x.4.5",)),
            Said(
                codes=REFUSAL,
                token=token(
                    "(daily|hourly|monthly|message|sending) (message |sending |sent )?(quota|limit)",
                    "(credits|quota) exceeded",
                ),
            ),
        ),
    ),
)
