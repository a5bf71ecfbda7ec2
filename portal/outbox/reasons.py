"""Sentences for what the outbox itself has to tell of a delivery, by stable code."""

from __future__ import annotations

from portal.outbox.states import HeldReason
from portal.wording import N_, Text

WORKER_LOST = "outbox.worker_lost"
ANSWER_LOST = "outbox.answer_lost"
UNREADABLE = "outbox.unreadable"
ERASED = "outbox.erased"
MALFORMED = "outbox.malformed"
UNEXPECTED = "outbox.unexpected"
NO_WAY_OUT = "outbox.no_way_out"
OUTGROWN = "outbox.too_much_for_fallback"
SENDER_REFUSED = "outbox.sender_refused"

_BY_CODE: dict[str, Text] = {
    WORKER_LOST: N_("The worker stopped while it was sending this message, so it is not known whether it left."),
    ANSWER_LOST: N_("The message was handed over, but the server's answer was lost."),
    UNREADABLE: N_(
        "The stored message cannot be opened with this portal's key. "
        "An administrator can bring back the key it was stored with, and release the message."
    ),
    ERASED: N_("The stored message was erased before it could be sent. Send it again as a new message."),
    MALFORMED: N_("The message is not well formed and was not sent. Whoever composed it has to compose it anew."),
    UNEXPECTED: N_(
        "The portal met an unexpected error while sending. It is tried again; "
        "the log names the error under this message's number."
    ),
    OUTGROWN: N_(
        "The fallback cannot carry this message. It waits for a connection that can, which does not work now, until it "
        "expires. An administrator can mend that connection under Connections."
    ),
    SENDER_REFUSED: N_(
        "The connection is known to refuse this From address, so the message was not tried. It waits until it expires. "
        "An administrator can change what is known under Servers, Senders."
    ),
    NO_WAY_OUT: N_("There was no connection to send this message by. An administrator can connect one."),
}
_BY_HELD_REASON: dict[HeldReason, Text] = {
    HeldReason.SWITCHED_OFF: N_("Sending is switched off. An administrator can switch it on under Email settings."),
    HeldReason.CRASHES_WORKER: N_(
        "The worker stopped three times while it was sending this message. "
        "An administrator can release the message to try it again, or cancel it."
    ),
    HeldReason.NO_ANSWER: N_(
        "The server's answer to this message was lost three times, so it may have arrived more than once. "
        "An administrator can ask the recipient, and cancel the message or release it."
    ),
    HeldReason.UNREADABLE: _BY_CODE[UNREADABLE],
}


def reason_for(code: str) -> Text | None:
    """The sentence for a code of the outbox's own; None for codes of the ways out."""
    return _BY_CODE.get(code)


def reason_for_hold(held_reason: str) -> Text:
    """Why a held delivery waits, who can mend it, and how."""
    return _BY_HELD_REASON[HeldReason(held_reason)]
