"""What outcomes say of the way out by which they came: that it works, that it does not, whose sending it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from portal.outbox.contents import envelope_sender
from portal.outbox.outcomes import Outcome
from portal.outbox.pauses import Pause
from portal.outbox.pausing import CONNECTING, concerns_way_out, has_anything_to_lift, note_error, note_success
from portal.outbox.prepared import WayOut
from portal.transports import PermanentError, SenderRefused, TransientError


def telling(
    connection: Connection, way_out: WayOut, outcomes: Sequence[Outcome], *, is_doubted: bool
) -> Sequence[Outcome]:
    """Those of the outcomes of which anything is to be noted. `is_doubted`: a success may be news."""
    found = [one for one in outcomes if _is_to_be_noted(one) or (is_doubted and shows_that_it_works(one))]
    if found and not any(map(_is_to_be_noted, found)):
        senders = {envelope_sender(outcome.loaded.claimed, way_out) for outcome in found}
        return found if has_anything_to_lift(connection, way_out.connection_id, senders) else ()
    return found


def note(
    connection: Connection,
    way_out: WayOut,
    outcomes: Sequence[Outcome],
    *,
    is_probe: bool,
    is_doubted: bool,
    now: datetime,
) -> list[Pause]:
    """Note what telling outcomes say, in the order in which they came; returns the pauses that are news."""
    news = []
    for outcome in outcomes:
        sender = envelope_sender(outcome.loaded.claimed, way_out)
        if is_doubted and shows_that_it_works(outcome):
            refused = isinstance(outcome.error, SenderRefused)
            note_success(
                connection,
                way_out.connection_id,
                sender="" if refused else sender,
                resumes=is_probe or outcome.loaded.is_tried_once,
            )
        if outcome.error is not None and not outcome.loaded.is_tried_once:
            pause = note_error(
                connection, way_out.connection_id, outcome.error, sender=sender, is_probe=is_probe, now=now
            )
            if pause is not None:
                news.append(pause)
    return news


def shows_that_it_works(outcome: Outcome) -> bool:
    """Whether the way out took the message or judged it: connected, encrypted and signed in."""
    error = outcome.error
    if error is None:
        return outcome.was_tried and all(part.reply.code for part in outcome.parts)
    if isinstance(error, (PermanentError, SenderRefused)):
        return error.reply is not None
    return isinstance(error, TransientError) and error.step not in CONNECTING and error.reply is not None


def _is_to_be_noted(outcome: Outcome) -> bool:
    """A test message is tried once, and its error is its own answer."""
    return outcome.error is not None and not outcome.loaded.is_tried_once and concerns_way_out(outcome.error)
