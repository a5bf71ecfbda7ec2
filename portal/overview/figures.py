"""The few figures of the first page: what waits now, and what ended in the last day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.outbox import history
from portal.outbox.states import State
from portal.wording import N_, Text

LATELY = timedelta(hours=24)


@dataclass(frozen=True)
class Figure:
    """A number of deliveries and what it counts. `kind` colours it where it is not zero: ok, warn, bad or busy."""

    label: Text
    number: int
    kind: str


def figures(session: Session, *, now: datetime) -> tuple[Figure, ...]:
    """Sent and not sent in the last 24 hours; waiting and held now."""
    found = history.counts(session, since=now - LATELY)

    def together(*states: State) -> int:
        return sum(found.get(state, 0) for state in states)

    return (
        Figure(N_("Sent in 24 hours"), together(State.SENT), "ok"),
        Figure(N_("Waiting now"), together(State.QUEUED, State.SENDING, State.DEFERRED, State.UNCERTAIN), "busy"),
        Figure(N_("Held now"), together(State.HELD), "warn"),
        Figure(N_("Failed or expired in 24 hours"), together(State.FAILED, State.EXPIRED), "bad"),
    )
