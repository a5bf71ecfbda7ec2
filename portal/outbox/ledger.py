"""The ledger of one worker: one commit writes down what a slice came to and begins the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from portal.outbox import bodies, contents, findings, pacing, slices
from portal.outbox.claim import Claimed, release
from portal.outbox.contents import Loaded
from portal.outbox.leases import HeldLeases, clock, new_owner, ticks
from portal.outbox.outcomes import Outcome, without_way_out
from portal.outbox.pacing import Grant
from portal.outbox.pauses import Pause
from portal.outbox.pausing import lock
from portal.outbox.prepared import WayOut, WaysOut
from portal.outbox.recording import Ended, Recorder, whole_ends
from portal.outbox.settings import Surroundings, WorkerSettings
from portal.outbox.states import State
from portal.outbox.wakeup import Listener, VersionWatcher, Watcher
from portal.outbox.writers import SingleWriter, writer_for

# The database is busy or away; what else it refuses would be refused again.
PASSING = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
LOGGER = "portal.outbox"
_log = structlog.get_logger(LOGGER)


@dataclass(frozen=True)
class Turn:
    """The next slice, ready to be sent, and what of it must wait for the way out's pace."""

    loaded: Sequence[Loaded]
    waiting: Sequence[Claimed] = ()
    wait_seconds: float = 0.0


