"""A check as its page shows it: who may see it, how far it is, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from portal.connections.dangers import is_danger
from portal.connections.models import ConnectionCheck
from portal.connections.step_records import step_from_json
from portal.connections.values import Method
from portal.transports import Step, StepResult, StepStatus
from portal.wording import Text

SILENCE = timedelta(seconds=10)  # without a heartbeat: its process is gone
UNFINISHED = frozenset({"waiting", "running"})


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """A check at one moment."""

    id: UUID
    connection_id: UUID | None  # None: the candidate is a new connection
    name: str
    method: Method
    is_to_be_saved: bool
    state: str  # "waiting", "running", "passed", "failed", "cancelled" or "interrupted"
    steps: tuple[StepResult, ...]
    saved: str  # "saved", "conflict", "refused"; "" where nothing was to be saved, or not yet
    refusal: Text | None
    has_candidate: bool
    elapsed: timedelta

    @property
    def is_finished(self) -> bool:
        """Whether nothing will be added to it."""
        return self.state not in UNFINISHED

    @property
    def failure(self) -> StepResult | None:
        """The step that failed."""
        return next((step for step in self.steps if step.status is StepStatus.FAIL), None)

    @property
    def warnings(self) -> tuple[StepResult, ...]:
        """The steps that passed with a warning."""
        return tuple(step for step in self.steps if step.status is StepStatus.WARN)

    @property
    def dangers(self) -> tuple[StepResult, ...]:
        """Those among the warnings that must not stay."""
        return tuple(step for step in self.warnings if is_danger(step))


def find_check(session: Session, check_id: UUID, *, session_id: UUID, now: datetime) -> CheckView | None:
    """A check that this session asked for."""
    row = session.get(ConnectionCheck, check_id)
    if row is None or row.session_id != session_id:
        return None
    is_silent = row.state in UNFINISHED and now - row.heartbeat_at > SILENCE
    return CheckView(
        id=row.id,
        connection_id=row.connection_id,
        name=row.name,
        method=Method(row.method),
        is_to_be_saved=row.then == "save",
        state="interrupted" if is_silent else row.state,
        steps=tuple(step_from_json(step) for step in row.steps),
        saved=row.saved,
        refusal=Text.from_json(row.refusal),
        has_candidate=row.candidate is not None,
        elapsed=(row.ended_at or now) - row.created_at,
    )


def cancel_check(session: Session, check_id: UUID, *, session_id: UUID, now: datetime) -> None:
    """End a check that this session asked for; one that ended already stays as it is."""
    mine = (ConnectionCheck.id == check_id) & (ConnectionCheck.session_id == session_id)
    session.execute(
        update(ConnectionCheck)
        .where(mine, ConnectionCheck.state.in_(UNFINISHED))
        .values(state="cancelled", ended_at=now),
        execution_options={"synchronize_session": False},
    )


def pending_steps(order: tuple[Step, ...], done: tuple[StepResult, ...]) -> tuple[Step, ...]:
    """The steps still to come, the one under way first."""
    ended = {result.step for result in done}
    return tuple(step for step in order if step not in ended)
