"""Rows for who receives: unknown, full, closed or flooded mailboxes, and too many at once."""

from __future__ import annotations

from portal.transports import Step
from portal.transports.diagnosis_rows.row import NOBODY, PERMANENT, REFUSAL, YOU, Row, Said, token
from portal.wording import N_

_RECEIVING = frozenset({Step.RECIPIENT, Step.DATA, Step.CONTENT})

ROWS = (
    Row(
        code="smtp.too_many_recipients",
        cause=N_("%(host)s does not take so many recipients for one message."),
        who=NOBODY,
        remedy=N_("The portal sends the message to the remaining recipients in further parts."),
        said=(
            Said(codes=REFUSAL, enhanced=("x.5.3",)),
            Said(codes=REFUSAL, token=token("too many recipients")),
        ),
    ),
    Row(
        code="smtp.recipient_mailbox_full",
        cause=N_("The recipient's mailbox is full."),
        who=YOU,
        remedy=N_("Tell the recipient by another way to make room; after that, send the message again."),
        said=(
            Said(codes=REFUSAL, enhanced=("x.2.2",), steps=_RECEIVING),
            Said(codes=REFUSAL, token=token("(mailbox|user|account) (is )?(full|over ?quota)", "over (the )?quota")),
        ),
    ),
    Row(
        code="smtp.recipient_rate_limited",
        cause=N_("The recipient's mailbox gets more mail at the moment than its server lets in."),
        who=NOBODY,
        remedy=N_("If one recipient is meant to get this much, spread the messages over more time."),
        said=(Said(codes=REFUSAL, token=token("receiving (mail|email|messages) (at a rate|too (quickly|fast))")),),
    ),
    Row(
        code="smtp.recipient_disabled",
        cause=N_("The recipient's mailbox exists but is closed."),
        who=YOU,
        remedy=N_("Ask the recipient for another address; the mailbox's own administrator can open it again."),
        said=(
            Said(codes=REFUSAL, enhanced=("x.2.1",), steps=_RECEIVING),
            Said(codes=PERMANENT, token=token("(account|mailbox|user) (is |has been )?(disabled|inactive|suspended)")),
        ),
    ),
    Row(
        code="smtp.recipient_domain_unknown",
        cause=N_("The domain of the recipient's address does not exist or takes no mail."),
        who=YOU,
        remedy=N_("Correct the part of the address after the @."),
        said=(
            Said(codes=PERMANENT, enhanced=("x.1.2",), steps=_RECEIVING),
            Said(
                codes=PERMANENT,
                token=token(
                    "recipient address rejected:? domain not found",
                    "(recipient domain|no such domain|domain (not found|does not exist))",
                    "unrouteable",
                ),
                steps=_RECEIVING,
            ),
        ),
    ),
    Row(
        code="smtp.recipient_unknown",
        cause=N_("There is no mailbox with the recipient's address."),
        who=YOU,
        remedy=N_(
            "Correct the address, or ask the recipient for the current one; sending again does not help. In a check "
            "the recipient is the connection's own From address."
        ),
        said=(
            Said(codes=PERMANENT, enhanced=("x.1.1", "x.1.3", "x.1.6", "x.1.10"), steps=_RECEIVING),
            Said(
                codes=PERMANENT,
                token=token(
                    "(user|recipient|mailbox|account|address) (is )?(unknown|not found|does(n't| not) exist)",
                    "(unknown|no such|invalid|nonexistent) (user|recipient|mailbox|account|address)",
                    "recipient (address )?rejected",
                    "no mailbox",
                ),
                steps=_RECEIVING,
            ),
            # RFC 5321 gives this wording for 550 in general; only here it surely speaks of the recipient.
            Said(codes=PERMANENT, token=token("mailbox unavailable"), steps=frozenset({Step.RECIPIENT})),
        ),
    ),
)
