"""Answers that are remembered while many messages go through the door together: their rules are read once.

Only what is marked here is remembered, and only in a session that was given a memory. One that is shared forgets
everything with the next act that is in the audit log, as every change of a rule is; so a change acts on the next
message.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.audit.entries import news, news_of

P = ParamSpec("P")
T = TypeVar("T")
Memory = dict[tuple[object, ...], Any]
_MEMORY = "portal_servers_memory"
_AT_MOST = timedelta(seconds=1)  # also what nobody did changes: a connection's verdicts, a key's end


def give_memory(session: Session, memory: Memory) -> None:
    """From now on this session answers from the memory, and adds to it."""
    session.info[_MEMORY] = memory


class SharedMemory:
    """For the threads of a process that use one database."""

    def __init__(self) -> None:
        # Replaced as a whole: threads look at it any time.
        self._kept: tuple[tuple[int, int], datetime, Memory] | None = None

    def of(self, session: Session, now: datetime) -> Memory:
        """What is known that still holds; one short reading. What is read next in this session may be added."""
        return self._holding(news(session), now)

    def of_engine(self, engine: Engine, now: datetime) -> Memory:
        """The same for whoever has no session yet: what is read by one that is begun next may be added."""
        return self._holding(news_of(engine), now)

    def _holding(self, newest: tuple[int, int], now: datetime) -> Memory:
        kept = self._kept
        if kept is None or kept[0] != newest or not timedelta() <= now - kept[1] < _AT_MOST:
            kept = self._kept = newest, now, {}
        return kept[2]


def remembered(read: Callable[Concatenate[Session, P], T]) -> Callable[Concatenate[Session, P], T]:
    """Mark a reading whose answer is a frozen value, and whose arguments can be keys."""

    @wraps(read)
    def ask(session: Session, *args: P.args, **kwargs: P.kwargs) -> T:
        memory: Memory | None = session.info.get(_MEMORY)
        if memory is None:
            return read(session, *args, **kwargs)
        key = (read, args, tuple(kwargs.items()))
        if key not in memory:
            memory[key] = read(session, *args, **kwargs)
        return cast("T", memory[key])

    return cast("Callable[Concatenate[Session, P], T]", ask)
