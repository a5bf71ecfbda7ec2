"""Taking messages from applications: once per idempotency key, counted, prepared, stored, and then answered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.api.json_text import canonical
from portal.mail_service import Composed, NotAccepted, prepare_composed
from portal.outbox.accept import (
    Accepted,
    AcceptError,
    Acceptor,
    Busy,
    Cause,
    Idempotency,
    IdempotencyConflict,
    NotStored,
)
from portal.outbox.idempotency import first_answer
from portal.outbox.prepared import PreparedMessage
from portal.servers.callers import Caller
from portal.servers.quotas import Quota, QuotaExceeded, limits_of, take
from portal.servers.remembering import SharedMemory, give_memory
from portal.web.problems import Fault, Problem, described
from portal.wording import N_

PATH: Final = "/api/v1/messages"
Json = dict[str, Any]
_REFUSED = "refused"  # in the stored answer of a batch: what was refused, by its number


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What this installation takes messages with. `is_own_person` says whether an address is one of our people's."""

    engine: Engine
    acceptor: Acceptor
    message_id_domain: str
    is_own_person: Callable[[Session, str], bool]
    memory: SharedMemory = field(default_factory=SharedMemory)

    def reading(self, now: datetime) -> Session:
        """A session that answers from what this process knows of the servers' rules, as long as they hold.

        To be used in a `with`, at whose end it gives its connection back.
        """
        known = self.memory.of_engine(self.engine, now)
        session = Session(self.engine)
        give_memory(session, known)
        return session


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered once everything is on disk. Without a `quota` nothing was counted."""

    content: Json
    location: str = ""
    is_repeated: bool = False
    quota: Quota | None = None


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Who asks for what, and when. `key` is the request's idempotency key, "" for none."""

    caller: Caller
    asked: Any  # the request's JSON, by which a repetition is known
    key: str
    now: datetime
    rules: Session | None = None  # a reading of just now; it has no connection

    def reading(self, intake: Intake) -> Session:
        """The rules as they were read just now, else as they are."""
        return self.rules or intake.reading(self.now)

    def idempotency(self, endpoint: str, answer: Json | None = None) -> Idempotency | None:
        """What the request is known again by. Raises Problem for a key that is none."""
        if not self.key:
            return None
        text = f"{endpoint}\n{self.caller.kind}\n".encode() + canonical(self.asked)
        try:
            return Idempotency(
                server_id=self.caller.server_id,
                key=self.key,
                request_hash=hashlib.sha256(text).digest(),
                answer=answer or {},
            )
        except ValueError:
            reason = N_("A key has 1 to 255 printable ASCII characters.")
            fault = Fault("Idempotency-Key", reason)
            raise Problem("malformed-request", reason, faults=[fault]) from None


def submit_message(intake: Intake, submission: Submission, composed: Composed) -> Answer:
    """Take one message; returns after the commit that holds it. Raises Problem."""
    idempotency = submission.idempotency("messages")
    if idempotency and (first := _first(intake, idempotency, submission.now)):
        return Answer(content=_taken(*first[0][0]), location=f"{PATH}/{first[0][0][0]}", is_repeated=True)
    with submission.reading(intake) as session:  # closed before the commit is waited for
        quota = _counted(intake, session, submission, 1)
        try:
            prepared = _prepared(intake, session, submission, composed)
        except NotAccepted as error:
            raise _not_accepted(error) from error
    try:
        accepted = intake.acceptor.accept_message(prepared, idempotency=idempotency)
    except AcceptError as error:
        raise problem_of(error) from error
    content = _taken(accepted.id, accepted.status)
    return Answer(content=content, location=content["location"], is_repeated=accepted.is_repeated, quota=quota)


def submit_batch(intake: Intake, submission: Submission, mails: Sequence[Composed]) -> Answer:
    """Take many messages; one result each, in their order. Raises Problem where none was taken.

    With a key they are stored together, so that a repetition gets the same results.
    """
    known = submission.idempotency("batches")
    if known and (first := _first(intake, known, submission.now)):
        return Answer(content={"results": _merged(first[0], first[1])}, is_repeated=True)
    prepared: list[PreparedMessage] = []
    refused: dict[str, Json] = {}
    with submission.reading(intake) as session:
        quota = _counted(intake, session, submission, len(mails))
        for number, composed in enumerate(mails):
            try:
                prepared.append(_prepared(intake, session, submission, composed))
            except NotAccepted as error:
                refused[str(number)] = _refusal(_not_accepted(error))
    if not prepared:
        raise Problem("not-accepted", N_("No message of the batch was accepted."), faults=_faults(refused))
    outcomes = intake.acceptor.accept_batch(
        prepared, idempotency=submission.idempotency("batches", {_REFUSED: refused} if refused else None)
    )
    _raise_if_none_stored(outcomes)
    is_repeated = all(isinstance(one, Accepted) and one.is_repeated for one in outcomes)
    first_accepted = next(one for one in outcomes if isinstance(one, Accepted))
    if is_repeated:
        refused = first_accepted.answer.get(_REFUSED, {})
    return Answer(content={"results": _results(outcomes, refused)}, is_repeated=is_repeated, quota=quota)


