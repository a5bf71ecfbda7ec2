"""Whole messages on their way into the outbox: through the one door, then to the process's acceptor.

What waits at the same moment goes through the door together, in one reading of the database; the reply 250 follows
the commit. Large messages have threads of their own, so that small ones do not wait behind them.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache, partial
from uuid import uuid4

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as DatabaseSession

from portal.mail_service import NotAccepted, prepare_submitted
from portal.outbox.accept import Accepted, AcceptError, Acceptor, Cause, NotStored
from portal.outbox.prepared import PreparedMessage
from portal.relay import replies
from portal.relay.clients import still
from portal.relay.content import ContentRefused
from portal.relay.repeats import MOST, Repeats
from portal.relay.replies import Reply
from portal.relay.talk import Submission
from portal.servers import callers, quotas
from portal.servers.remembering import SharedMemory, give_memory

LARGE = 256 * 1024  # octets
_LARGE_AT_ONCE = 2
_MOST_TOGETHER = 64
_date = lru_cache(maxsize=4)(format_datetime)  # the messages of a group have one moment
_log = structlog.get_logger("portal.relay")
Done = Callable[[Reply], None]


@dataclass(frozen=True)
class Waiting:
    """A submission, where it came from, and whom to tell."""

    submission: Submission
    address: str
    done: Done  # called from any thread


class Intake:
    """`context` is what the one door works in. `obstacle` says why nothing may be stored, "" while it may.

    `on_repeated` is told of a message that came too often, with the client's address, once an hour.
    """

    def __init__(
        self,
        engine: Engine,
        acceptor: Acceptor,
        *,
        host: str,
        context: Callable[[], AbstractContextManager[object]],
        is_own_person: Callable[[DatabaseSession, str], bool],
        obstacle: Callable[[], str],
        on_repeated: Callable[[PreparedMessage, str], None] = lambda _prepared, _address: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._acceptor = acceptor
        self._host = host
        self._context = context
        self._is_own_person = is_own_person
        self._obstacle = obstacle
        self._on_repeated = on_repeated
        self._repeats = Repeats()
        self._clock = clock
        self._memory = SharedMemory()
        self._mark = uuid4().hex[:8]  # of this process, in the numbers of what it received
        self._numbers = itertools.count(1)
        self._large = ThreadPoolExecutor(_LARGE_AT_ONCE, thread_name_prefix="relay-large")
        self._changed = threading.Condition()
        self._queue: deque[Waiting] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="relay-intake", daemon=True)
        self._thread.start()

    def put(self, waiting: Waiting) -> None:
        """Take a submission; what comes of it is told once."""
        if waiting.submission.content.size > LARGE:
            self._large.submit(self._pass_on, [waiting])
            return
        with self._changed:
            self._queue.append(waiting)
            self._changed.notify()

    def close(self) -> None:
        """Pass on what was put, and stop."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._large.shutdown()

    def _run(self) -> None:
        while group := self._next():
            self._pass_on(group)

    def _next(self) -> list[Waiting]:
        with self._changed:
            while not self._queue and not self._is_closed:
                self._changed.wait()
            return [self._queue.popleft() for _ in range(min(len(self._queue), _MOST_TOGETHER))]

    def _pass_on(self, group: Sequence[Waiting]) -> None:
        looked_at: list[PreparedMessage | Reply] = []
        replied: list[Reply] = []
        failure, now = replies.UNAVAILABLE, self._clock()
        try:
            if reason := self._obstacle():
                _log.error("no mail is taken", reason=reason)
                failure = replies.UNAVAILABLE_AT_ALL
            else:
                looked_at = self._look_at(group, now)
                replied = self._store(looked_at)
        except SQLAlchemyError as error:
            _log.error("the database does not answer", error=type(error).__name__)
        except Exception:  # noqa: BLE001 - the connections must hear something, and the next group must be passed on
            _log.exception("a group of messages was not taken")
        for one, reply in zip(group, replied or [failure] * len(group), strict=True):
            one.done(reply)
        try:
            self._note(group, looked_at, replied, now)
        except SQLAlchemyError as error:
            _log.error("what a client did was not noted", error=type(error).__name__)
        except Exception:  # noqa: BLE001 - the messages are stored, and the next group must be passed on
            _log.exception("what a client did was not noted")

    def _look_at(self, group: Sequence[Waiting], now: datetime) -> list[PreparedMessage | Reply]:
        """In one reading of the database. What is wrong with one concerns no other. Raises SQLAlchemyError."""
        with self._context(), DatabaseSession(self._engine) as session:
            give_memory(session, self._memory.of(session, now))
            return [self._looked_at(session, one, now) for one in group]

    def _store(self, looked_at: Sequence[PreparedMessage | Reply]) -> list[Reply]:
        """The reply to each, after the commit of those that are to be stored."""
        stored = iter(self._acceptor.store_each([one for one in looked_at if isinstance(one, PreparedMessage)]))
        return [one if isinstance(one, Reply) else _after_commit(next(stored)) for one in looked_at]

    def _note(
        self,
        group: Sequence[Waiting],
        looked_at: Sequence[PreparedMessage | Reply],
        replied: Sequence[Reply],
        now: datetime,
    ) -> None:
        """What was stored, and who was there; nothing where the database was away."""
        for waiting, one, reply in zip(group, looked_at, replied, strict=False):
            is_stored = reply.code == 250
            if isinstance(one, PreparedMessage) and is_stored and self._repeats.note(one, waiting.address, now):
                self._tell_of_repeats(one, waiting.address)
        for caller in {one.submission.caller for one in group[: len(looked_at)]}:
            callers.note_seen(self._engine, caller, now=now)

    def _looked_at(self, session: DatabaseSession, waiting: Waiting, now: datetime) -> PreparedMessage | Reply:
        """What is to be stored, or why it is not. Raises SQLAlchemyError."""
        submission = waiting.submission
        caller = still(session, submission.caller, waiting.address)
        if caller is None:
            return _REVOKED
        try:
            prepared = prepare_submitted(
                submission.content.finished(),
                mail_from=submission.mail_from,
                rcpt_to=submission.rcpt_to,
                caller=caller,
                session=session,
                now=now,
                message_id_domain=self._host,
                is_own_person=partial(self._is_own_person, session),
                smtputf8=submission.needs_smtputf8,
                received_line=self._received(submission, now),
            )
            limits = quotas.limits_of(session, caller.server_id)
            quotas.take(self._engine, caller, limits, messages=1, now=now)
            return prepared
        except ContentRefused as refused:
            return refused.reply
        except NotAccepted as refused:
            return _not_accepted(refused)
        except quotas.QuotaExceeded as exceeded:
            return Reply(451, "4.7.1", exceeded.reason)
        except SQLAlchemyError:
            raise
        except Exception:  # noqa: BLE001 - one message must not take the others with it
            _log.exception("a message was not taken", server=caller.server_name)
            return _UNEXPECTED

    def _tell_of_repeats(self, prepared: PreparedMessage, address: str) -> None:
        _log.warning("one message comes again and again", server=prepared.server_name, address=address, times=MOST)
        self._on_repeated(prepared, address)

    def _received(self, submission: Submission, now: datetime) -> str:
        """Where it came in and when (RFC 5321 4.4); neither the client's name nor its address."""
        number = f"{self._mark}{next(self._numbers):08x}"
        return f"by {self._host} with {submission.protocol} id {number};\r\n {_date(now)}"


_REVOKED = Reply(
    550,
    "5.7.1",
    "This log-in or address may not send any more. An administrator sees why on the server's page.",
    closes=True,
)
_UNEXPECTED = Reply(
    451, "4.3.0", "The message could not be looked at. An administrator finds the cause in the portal's log."
)
_STATUS_OF_FIELD = {"content": "6.0", "from": "7.1", "rcpt_to": "7.1"}


def _after_commit(stored: Accepted | AcceptError) -> Reply:
    if isinstance(stored, AcceptError):
        return _not_stored(stored)
    return Reply(250, "2.0.0", f"Queued as {stored.id}")


def _not_accepted(refused: NotAccepted) -> Reply:
    status = _STATUS_OF_FIELD.get(refused.field, "7.1")
    code, kind = (550, 5) if refused.is_lasting else (451, 4)
    return Reply(code, f"{kind}.{status}", refused.reason)


def _not_stored(error: AcceptError) -> Reply:
    if isinstance(error, NotStored) and error.cause is Cause.FULL:
        return Reply(452, "4.3.1", error.reason)
    if isinstance(error, NotStored) and error.cause is Cause.REFUSED:
        return Reply(554, "5.3.0", error.reason)
    return Reply(451, "4.3.0", error.reason)
