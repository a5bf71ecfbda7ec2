"""Each arrow of the table, taken by the operation that takes it in life; and every other pair refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from portal.database import writing
from portal.outbox import commands, contents, slices
from portal.outbox.claim import Claimed
from portal.outbox.prepared import WaysOut
from portal.outbox.states import State
from portal.transports import (
    Abandoned,
    OutgoingMessage,
    PermanentError,
    Reply,
    SendReport,
    Step,
    TransientError,
)
from tests.outbox.conftest import NOW, Outbox
from tests.outbox.scripted import DEFERRED, FAILED, SENT, UNCERTAIN, answers, report, way_out

GREYLISTED = TransientError(Step.RECIPIENT, code="smtp.greylisted", reply=Reply(451, "come back later", "4.7.1"))
SOON = NOW + timedelta(seconds=1)
LATER = NOW + timedelta(minutes=2)


def deferred(outbox: Outbox) -> UUID:
    id = outbox.add()
    outbox.world.main.then(GREYLISTED)
    outbox.send()
    assert outbox.state(id) == "deferred"
    return id


def switch_off(outbox: Outbox) -> None:
    outbox.world.routes["default"] = WaysOut(is_switched_off=True)


@pytest.mark.parametrize("start", [lambda outbox: outbox.add(), deferred])
def test_a_waiting_one_is_sending_while_it_is_handed_over(outbox: Outbox, start: Callable[[Outbox], UUID]) -> None:
    id = start(outbox)
    seen: list[str] = []

    def look(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        assert may_proceed()
        seen.append(outbox.state(id))
        return report(message)

    outbox.world.main.then(look)
    outbox.send(LATER)

    assert seen == ["sending"]


def test_queued_to_expired(outbox: Outbox) -> None:
    id = outbox.add(expires_at=SOON)

    outbox.send(LATER)

    assert outbox.state(id) == "expired"
    assert outbox.world.main.tried == []


def test_deferred_to_expired(outbox: Outbox) -> None:
    id = deferred(outbox)

    outbox.send(NOW + timedelta(days=4))

    assert outbox.state(id) == "expired"


@pytest.mark.parametrize("start", [lambda outbox: outbox.add(), deferred])
def test_a_waiting_one_to_cancelled(outbox: Outbox, start: Callable[[Outbox], UUID]) -> None:
    id = start(outbox)

    outbox.in_session(lambda session: commands.cancel(session, id, now=NOW))

    assert outbox.state(id) == "cancelled"


@pytest.mark.parametrize("start", [lambda outbox: outbox.add(), deferred])
def test_a_waiting_one_to_held_while_sending_is_switched_off(outbox: Outbox, start: Callable[[Outbox], UUID]) -> None:
    id = start(outbox)
    tried = len(outbox.world.main.tried)
    switch_off(outbox)

    outbox.send(LATER)

    assert outbox.state(id) == "held"
    assert len(outbox.world.main.tried) == tried


def test_held_to_queued_when_sending_is_on_again(outbox: Outbox) -> None:
    switch_off(outbox)
    id = outbox.add(held=True)
    outbox.send()
    assert outbox.state(id) == "held"

    outbox.world.lead("default", [way_out()])
    outbox.send()

    assert outbox.state(id) == "sent"


def test_held_to_queued_by_a_person(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.set(id, state="held", held_reason="crashes_worker", lost_leases=3)

    outbox.in_session(lambda session: commands.release(session, id, now=NOW))

    assert outbox.state(id) == "queued"
    assert outbox.delivery(id).lost_leases == 0


def test_held_to_cancelled(outbox: Outbox) -> None:
    id = outbox.add(held=True)

    outbox.in_session(lambda session: commands.cancel(session, id, now=NOW))

    assert outbox.state(id) == "cancelled"


def test_held_to_expired(outbox: Outbox) -> None:
    switch_off(outbox)
    id = outbox.add(held=True, expires_at=SOON)

    outbox.send(LATER)

    assert outbox.state(id) == "expired"


@pytest.mark.parametrize(
    ("verdict", "state"), [(SENT, "sent"), (DEFERRED, "deferred"), (FAILED, "failed"), (UNCERTAIN, "uncertain")]
)
def test_sending_to_what_the_report_says(outbox: Outbox, verdict: tuple[object, ...], state: str) -> None:
    id = outbox.add()
    outbox.world.main.then(answers(verdict))  # type: ignore[arg-type]

    outbox.send()

    assert outbox.state(id) == state


def test_sending_to_failed_by_an_error_for_good(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(PermanentError(Step.SENDER, code="smtp.message_too_large", seen="SIZE 1000"))

    outbox.send()

    assert outbox.state(id) == "failed"
    assert outbox.attempts(id)[0].code == "smtp.message_too_large"


def test_sending_to_expired_just_before_the_point_of_no_return(outbox: Outbox) -> None:
    id = outbox.add(expires_at=SOON)

    def slow(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        outbox.clock = LATER
        assert not may_proceed()
        raise Abandoned

    outbox.world.main.then(slow)
    outbox.send()

    assert outbox.state(id) == "expired"
    assert outbox.world.main.taken == []


def test_sending_to_queued_when_surely_nothing_was_handed_over(outbox: Outbox) -> None:
    first, second = outbox.add(), outbox.add()
    outbox.world.main.then(TransientError(Step.CONNECT, code="network.connection_refused", seen="refused"))

    outbox.send()

    assert outbox.state(first) == "deferred"
    assert outbox.state(second) == "sent"  # given back to the queue, then sent by the next slice
    assert [row.verdict for row in outbox.attempts(second)] == ["sent"]


def test_uncertain_to_queued_after_the_lease(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(answers(UNCERTAIN))
    outbox.send()
    outbox.set(id, lease_until=NOW)

    outbox.send(LATER)

    assert outbox.state(id) == "sent"
    assert outbox.world.main.message_ids == [f"<{id}@contoso.test>"] * 2


def test_uncertain_to_cancelled_by_a_person(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.set(id, state="uncertain")

    outbox.in_session(lambda session: commands.cancel(session, id, now=NOW))

    assert outbox.state(id) == "cancelled"


def test_uncertain_to_queued_by_a_person_who_does_not_wait(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(answers(UNCERTAIN))
    outbox.send()

    outbox.in_session(lambda session: commands.retry(session, id, now=NOW))
    outbox.send()

    assert outbox.state(id) == "sent"


Act = Callable[[Outbox, UUID], object]


def _start(outbox: Outbox, id: UUID) -> None:
    outbox.set(id, lease_owner="me", lease_until=outbox.lease_clock() + timedelta(minutes=1))
    assert _started(outbox, id, owner="me", now=NOW) == []


def _started(outbox: Outbox, id: UUID, *, owner: str, now: datetime) -> list[int]:
    row = outbox.delivery(id)
    claimed = Claimed(*(getattr(row, name) for name in Claimed._fields))
    with writing(outbox.engine).begin() as connection:
        started = contents.start(connection, [claimed], owner=owner, now=now, lease=timedelta(minutes=1))
    return [one.id for one, _ in started]


@pytest.mark.parametrize(
    ("owner", "after", "starts"),
    [("me", timedelta(0), True), ("another", timedelta(0), False), ("me", timedelta(days=4), False)],
    ids=["ours", "of another owner", "past its time"],
)
def test_only_what_we_hold_in_time_begins(outbox: Outbox, owner: str, after: timedelta, starts: bool) -> None:
    id = outbox.add()
    outbox.set(id, lease_owner="me", lease_until=outbox.lease_clock() + timedelta(minutes=1))

    started = _started(outbox, id, owner=owner, now=NOW + after)

    assert started == ([outbox.delivery(id).id] if starts else [])
    assert outbox.state(id) == ("sending" if starts else "queued")


def _expire(outbox: Outbox, _id: UUID) -> None:
    with writing(outbox.engine).begin() as connection:
        slices.expire(connection, NOW + timedelta(days=4))


def _hold(outbox: Outbox, _id: UUID) -> None:
    with writing(outbox.engine).begin() as connection:
        slices.hold_switched_off(connection, "default")


def _switch_on(outbox: Outbox, _id: UUID) -> None:
    with writing(outbox.engine).begin() as connection:
        slices.release_switched_on(connection, "default")


def _by_person(command: Callable[..., None]) -> Act:
    def act(outbox: Outbox, id: UUID) -> None:
        with pytest.raises(commands.NotPossible):
            outbox.in_session(lambda session: command(session, id, now=NOW))

    return act


@pytest.mark.parametrize(
    ("act", "legal"),
    [
        (_start, {"queued", "deferred"}),
        (_expire, {"queued", "deferred", "held"}),
        (_hold, {"queued", "deferred"}),
        (_switch_on, {"held"}),
        (_by_person(commands.cancel), {"queued", "deferred", "held", "uncertain"}),
        (_by_person(commands.release), {"held"}),
        (_by_person(commands.retry), {"queued", "deferred", "held", "uncertain"}),
    ],
    ids=["start", "expire", "hold", "switch on", "cancel", "release", "retry"],
)
def test_every_other_pair_is_refused(outbox: Outbox, act: Act, legal: set[str]) -> None:
    for state in sorted(set(State) - legal):
        id = outbox.add()
        ended = NOW if state in {"sent", "failed", "expired", "cancelled"} else None
        outbox.set(id, state=state, ended_at=ended)

        act(outbox, id)

        assert outbox.state(id) == state
        outbox.set(id, state="sent", ended_at=NOW)
