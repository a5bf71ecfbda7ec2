"""The worker's notes of ended messages on their way to becoming events: it is not held up, and they go together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from portal.outbox.states import State
from portal.servers import webhook_events
from portal.servers.models import Webhook
from portal.servers.webhook_calls import UnitOfWork

_AT_ONCE = 500
_MOST_WAITING = 100_000  # more are left to `catch_up`
_LOOK_EVERY_SECONDS = 2.0  # whether there are webhooks at all
_FIRST_LOOK_BACK = timedelta(days=2)
_OVERLAP = timedelta(minutes=10)
_SLICE = timedelta(minutes=10)  # of ends in one transaction, so that two days of them neither fill memory nor hold up
_log = structlog.get_logger("portal.webhooks")


class EndedMessages:
    """Of one process. `note` is called from any thread and does not wait; what a crash loses `catch_up` finds.

    `withheld` says why no webhook is ever told of what ends at this moment, "" while they are.
    """

    def __init__(
        self,
        engine: Engine,
        unit_of_work: UnitOfWork,
        *,
        withheld: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._unit_of_work = unit_of_work
        self._withheld = withheld
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[UUID, datetime, str]] = deque()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_wanted = False
        self._next_look = float("-inf")
        self._seen_until: datetime | None = None
        self._withheld_before = ""  # at the last look

    def note(self, message_id: UUID, _state: State, now: datetime) -> None:
        """A message has ended."""
        with self._changed:
            if self._is_closed or not self._somebody_wants_it() or len(self._waiting) >= _MOST_WAITING:
                return
            self._waiting.append((message_id, now, self._withheld()))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="webhook-ends", daemon=True)
                self._thread.start()
            self._changed.notify()

    def catch_up(self, now: datetime) -> None:
        """Look at all that ended since the last look, and a while before it: the notes of a crash are lost."""
        since = now - _FIRST_LOOK_BACK if self._seen_until is None else self._seen_until - _OVERLAP
        withheld_now = self._withheld()
        withheld = withheld_now or self._withheld_before  # what ended just before that was over is found now
        while since + _SLICE < now:
            with self._unit_of_work() as session:
                webhook_events.catch_up(session, since=since, until=since + _SLICE, now=now, withheld=withheld)
            since += _SLICE
        with self._unit_of_work() as session:
            webhook_events.catch_up(session, since=since, now=now, withheld=withheld)
            webhook_events.purge(session, now=now)
        self._seen_until, self._withheld_before = now, withheld_now

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _somebody_wants_it(self) -> bool:
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + _LOOK_EVERY_SECONDS
            with self._engine.connect() as connection:
                self._is_wanted = (
                    connection.execute(select(Webhook.id).where(Webhook.is_enabled).limit(1)).first() is not None
                )
        return self._is_wanted

    def _run(self) -> None:
        while some := self._next():
            try:
                with self._unit_of_work() as session:
                    for withheld in {why for _one, _at, why in some}:
                        ids = [one for one, _at, why in some if why == withheld]
                        webhook_events.remember(session, ids, now=some[-1][1], withheld=withheld)
            except SQLAlchemyError as error:
                _log.warning("ends of messages were not noted yet", messages=len(some), error=type(error).__name__)

    def _next(self) -> list[tuple[UUID, datetime, str]]:
        """What waits; empty when all is done and closed."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
