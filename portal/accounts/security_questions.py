"""Security questions: what a person is asked besides a reset link or code, where the organisation wants it.

They come after link or code was right, so nobody learns from them who has an account. Answers are hashed as
passwords are and compared without regard to case, blanks and width of letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, recovery_settings
from portal.accounts.models import User
from portal.accounts.passwords import hash_password, verify_password
from portal.accounts.recovery_models import SecurityAnswer
from portal.web import limits
from portal.wording import N_, Text

LONGEST_QUESTION = 300  # characters
LONGEST_ANSWER = 200
SHORTEST_ANSWER = 3

IDEAS = (
    N_("What was the name of the first person you worked for?"),
    N_("In which street did your best friend at school live?"),
    N_("Which meal did you learn to cook first?"),
    N_("What did your first bicycle look like?"),
)


class BadAnswers(ValueError):
    """Questions or answers are not taken; `place` counts from 1, `reason` says why."""

    def __init__(self, place: int, reason: Text) -> None:
        super().__init__(str(reason))
        self.place = place
        self.reason = reason


class TooManyAnswers(Exception):
    """So often was a wrong answer given for this account that none is looked at for up to an hour."""


@dataclass(frozen=True)
class Asked:
    """A question as its owner set it, and the hash of the answer."""

    question: str
    answer_hash: str = field(repr=False)


def asked_of(session: Session, user_id: UUID) -> tuple[Asked, ...]:
    """What this person must answer now, in order; nothing where questions are off or the person has set none."""
    count = recovery_settings.load(session).questions
    columns = select(SecurityAnswer.question, SecurityAnswer.answer_hash).where(SecurityAnswer.user_id == user_id)
    rows = session.execute(columns.order_by(SecurityAnswer.place).limit(count)) if count else ()
    return tuple(Asked(*row) for row in rows)


def are_right(
    session: Session, engine: Engine, user_id: UUID, asked: Sequence[Asked], answers: Sequence[str], *, now: datetime
) -> bool:
    """Whether every answer is right: all are compared, whichever is wrong. Raises TooManyAnswers, TooBusy."""
    rule = f"{recovery_settings.load(session).attempts}/hour"
    if isinstance(limits.allow(engine, rule, *account_key(user_id), now=now), limits.Refused):
        raise TooManyAnswers
    are_equal = [
        verify_password(one.answer_hash, _normalised(answer)) for one, answer in zip(asked, answers, strict=True)
    ]
    if all(are_equal):
        limits.give_back(engine, rule, *account_key(user_id), now=now)
    return all(are_equal)


def account_key(user_id: UUID) -> tuple[str, ...]:
    """What wrong answers of one account are counted by."""
    return ("security answers", user_id.hex)


def hash_answers(pairs: Sequence[tuple[str, str]]) -> tuple[Asked, ...]:
    """Questions with their answers' hashes; before any unit of work. Raises BadAnswers, TooBusy."""
    questions, answers = [_normalised(pair[0]) for pair in pairs], [_normalised(pair[1]) for pair in pairs]
    for place, (question, answer) in enumerate(zip(questions, answers, strict=True), 1):
        if not 0 < len(question) <= LONGEST_QUESTION or question in questions[: place - 1]:
            raise BadAnswers(place, N_("Write a question, and each only once."))
        if not SHORTEST_ANSWER <= len(answer) <= LONGEST_ANSWER:
            raise BadAnswers(place, N_("An answer has at least %(count)s characters.", count=SHORTEST_ANSWER))
        if answer in answers[: place - 1] or answer in question:
            raise BadAnswers(place, N_("Give each question an answer of its own that the question does not hold."))
    return tuple(Asked(" ".join(pair[0].split()), hash_password(_normalised(pair[1]))) for pair in pairs)


def store(session: Session, user_id: UUID, asked: Sequence[Asked], *, actor: audit.Actor, now: datetime) -> None:
    """Replace the person's questions, with an audit row that holds none of them."""
    session.execute(delete(SecurityAnswer).where(SecurityAnswer.user_id == user_id))
    for place, one in enumerate(asked, 1):
        values = {"place": place, "question": one.question, "answer_hash": one.answer_hash, "answered_at": now}
        session.add(SecurityAnswer(id=uuid4(), user_id=user_id, **values))
    subject, changes = people.get(session, user_id).email, {"security_questions": audit.CHANGED}
    audit.record(
        session, action="user.security_questions_changed", actor=actor, subject=subject, changes=changes, now=now
    )


def remove(session: Session, user_id: UUID) -> bool:
    """Delete the person's questions; whether there were any."""
    removed = delete(SecurityAnswer).where(SecurityAnswer.user_id == user_id).returning(SecurityAnswer.id)
    return bool(session.scalars(removed).all())


def has_some() -> ColumnElement[bool]:
    """Whether questions were set, in a query of people."""
    return exists().where(SecurityAnswer.user_id == User.id).correlate(User)


def people_who_set(session: Session) -> tuple[int, int]:
    """How many people have set at least one, and of how many who may sign in."""
    counted = select(func.count().filter(has_some()), func.count()).where(User.is_disabled.is_(False))
    row = session.execute(counted).one()
    return row[0], row[1]


def _normalised(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
