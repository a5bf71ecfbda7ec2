"""Walks checks in threads of the web process: four at a time, the others wait for their turn.

A process that ends leaves its checks behind; their heartbeat stops and their pages say so. A check that is
cancelled, by whatever web process, is noticed with the next heartbeat.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from portal.clock import utc_now
from portal.connections import check_steps
from portal.connections.installation import Installation
from portal.connections.probing import probe, token_of
from portal.connections.senders_listed import senders_listed
from portal.connections.tokens import ProviderToken
from portal.transports import StepResult, StepStatus

AT_A_TIME = 4
WAITING_AT_MOST = 20
PULSE_SECONDS = 2.0  # well below the silence after which a page calls a check interrupted
_log = structlog.get_logger(__name__)


class TooManyChecks(Exception):
    """As many checks as this process takes are waiting already."""


class CheckRunner:
    """One for each web process."""

    def __init__(self, engine: Engine, installation: Installation, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._installation = installation
        self._clock = clock
        self._turn = threading.BoundedSemaphore(AT_A_TIME)
        self._lock = threading.Condition()  # notified when the last check has ended
        self._cancelled: dict[UUID, threading.Event] = {}  # of every check that waits or runs here
        self._is_beating = False

    def start(self, check_id: UUID) -> None:
        """Walk a check that is stored and committed. Raises TooManyChecks."""
        with self._lock:
            if len(self._cancelled) >= AT_A_TIME + WAITING_AT_MOST:
                raise TooManyChecks
            self._cancelled[check_id] = threading.Event()
            starts_beating, self._is_beating = not self._is_beating, True
        if starts_beating:
            threading.Thread(target=self._beat, name="check-pulse", daemon=True).start()
        threading.Thread(target=self._walk, args=(check_id,), name="check", daemon=True).start()

    def _walk(self, check_id: UUID) -> None:
        cancelled = self._cancelled[check_id]
        try:
            with self._turn:
                self._conduct(check_id, cancelled.is_set)
        except Exception:  # noqa: BLE001
            # The thread ends here: whatever went wrong, the page must say that it did.
            _log.exception("a connection check broke", check_id=str(check_id))
            check_steps.end_interrupted(self._engine, check_id, now=self._clock())
        finally:
            with self._lock:
                del self._cancelled[check_id]
                self._lock.notify_all()

    def _conduct(self, check_id: UUID, cancelled: Callable[[], bool]) -> None:
        box = self._installation.box
        work = check_steps.begin(self._engine, check_id, box=box, now=self._clock())
        if work is None:
            return
        ended: list[StepResult] = []

        def on_step(result: StepResult) -> None:
            ended.append(result)
            check_steps.record(self._engine, check_id, ended, now=self._clock())

        token = self._token(check_id, work)
        steps = probe(
            work.candidate.values,
            secrets=work.secrets,
            token=token,
            sender=work.sender,
            installation=self._installation,
            on_step=on_step,
            cancelled=cancelled,
        )
        if any(step.status is StepStatus.FAIL for step in steps):
            check_steps.end_failed(self._engine, check_id, box=box, now=self._clock())
            return
        senders = senders_listed(work.candidate.values, token, installation=self._installation)
        finish = check_steps.save if work.is_to_be_saved else check_steps.end_passed
        finish(self._engine, check_id, app_token=token.grant, senders=senders, box=box, now=self._clock())

    def _token(self, check_id: UUID, work: check_steps.Work) -> ProviderToken:
        box, values = self._installation.box, work.candidate.values
        return token_of(
            self._engine,
            work.candidate,
            work.secrets,
            sender=work.sender,
            has_consent=work.has_consent,
            installation=self._installation,
            keep=lambda grant: check_steps.keep_grant(self._engine, check_id, values, grant, box=box),
        )

    def _beat(self) -> None:
        """Until no check is left; the wait comes last, so that the first beat is immediate."""
        while mine := self._still_mine():
            try:
                alive = check_steps.beat(self._engine, mine.keys(), now=self._clock())
            except SQLAlchemyError:
                _log.warning("the heartbeat of connection checks could not be written", exc_info=True)
                alive = set(mine)
            for check_id in mine.keys() - alive:
                mine[check_id].set()
            with self._lock:
                self._lock.wait_for(lambda: not self._cancelled, PULSE_SECONDS)

    def _still_mine(self) -> dict[UUID, threading.Event]:
        with self._lock:
            self._is_beating = bool(self._cancelled)
            return dict(self._cancelled)