class Ledger:
    """Used by all threads of a worker."""

    def __init__(self, engine: Engine, surroundings: Surroundings, settings: WorkerSettings) -> None:
        self.engine = engine
        self.owner = new_owner()
        self.leases = HeldLeases(settings.lease)
        self.surroundings = surroundings
        self.settings = settings
        self._writer = writer_for(engine)

    def write(self) -> AbstractContextManager[Connection]:
        """A short transaction of this worker."""
        return self._writer.begin()

    def watcher(self) -> Watcher:
        """What notices the commits of others."""
        if isinstance(self._writer, SingleWriter):
            return VersionWatcher(self._writer.version)
        return Listener(self.engine)

    def close(self) -> None:
        """Give back what is kept for writing; whoever writes again takes it anew."""
        self._writer.close()

    def turn(
        self,
        way_out: WayOut,
        outcomes: Sequence[Outcome],
        batch: Sequence[Claimed],
        *,
        sent_by: WayOut,
        is_probe: bool,
        is_doubted: bool,
    ) -> Turn:
        """Record the outcomes and begin the next slice. `is_doubted`: a success is worth writing down.

        `sent_by` is the way out as it was when the outcomes were met: what was wrong with former settings is not
        held against those that somebody has saved since.
        """
        since, now = ticks(), self.settings.clock()
        with self.write() as connection:
            told = outcomes if sent_by.version == way_out.version else ()
            telling = findings.telling(connection, sent_by, told, is_doubted=is_doubted)
            if telling or way_out.messages_per_minute is not None:
                lock(connection, way_out.connection_id)  # before any delivery: others have it as they wait for those
            ended = self._record(connection, outcomes, now)
            news = findings.note(connection, sent_by, telling, is_probe=is_probe, is_doubted=is_doubted, now=now)
            grant = self._paced(connection, way_out, outcomes, len(batch), now)
            granted = batch[: grant.messages]
            rows = contents.start(connection, granted, owner=self.owner, now=now, lease=self.settings.lease)
            started = {one.id for one, _ in rows}
            stayed = [one.id for one in granted if one.id not in started]
            release(connection, stayed, owner=self.owner)
            self._return_unused(connection, way_out, len(stayed), now)
        self.leases.take(started, since=since)
        self.leases.drop([*stayed, *(outcome.loaded.claimed.id for outcome in outcomes)])
        self._tell(way_out, outcomes, ended, news, now)
        if any(one.deliver_by <= now for one in granted):
            with suppress(*PASSING):  # the turn is written down; the next sweep sees to these
                self.expire()
        loaded = contents.unpack(rows, box=self.surroundings.box)
        return Turn(loaded, batch[grant.messages :], grant.wait_seconds)

    def fail_untried(self, claimed: Sequence[Claimed], ways_out: WaysOut) -> None:
        """Test messages for which there is no way out: their one try has failed."""
        now = self.settings.clock()
        with self.write() as connection:
            rows = contents.start(connection, claimed, owner=self.owner, now=now, lease=self.settings.lease)
            outcomes = [without_way_out(one, ways_out, now) for one in contents.unpack(rows, box=self.surroundings.box)]
            ended = self._record(connection, outcomes, now)
        self.leases.drop(one.id for one in claimed)
        self._tell_ends(ended, now)

    def expire(self) -> None:
        """End what is past its time."""
        now = self.settings.clock()
        expired = slices.AT_ONCE
        while expired == slices.AT_ONCE:
            with self.write() as connection:
                overdue = slices.expire(connection, now)
                expired = len(overdue)
                ended = whole_ends(connection, overdue) if overdue else []
                bodies.erase_secrets(connection, overdue)
            self._tell_ends(ended, now)

    def _record(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> list[Ended]:
        if not outcomes:
            return []
        recorder = Recorder(
            connection,
            owner=self.owner,
            box=self.surroundings.box,
            now=now,
            uncertain_for=self.settings.lease,
        )
        return recorder.record(outcomes)

    def _paced(
        self, connection: Connection, way_out: WayOut, outcomes: Sequence[Outcome], wanted: int, now: datetime
    ) -> Grant:
        if way_out.messages_per_minute is None:
            return Grant(wanted)
        returned = sum(1 for outcome in outcomes if not outcome.was_tried)
        budget = pacing.open_budget(connection, way_out.connection_id)
        grant = pacing.settle(
            budget,
            owner=self.owner,
            limit=way_out.messages_per_minute,
            wanted=wanted,
            finished=len(outcomes) - returned,
            returned=returned,
            at=clock(connection, now).timestamp(),
        )
        pacing.store_budget(connection, way_out.connection_id, budget)
        return grant

    def _return_unused(self, connection: Connection, way_out: WayOut, count: int, now: datetime) -> None:
        """What was granted and could not begin after all is not held against the pace."""
        if way_out.messages_per_minute is None or not count:
            return
        budget = pacing.open_budget(connection, way_out.connection_id)
        pacing.settle(
            budget,
            owner=self.owner,
            limit=way_out.messages_per_minute,
            wanted=0,
            returned=count,
            at=clock(connection, now).timestamp(),
        )
        pacing.store_budget(connection, way_out.connection_id, budget)

    def _tell(
        self,
        way_out: WayOut,
        outcomes: Sequence[Outcome],
        ended: Sequence[Ended],
        news: Sequence[Pause],
        now: datetime,
    ) -> None:
        _log_outcomes(outcomes)
        for pause in news:
            _log.warning("way out paused", connection=way_out.name, code=pause.code, step=pause.step, said=pause.said)
            if self.surroundings.on_paused is not None:
                _call("on_paused", self.surroundings.on_paused, way_out.connection_id, pause, now)
        self._tell_ends(ended, now)

    def _tell_ends(self, ended: Sequence[Ended], now: datetime) -> None:
        if self.surroundings.on_end_state is None:
            return
        for message_id, state in ended:
            _call("on_end_state", self.surroundings.on_end_state, message_id, state, now)


def _call(name: str, hook: Callable[..., None], *arguments: object) -> None:
    try:
        hook(*arguments)
    except Exception:  # noqa: BLE001 - what is committed stays, whatever a hook makes of it
        _log.exception("a hook failed", hook=name)


def _log_outcomes(outcomes: Sequence[Outcome]) -> None:
    """One line for each attempt and fate, in Postfix's shape; no recipient, no content."""
    tells_successes = logging.getLogger(LOGGER).isEnabledFor(logging.INFO)
    for outcome in outcomes:
        for part in outcome.parts if outcome.was_tried else ():
            is_success = part.state is State.SENT
            if is_success and not tells_successes:
                continue
            (_log.info if is_success else _log.warning)(
                "delivery attempt",
                message_id=str(outcome.loaded.claimed.message_id),
                status=str(part.state),
                recipients=len(part.rcpt_to),
                connection=outcome.connection_name,
                reply=str(part.reply),
                code=part.code,
                elapsed_ms=outcome.elapsed_ms,
            )