_UNKNOWN = N_(
    "Whether the message was stored is not known. Send the same request again with the same idempotency key; without "
    "one it may be stored twice."
)


def problem_of(error: AcceptError) -> Problem:
    """What a message that could not be stored is answered with."""
    if isinstance(error, IdempotencyConflict):
        fault = Fault("Idempotency-Key", error.reason)
        return Problem("idempotency-key-reused", error.reason, faults=[fault])
    if error.retry_after is None and not isinstance(error, Busy):
        return Problem("fault", error.reason)
    is_unknown = isinstance(error, NotStored) and error.cause is Cause.UNKNOWN
    reason = _UNKNOWN if is_unknown else error.reason
    return Problem("busy", reason, headers={"Retry-After": str(error.retry_after or 1)})


_First = tuple[list[tuple[UUID, str]], dict[str, Json]]


def _first(intake: Intake, idempotency: Idempotency, now: datetime) -> _First | None:
    """The messages and refusals that the first request with this key came to."""
    with intake.engine.connect() as connection:
        found = first_answer(connection, idempotency, now=now)
    if found is None:
        return None
    if not found.is_of(idempotency):
        raise problem_of(IdempotencyConflict())
    taken = list(zip(found.message_ids, map(str, found.statuses), strict=True))
    return taken, dict(found.answer.get(_REFUSED, {}))


def _counted(intake: Intake, session: Session, submission: Submission, messages: int) -> Quota:
    limits = limits_of(session, submission.caller.server_id)
    if limits:
        session.close()  # others are waited for, who need a connection, too
    try:
        return take(intake.engine, submission.caller, limits, messages=messages, now=submission.now)
    except QuotaExceeded as error:
        headers = {"Retry-After": str(error.retry_after), "RateLimit": f'"messages";r=0;t={error.retry_after}'}
        raise Problem("limit-reached", error.reason, headers=headers) from error


def _prepared(intake: Intake, session: Session, submission: Submission, composed: Composed) -> PreparedMessage:
    return prepare_composed(
        composed,
        caller=submission.caller,
        session=session,
        now=submission.now,
        message_id_domain=intake.message_id_domain,
        is_own_person=partial(intake.is_own_person, session),
    )


def _not_accepted(error: NotAccepted) -> Problem:
    faults = [Fault(error.field, error.reason)] if error.field else []
    if error.is_lasting:
        return Problem("not-accepted", error.reason, faults=faults)
    return Problem("busy", error.reason, faults=faults, headers={"Retry-After": "60"})


def _taken(message_id: UUID, status: str) -> Json:
    return {"id": str(message_id), "status": str(status), "location": f"{PATH}/{message_id}"}


def _refusal(problem: Problem) -> Json:
    return {"status": _REFUSED, "problem": described(problem)}


def _results(outcomes: Sequence[Accepted | AcceptError], refused: dict[str, Json]) -> list[Json]:
    made = [_taken(one.id, one.status) if isinstance(one, Accepted) else _refusal(problem_of(one)) for one in outcomes]
    return _in_order(made, refused)


def _merged(taken: Sequence[tuple[UUID, str]], refused: dict[str, Json]) -> list[Json]:
    return _in_order([_taken(*one) for one in taken], refused)


def _in_order(made: Sequence[Json], refused: dict[str, Json]) -> list[Json]:
    rest = iter(made)
    return [refused.get(str(number)) or next(rest) for number in range(len(made) + len(refused))]


def _raise_if_none_stored(outcomes: Sequence[Accepted | AcceptError]) -> None:
    errors = [one for one in outcomes if isinstance(one, AcceptError)]
    if len(errors) == len(outcomes):
        raise problem_of(errors[0])


def _faults(refused: dict[str, Json]) -> list[Fault]:
    """The first refusals, each by the number of its message."""
    return [Fault(f"messages[{number}]", str(one["problem"]["detail"])) for number, one in list(refused.items())[:50]]
