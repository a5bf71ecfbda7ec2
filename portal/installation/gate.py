"""The gate that the worker asks before it claims anything, and where what leaves has to go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from portal.config import Config
from portal.installation.holding import Standing, adopt, is_to_adopt, judge
from portal.outbox.prepared import WaysOut
from portal.wording import joined

LOOK_EVERY_SECONDS = 1.0
_REMEDY = "an administrator releases it on the page /installation, or the command does: portal release"
_UNSEEN = "the installation could not be looked at yet"

UnitOfWork = Callable[[], AbstractContextManager[Session]]


class Gate:
    """Asked by all threads of a worker; the database is read once a second at most, by whoever asks then.

    While the database cannot be read the last answer stands; before the first one everything is held. The very first
    look takes an installation of which nothing was noted down for the original.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        unit_of_work: UnitOfWork,
        *,
        every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        self._engine = engine
        self._config = config
        self._unit_of_work = unit_of_work
        self._every_seconds = every_seconds
        self._lock = threading.Lock()
        self._next_look = 0.0  # monotonic
        self._standing: Standing | None = None

    def obstacle(self) -> str:
        """Why nothing may be claimed, and what to do; "" while mail may leave."""
        with self._lock:
            if time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + self._every_seconds
                self._look()
            standing = self._standing
        if standing is None:
            return _UNSEEN
        return f"{joined(' ', standing.reasons)} {_REMEDY}" if standing.is_held else ""

    def redirected(self, ways_out: WaysOut) -> WaysOut:
        """The ways out, each with the address that everything goes to instead; an end of that acts at once."""
        with self._lock:
            opened_by = self._standing
            if opened_by is not None and opened_by.redirect_to:
                self._look()
            now = self._standing
        if opened_by is None or now is None or not opened_by.redirect_to:
            return ways_out
        address = opened_by.redirect_to if now.is_held else now.redirect_to
        if not address:
            return ways_out
        return replace(ways_out, ways=tuple(replace(way, redirect_to=address) for way in ways_out.ways))

    def acts_as_original(self) -> bool:
        """Whether others may hear of it: mail is neither held nor redirected. An end of that acts at once."""
        standing = self._in_doubt_anew()
        return standing is not None and not (standing.is_held or standing.redirect_to)

    def is_redirecting(self) -> bool:
        """Whether all mail goes to one address instead of its recipients. Its end, and that of a hold, act at once."""
        standing = self._in_doubt_anew()
        return standing is not None and bool(standing.redirect_to)

    def _in_doubt_anew(self) -> Standing | None:
        """What holds; read anew unless mail went to its recipients at the last look."""
        with self._lock:
            if self._standing is None or self._standing.is_held or self._standing.redirect_to:
                self._look()
            return self._standing

    def _look(self) -> None:
        try:
            with Session(self._engine) as session:
                adopts = is_to_adopt(session, self._config)
            if adopts:
                self._adopt()
            with Session(self._engine) as session:
                self._standing = judge(session, self._config)
        except SQLAlchemyError:
            return

    def _adopt(self) -> None:
        try:
            with self._unit_of_work() as session:
                adopt(session, self._config)
        except IntegrityError:  # another worker was first
            return
