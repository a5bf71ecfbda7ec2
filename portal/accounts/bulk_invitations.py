"""Inviting many: a list is kept as a draft, looked at, confirmed, and then worked off by the worker line by line.

A line, its account, its invitation and its mail are one unit of work, so a worker that is killed does nothing twice.
Where no mail can leave, the rest of a confirmed list waits until it can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from portal import audit, outbox
from portal.accounts import people, user_changes
from portal.accounts.import_lines import Line
from portal.accounts.import_models import ImportLine, ImportRun
from portal.accounts.models import User, UserAddress
from portal.accounts.people import AddressError, NewPerson, NotAdded
from portal.accounts.user_names import LANGUAGES, IdentifierError, name_key
from portal.mail.addresses import same_address_key
from portal.wording import N_, Text

STATES = {
    "waiting": N_("Will be invited"),
    "invited": N_("Invited"),
    "known": N_("There already"),
    "refused": N_("Not invited"),
}
SHOWN = 200  # lines a page
KEEP_DRAFT = timedelta(days=1)
KEEP_DONE = timedelta(days=30)
_AT_ONCE = 500  # keys in one look-up
_KEPT = {"email": 320, "name": 200, "role": 16, "phone": 40, "user_name": 100, "language": 16}


@dataclass(frozen=True)
class Run:
    """A list and how far it is. `counts` has the lines by state."""

    id: UUID
    state: str
    actor_name: str
    created_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def is_draft(self) -> bool:
        return self.state == "draft"

    @property
    def is_under_way(self) -> bool:
        return self.state == "confirmed"


@dataclass(frozen=True)
class ShownLine:
    number: int
    state: str
    email: str
    name: str
    role: str
    reason: Text | None


def keep_draft(
    session: Session, lines: Sequence[Line], *, role: str, language: str, actor: audit.Actor, now: datetime
) -> UUID:
    """Judge each line and keep the list as a draft, which changes nothing. `role` and `language` fill empty cells.

    Raises NotAllowed for somebody who is no administrator (any more).
    """
    user_changes.require_administrator(session, actor)
    run = ImportRun(
        id=uuid4(),
        actor_id=actor.user_id,
        actor_name=actor.name[:320],
        actor_address=actor.address[:64],
        created_at=now,
    )
    session.add(run)
    session.flush()
    session.execute(insert(ImportLine), [{"run_id": run.id, **row} for row in _judged(session, lines, role, language)])
    return run.id


def confirm(session: Session, run_id: UUID, *, actor: audit.Actor, now: datetime) -> bool:
    """Have the worker invite whoever can be; False where it was confirmed before. Raises NotAllowed."""
    user_changes.require_administrator(session, actor)
    confirming = update(ImportRun).where(ImportRun.id == run_id, ImportRun.state == "draft")
    values = {"actor_id": actor.user_id, "actor_name": actor.name[:320], "actor_address": actor.address[:64]}
    confirmed = confirming.values(state="confirmed", **values).returning(ImportRun.id)
    if session.scalar(confirmed) is None:
        return False
    count = session.scalar(select(func.count()).where(ImportLine.run_id == run_id, ImportLine.state == "waiting")) or 0
    changes = {"people": (None, count)}
    audit.record(session, action="user.import_confirmed", actor=actor, subject=str(run_id), changes=changes, now=now)
    outbox.wake(session)
    return True


def find_run(session: Session, run_id: UUID) -> Run | None:
    columns = (ImportRun.id, ImportRun.state, ImportRun.actor_name, ImportRun.created_at, ImportRun.finished_at)
    row = session.execute(select(*columns).where(ImportRun.id == run_id)).one_or_none()
    if row is None:
        return None
    counted = select(ImportLine.state, func.count().label("number")).where(ImportLine.run_id == run_id)
    counts = session.execute(counted.group_by(ImportLine.state)).all()
    return Run(*row, counts=dict.fromkeys(STATES, 0) | {row.state: row.number for row in counts})


def lines_of(
    session: Session, run_id: UUID, *, after: int = 0, states: Collection[str] = tuple(STATES), limit: int = SHOWN
) -> list[ShownLine]:
    """The lines in these states behind the one with the number `after`, in their order."""
    columns = (ImportLine.number, ImportLine.state, ImportLine.email, ImportLine.name, ImportLine.role)
    lines = select(*columns, ImportLine.reason).where(ImportLine.run_id == run_id, ImportLine.number > after)
    found = lines.where(ImportLine.state.in_(states)).order_by(ImportLine.number).limit(limit)
    return [
        ShownLine(row.number, row.state, row.email, row.name, row.role, Text.from_json(row.reason))
        for row in session.execute(found)
    ]


def has_waiting(engine: Engine) -> bool:
    """Whether a confirmed list is not finished; a short read of its own, asked after every commit."""
    with engine.connect() as connection:
        return (
            connection.execute(select(ImportRun.id).where(ImportRun.state == "confirmed").limit(1)).first() is not None
        )


def purge(session: Session, *, now: datetime) -> None:
    """Remove drafts that nobody confirmed, and lists that were done a month ago: they name people."""
    draft = (ImportRun.state == "draft") & (ImportRun.created_at < now - KEEP_DRAFT)
    done = (ImportRun.state == "done") & (ImportRun.finished_at < now - KEEP_DONE)
    session.execute(delete(ImportRun).where(draft | done))


def new_person(line: ImportLine) -> NewPerson:
    """Whom a line asks for. Raises AddressError, IdentifierError, NotAdded."""
    return people.prepare_invited(
        email=line.email,
        role=line.role,
        name=line.name,
        phone=line.phone,
        user_name=line.user_name,
        language=line.language,
    )


def _judged(session: Session, lines: Sequence[Line], role: str, language: str) -> list[dict[str, Any]]:
    keys = [same_address_key(line.address) for line in lines]
    known, taken = _known_addresses(session, keys), _taken_names(session, lines)
    seen: Counter[str] = Counter()
    rows = []
    for line, key in zip(lines, keys, strict=True):
        wanted = {**_values(line), "role": line.role.lower() or role, "language": line.language.lower() or language}
        state, reason = _judge(wanted, key, known=known, taken=taken, seen=seen)
        seen.update({f"address {key}": 1, f"name {name_key(line.user_name)}": 1})
        kept = {name: wanted[name][:length] for name, length in _KEPT.items()}
        rows.append({"number": line.number, "state": state, "reason": reason and reason.to_json(), **kept})
    return rows


def _values(line: Line) -> dict[str, str]:
    return {"email": line.address, "name": line.name, "phone": line.phone, "user_name": line.user_name}


def _judge(
    wanted: Mapping[str, str], key: str, *, known: set[str], taken: set[str], seen: Counter[str]
) -> tuple[str, Text | None]:
    reason, user_name = _fault(wanted)
    if reason:
        return "refused", reason
    if key in known:
        return "known", N_("There is an account with this address already.")
    if seen[f"address {key}"]:
        return "refused", N_("This address stands in the list twice.")
    name = name_key(user_name)
    if name and (name in taken or seen[f"name {name}"]):
        return "refused", N_("Somebody has the user name %(name)s already.", name=user_name)
    return "waiting", None


def _fault(wanted: Mapping[str, str]) -> tuple[Text | None, str]:
    """What is wrong with the values themselves, and the user name in its one form."""
    if wanted["role"] not in people.ROLES:
        return N_("There is no role “%(role)s”: it is admin, helpdesk or user.", role=wanted["role"][:40]), ""
    if wanted["language"] not in LANGUAGES:
        return N_("There is no language “%(language)s”.", language=wanted["language"][:40]), ""
    try:
        return None, people.prepare_invited(**wanted).user_name
    except (AddressError, IdentifierError, NotAdded) as error:
        return error.reason, ""


def _known_addresses(session: Session, keys: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for some in _slices(sorted(set(keys) - {""})):
        known.update(session.scalars(select(User.email_key).where(User.email_key.in_(some))))
        beside = select(UserAddress.address_key).where(UserAddress.validated_at.is_not(None))
        known.update(session.scalars(beside.where(UserAddress.address_key.in_(some))))
    return known


def _taken_names(session: Session, lines: Sequence[Line]) -> set[str]:
    taken: set[str] = set()
    for some in _slices(sorted({name_key(line.user_name) for line in lines} - {""})):
        found = session.scalars(select(User.user_name_key).where(User.user_name_key.in_(some)))
        taken.update(key for key in found if key)
    return taken


def _slices(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))


def finish_if_done(session: Session, run_id: UUID, *, now: datetime) -> None:
    """A list without a waiting line is done."""
    waiting = exists().where(ImportLine.run_id == run_id, ImportLine.state == "waiting")
    done = update(ImportRun).where(ImportRun.id == run_id, ImportRun.state == "confirmed", ~waiting)
    session.execute(done.values(state="done", finished_at=now).execution_options(synchronize_session=False))
