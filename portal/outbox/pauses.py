"""The state of each way out: ready, or paused, why, since when and until when it is tried next."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal.outbox.models import WayOutRecord
from portal.transports import Step
from portal.wording import N_, Text


class Cause(StrEnum):
    """Why a way out, or a sender on it, is paused."""

    FAULT = "fault"
    UNREACHABLE = "unreachable"
    QUOTA = "quota"
    SENDER = "sender"


def _reason(cause: Cause, said: str, step: str) -> Text:
    match cause:
        case Cause.FAULT:
            return N_(
                "This connection cannot send until its settings or its account are mended. It reported: %(said)s",
                said=said,
            )
        case Cause.UNREACHABLE:
            return N_("The server cannot be reached; the portal keeps trying. Last result: %(said)s", said=said)
        case Cause.QUOTA if step == Step.TOKEN:
            return N_("The provider asks the portal to wait; sending goes on by itself. It said: %(said)s", said=said)
        case Cause.QUOTA:
            return N_("The server's sending limit is reached; sending goes on by itself. It said: %(said)s", said=said)
        case Cause.SENDER:
            return N_("The server does not let this sender send. It answered: %(said)s", said=said)


@dataclass(frozen=True)
class Pause:
    """Why nothing leaves this way, since when, and when it is tried next."""

    cause: Cause
    code: str  # the diagnosis' stable name: "smtp.bad_credentials"
    step: str
    said: str  # the server's reply, or what was seen; "" when neither is known
    since: datetime
    next_probe_at: datetime
    sender: str = ""  # set: only this envelope sender is paused

    @property
    def reason(self) -> Text:
        return _reason(self.cause, self.said or self.code, self.step)


@dataclass(frozen=True)
class WayOutState:
    """What pages show of a way out: `ready` or `paused`, and the senders that it refuses."""

    pause: Pause | None = None
    refused: dict[str, Pause] = field(default_factory=dict)  # by envelope sender
    failures: int = 0

    @property
    def status(self) -> str:
        return "paused" if self.pause else "ready"

    @property
    def reason(self) -> Text | None:
        return self.pause.reason if self.pause else None

    @property
    def code(self) -> str:
        return self.pause.code if self.pause else ""

    @property
    def since(self) -> datetime | None:
        return self.pause.since if self.pause else None

    @property
    def next_probe_at(self) -> datetime | None:
        return self.pause.next_probe_at if self.pause else None


READY = WayOutState()


def way_out_states(session: Session) -> dict[UUID, WayOutState]:
    """The states by connection id; a connection that is missing is ready."""
    return load(session.connection())


_ALL = select(WayOutRecord.__table__)


def load(connection: Connection) -> dict[UUID, WayOutState]:
    """As `way_out_states`, for the worker."""
    pauses: dict[UUID, Pause | None] = {}
    failures: dict[UUID, int] = {}
    refused: dict[UUID, dict[str, Pause]] = {}
    for row in connection.execute(_ALL):
        pause = _pause_of(row)
        if row.sender == "":
            pauses[row.connection_id], failures[row.connection_id] = pause, row.failures
        elif pause is not None:
            refused.setdefault(row.connection_id, {})[row.sender] = pause
    return {
        connection_id: WayOutState(
            pauses.get(connection_id), refused.get(connection_id, {}), failures.get(connection_id, 0)
        )
        for connection_id in pauses.keys() | refused.keys()
    }


def _pause_of(row: Row[Any]) -> Pause | None:
    if row.status != "paused":
        return None
    return Pause(Cause(row.cause), row.code, row.step, row.said, row.since, row.next_probe_at, sender=row.sender)
