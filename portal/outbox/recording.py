"""Writing down what became of attempts: states, splits, attempt rows, erased bodies; one transaction of the caller's.

Only the owner of the lease may change a delivery, with one exception: a `sent` that comes late is the truth and
always counts, whatever others have made of the delivery meanwhile; what else comes late does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.engine import Connection

from portal.outbox import bodies
from portal.outbox.id_lists import id_list, is_among
from portal.outbox.leases import moment
from portal.outbox.models import Attempt, Delivery
from portal.outbox.outcomes import Outcome, Part
from portal.outbox.ready_statements import ReadyInsert, ReadyListing, ReadyStatement
from portal.outbox.row_locks import lock_messages
from portal.outbox.states import ENDED, LATE_SENT, State, may_become, status_of
from portal.secret_box import SecretBox

REPLY_LIMIT = 1000  # characters
Ended = tuple[UUID, State]
_TABLE = Delivery.__table__
_UNLEASED: dict[str, Any] = {"lease_owner": None, "lease_until": None}


_IS_OURS = (Delivery.state == State.SENDING, Delivery.lease_owner == bindparam("owner"))
_ADD_ATTEMPTS = ReadyInsert(Attempt)
_OURS = ReadyListing(
    lambda dialect: (
        select(Delivery.id)
        .where(is_among(Delivery.id, dialect), *_IS_OURS)
        .order_by(Delivery.id)
        .with_for_update(key_share=True)
    )
)
_PLAIN_SUCCESS = ReadyStatement(
    lambda dialect: (
        update(Delivery)
        .where(is_among(Delivery.id, dialect), *_IS_OURS)
        .values(state=State.SENT, ended_at=bindparam("now"), attempt_number=Delivery.attempt_number + 1, **_UNLEASED)
    )
)


class Recorder:
    """Records the outcomes of one owner within one transaction."""

    def __init__(
        self, connection: Connection, *, owner: str, box: SecretBox, now: datetime, uncertain_for: timedelta
    ) -> None:
        self._connection = connection
        self._owner = owner
        self._box = box
        self._now = now
        self._uncertain_for = uncertain_for
        self._attempts: list[dict[str, Any]] = []

    def record(self, outcomes: Sequence[Outcome]) -> list[Ended]:
        """Write the outcomes; returns the messages that have now wholly ended, with their end states."""
        in_parts = {outcome.loaded.claimed.message_id for outcome in outcomes if outcome.loaded.is_part}
        lock_messages(self._connection, in_parts)
        plain = [outcome for outcome in outcomes if _is_plain_success(outcome)]
        late = self._record_plain(plain) if plain else set()
        for outcome in outcomes:
            if not _is_plain_success(outcome) or outcome.loaded.claimed.id in late:
                self._record_parts(outcome)
        _ADD_ATTEMPTS.add(self._connection, self._attempts)
        bodies.erase_secrets(
            self._connection,
            {outcome.loaded.claimed.message_id for outcome in outcomes if outcome.loaded.is_secret and _ends(outcome)},
        )
        return self._ended(outcomes)

    def _record_plain(self, outcomes: Sequence[Outcome]) -> set[int]:
        """One change of all that were simply sent; returns the ids of those whose lease was lost."""
        ids = {outcome.loaded.claimed.id for outcome in outcomes}
        dialect = self._connection.dialect.name
        ours = {row[0] for row in _OURS.rows(self._connection, {"ids": id_list(ids, dialect), "owner": self._owner})}
        if ours:
            values = {"ids": id_list(ours, dialect), "owner": self._owner, "now": self._now}
            _PLAIN_SUCCESS.run(self._connection, values)
        for outcome in outcomes:
            if outcome.loaded.claimed.id in ours:
                self._add_attempt(outcome, outcome.parts[0], outcome.loaded.claimed.id)
        return ids - ours

    def _record_parts(self, outcome: Outcome) -> None:
        claimed = outcome.loaded.claimed
        row = self._connection.execute(select(_TABLE).where(_TABLE.c.id == claimed.id).with_for_update()).one_or_none()
        if row is None:
            return
        is_ours = row.state == State.SENDING and row.lease_owner == self._owner
        parts = [part for part in outcome.parts if is_ours or part.state is State.SENT]
        present = set(row.rcpt_to)
        parts = [part._replace(rcpt_to=kept) for part in parts if (kept := _only(part.rcpt_to, present))]
        if not parts:
            return
        if row.state == State.SENT:
            self._add_attempt(outcome, parts[0], row.id)  # a second copy: nothing changes, but it is told
            return
        if outcome.kept is not None:
            bodies.keep_captured(
                self._connection,
                claimed.message_id,
                outcome.kept,
                is_secret=outcome.loaded.is_secret,
                box=self._box,
                now=self._now,
            )
        if not is_ours:
            self._record_late(outcome, row, parts[0])
            return
        is_split = len(parts) > 1
        self._change(outcome, parts[0], row, is_split=is_split)
        for part in parts[1:]:
            self._split_off(outcome, part, row)

    def _record_late(self, outcome: Outcome, row: Row[Any], sent: Part) -> None:
        rest = [address for address in row.rcpt_to if address not in sent.rcpt_to]
        if not rest:
            self._connection.execute(
                update(Delivery)
                .where(Delivery.id == row.id, Delivery.state.in_(sorted(LATE_SENT)))
                .values(**self._values(outcome, sent, row))
            )
            self._add_attempt(outcome, sent, row.id)
            return
        self._connection.execute(update(Delivery).where(Delivery.id == row.id).values(rcpt_to=rest, is_part=True))
        self._split_off(outcome, sent, row)

    def _change(self, outcome: Outcome, part: Part, row: Row[Any], *, is_split: bool) -> None:
        values = self._values(outcome, part, row)
        if is_split:
            values |= {"rcpt_to": list(part.rcpt_to), "is_part": True}
        ours = update(Delivery).where(Delivery.id == row.id, Delivery.lease_owner == self._owner)
        if part.state is State.HELD:  # the way there leads through the queue
            self._connection.execute(ours.where(Delivery.state == State.SENDING).values(state=State.QUEUED))
            ours = ours.where(Delivery.state.in_(may_become(State.HELD)))
        else:
            ours = ours.where(Delivery.state == State.SENDING)
        self._connection.execute(ours.values(**values))
        self._add_attempt(outcome, part, row.id)

    def _split_off(self, outcome: Outcome, part: Part, row: Row[Any]) -> None:
        values = {column.name: getattr(row, column.name) for column in _TABLE.c if column.name != "id"}
        values |= self._values(outcome, part, row) | {"rcpt_to": list(part.rcpt_to), "is_part": True}
        new_id = self._connection.scalar(insert(Delivery).values(values).returning(Delivery.id))
        self._add_attempt(outcome, part, new_id)

    def _values(self, outcome: Outcome, part: Part, row: Row[Any]) -> dict[str, Any]:
        values: dict[str, Any] = {"state": part.state, "held_reason": part.held_reason, **_UNLEASED}
        values["attempt_number"] = row.attempt_number + (1 if part.counts else 0)
        values["ended_at"] = self._now if part.state in ENDED else None
        if part.state is State.SENT:
            values["is_captured"] = outcome.kept is not None
        if part.state is State.DEFERRED:
            values["due_at"] = part.due_at
            values["lost_leases"] = 0  # it was in hand and no worker died of it
        if part.state is State.UNCERTAIN:
            values["lost_replies"] = row.lost_replies + 1
            values["lease_until"] = moment(self._connection, self._now, self._uncertain_for)
        return values

    def _add_attempt(self, outcome: Outcome, part: Part, delivery_id: int | None) -> None:
        if part.reply.code == 0 and not part.reply.text and not part.code:
            return  # given back: nothing was tried
        self._attempts.append(
            {
                "delivery_id": delivery_id,
                "verdict": part.state,
                "started_at": outcome.started_at,
                "elapsed_ms": outcome.elapsed_ms,
                "step": part.step,
                "reply_code": part.reply.code,
                "enhanced_status_code": part.reply.enhanced_status_code,
                "reply_text": _storable(part.reply.text),
                "code": part.code,
                "other_replies": part.other_replies,
                "connection_id": outcome.connection_id,
                "connection_name": outcome.connection_name[:200],
            }
        )

    def _ended(self, outcomes: Iterable[Outcome]) -> list[Ended]:
        ended: list[Ended] = []
        for outcome in outcomes:
            message_id = outcome.loaded.claimed.message_id
            if len(outcome.parts) == 1 and not outcome.loaded.is_part and _is_plain_success(outcome):
                ended.append((message_id, State.SENT))
            elif _ends(outcome):
                ended.extend(whole_ends(self._connection, [message_id]))
        return ended


def whole_ends(connection: Connection, message_ids: Iterable[UUID]) -> list[Ended]:
    """Those of the messages all of whose deliveries have ended, with the end states."""
    states: dict[UUID, set[State]] = {}
    for row in connection.execute(
        select(Delivery.message_id, Delivery.state).where(Delivery.message_id.in_(set(message_ids)))
    ):
        states.setdefault(row.message_id, set()).add(State(row.state))
    return [(message_id, status_of(found)) for message_id, found in states.items() if found <= ENDED]


def _is_plain_success(outcome: Outcome) -> bool:
    return outcome.kept is None and len(outcome.parts) == 1 and outcome.parts[0].state is State.SENT


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, and neither database half a surrogate pair; a server may say both."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:REPLY_LIMIT]


def _ends(outcome: Outcome) -> bool:
    return any(part.state in ENDED for part in outcome.parts)


def _only(addresses: Sequence[str], present: set[str]) -> tuple[str, ...]:
    return tuple(address for address in addresses if address in present)
