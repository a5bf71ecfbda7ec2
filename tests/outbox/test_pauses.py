"""A fault of the way out fails no message: the way out is paused, told once, probed and resumed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from portal import outbox as room
from portal.mail.addresses import Mailbox
from portal.outbox.pauses import WayOutState
from portal.outbox.prepared import Schedule
from portal.transports import (
    ConnectionFault,
    OutgoingMessage,
    QuotaReached,
    Reply,
    SendReport,
    Step,
    TransientError,
    TransportError,
)
from tests.outbox.conftest import NOW, TEST, Outbox
from tests.outbox.scripted import MAIN, NOT_YOU, OTHER, UNCERTAIN, answers, report, way_out

BAD_PASSWORD = ConnectionFault(
    Step.AUTHENTICATE, code="smtp.bad_credentials", reply=Reply(535, "authentication failed", "5.7.8")
)
EXPIRED = ConnectionFault(Step.TLS, code="tls.expired_certificate", seen="the certificate expired yesterday")
REFUSED = TransientError(Step.CONNECT, code="network.connection_refused", seen="connection refused")
RATE = QuotaReached(
    Step.SENDER, code="smtp.quota", retry_after=timedelta(minutes=15), reply=Reply(432, "slow down", "4.3.2")
)
GREYLISTED = TransientError(Step.RECIPIENT, code="smtp.greylisted", reply=Reply(451, "later", "4.7.1"))
BOSS = Mailbox("boss@contoso.test")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def state_of(outbox: Outbox) -> WayOutState:
    states: dict[object, WayOutState] = outbox.in_session(room.way_out_states)
    return states.get(MAIN, WayOutState())


def test_a_wrong_password_fails_no_message_and_is_tried_once(outbox: Outbox) -> None:
    for _ in range(30):
        outbox.add()
    outbox.world.main.always = BAD_PASSWORD

    outbox.send()
    outbox.send(NOW + minutes(1))

    assert len(outbox.world.main.tried) == 1
    assert sorted(outbox.states()) == ["deferred"] + ["queued"] * 29
    assert max(row.attempt_number for row in outbox.deliveries()) == 0


def test_a_paused_way_out_says_why_since_when_and_when_it_is_tried_again(outbox: Outbox) -> None:
    outbox.add()
    outbox.world.main.always = BAD_PASSWORD

    outbox.send()

    state = state_of(outbox)
    assert (state.status, state.code, state.since) == ("paused", "smtp.bad_credentials", NOW)
    assert "535 5.7.8 authentication failed" in str(state.reason)


@pytest.mark.parametrize(("fault", "wait"), [(BAD_PASSWORD, 30), (EXPIRED, 5)])
def test_a_fault_is_probed_with_one_message_at_its_time(outbox: Outbox, fault: TransportError, wait: int) -> None:
    for _ in range(5):
        outbox.add()
    outbox.world.main.always = fault
    outbox.send()

    outbox.send(NOW + minutes(wait) - timedelta(seconds=1))
    too_early = len(outbox.world.main.tried)
    outbox.send(NOW + minutes(wait))

    assert too_early == 1
    assert len(outbox.world.main.tried) == 2
    assert state_of(outbox).next_probe_at == NOW + minutes(2 * wait)
    assert state_of(outbox).since == NOW


def test_a_probe_that_succeeds_resumes_the_way_out(outbox: Outbox) -> None:
    for _ in range(5):
        outbox.add()
    outbox.world.main.then(EXPIRED)
    outbox.send()

    outbox.send(NOW + minutes(5))

    assert state_of(outbox).status == "ready"
    assert outbox.states() == ["sent"] * 5


def test_administrators_are_told_once(outbox: Outbox) -> None:
    outbox.add()
    outbox.world.main.always = EXPIRED

    for wait in (0, 5, 10, 15):
        outbox.send(NOW + minutes(wait))

    assert len(outbox.world.main.tried) == 4
    assert [(pause.code, pause.cause) for pause in outbox.paused] == [("tls.expired_certificate", "fault")]


def test_messages_still_expire_while_their_way_out_is_paused(outbox: Outbox) -> None:
    id = outbox.add(expires_at=NOW + minutes(3))
    outbox.world.main.always = EXPIRED
    outbox.send()

    outbox.send(NOW + minutes(4))

    assert outbox.state(id) == "expired"


def test_a_changed_or_checked_connection_is_tried_at_once(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(BAD_PASSWORD)
    outbox.send()

    outbox.in_session(lambda session: room.resume(session, MAIN))
    outbox.send(NOW + timedelta(seconds=1))

    assert outbox.state(id) == "sent"
    assert state_of(outbox).status == "ready"


def test_a_dead_way_out_holds_up_nobody_else(outbox: Outbox) -> None:
    blocked = [outbox.add() for _ in range(20)]
    other = [outbox.add(route="server:other") for _ in range(20)]
    outbox.world.main.always = REFUSED

    outbox.send()

    assert {outbox.state(id) for id in other} == {"sent"}
    assert "sent" not in {outbox.state(id) for id in blocked}


def test_three_connection_failures_in_a_row_pause_for_half_a_minute(outbox: Outbox) -> None:
    for _ in range(10):
        outbox.add()
    outbox.world.main.always = REFUSED

    outbox.send()

    assert len(outbox.world.main.tried) == 3
    assert state_of(outbox).code == "network.connection_refused"
    assert state_of(outbox).next_probe_at == NOW + timedelta(seconds=30)
    assert [pause.cause for pause in outbox.paused] == ["unreachable"]


def test_the_pauses_of_an_unreachable_server_double_to_ten_minutes(outbox: Outbox) -> None:
    for _ in range(20):
        outbox.add()
    outbox.world.main.always = REFUSED
    outbox.send()

    pauses, at = [], NOW
    for _ in range(7):
        probe_at = state_of(outbox).next_probe_at
        assert probe_at is not None
        pauses.append((probe_at - at).total_seconds())
        at = probe_at
        outbox.send(at)

    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    assert len(outbox.world.main.tried) == 3 + 7


def test_a_success_between_failures_starts_the_count_anew(outbox: Outbox) -> None:
    for _ in range(3):
        outbox.world.main.then(REFUSED, REFUSED, answers())
    for _ in range(9):
        outbox.add()

    outbox.send()

    assert state_of(outbox).status == "ready"
    assert len(outbox.world.main.taken) >= 3


def test_a_refusing_recipient_is_no_failure_of_the_connection(outbox: Outbox) -> None:
    for _ in range(5):
        outbox.add()
    greylisted = TransientError(Step.RECIPIENT, code="smtp.greylisted", reply=Reply(451, "later", "4.7.1"))
    outbox.world.main.always = greylisted

    outbox.send()

    assert state_of(outbox).status == "ready"
    assert outbox.states() == ["deferred"] * 5


def test_a_reached_quota_rests_the_way_out_counts_nothing_and_is_no_news(outbox: Outbox) -> None:
    for _ in range(5):
        outbox.add()
    outbox.world.main.then(RATE)
    outbox.send()
    rested = state_of(outbox)

    outbox.send(NOW + minutes(15))

    assert (rested.status, rested.next_probe_at) == ("paused", NOW + minutes(15))
    assert outbox.paused == []
    assert outbox.states() == ["sent"] * 5
    assert max(row.attempt_number for row in outbox.deliveries()) == 1


def test_a_way_out_rests_at_most_an_hour(outbox: Outbox) -> None:
    outbox.add()
    daily = QuotaReached(
        Step.SENDER, code="smtp.quota", retry_after=timedelta(days=1), reply=Reply(550, "limit", "5.4.5")
    )
    outbox.world.main.then(daily)

    outbox.send()

    assert state_of(outbox).next_probe_at == NOW + minutes(60)


def test_a_refused_sender_is_paused_alone(outbox: Outbox) -> None:
    boss = Mailbox("boss@contoso.test")
    refused = [outbox.add(from_mailbox=boss) for _ in range(5)]
    outbox.world.main.then(NOT_YOU)
    outbox.send()
    others = [outbox.add() for _ in range(5)]

    outbox.send(NOW + timedelta(seconds=1))

    assert {outbox.state(id) for id in others} == {"sent"}
    assert "sent" not in {outbox.state(id) for id in refused}
    assert len(outbox.world.main.tried) == 1 + 5
    assert state_of(outbox).status == "ready"
    assert list(state_of(outbox).refused) == ["boss@contoso.test"]
    assert [pause.sender for pause in outbox.paused] == ["boss@contoso.test"]


def test_a_refused_sender_is_probed_and_then_let_through(outbox: Outbox) -> None:
    boss = Mailbox("boss@contoso.test")
    refused = [outbox.add(from_mailbox=boss) for _ in range(5)]
    outbox.world.main.then(NOT_YOU, NOT_YOU)
    outbox.send()

    outbox.send(NOW + minutes(5))
    after_first_probe = len(outbox.world.main.tried)
    outbox.send(NOW + minutes(10))
    outbox.send(NOW + minutes(10) + timedelta(seconds=1))

    assert after_first_probe == 2
    assert {outbox.state(id) for id in refused} == {"sent"}
    assert state_of(outbox).refused == {}
    assert len(outbox.paused) == 1


def test_resuming_lets_a_refused_sender_go_at_once(outbox: Outbox) -> None:
    refused = [outbox.add(from_mailbox=Mailbox("boss@contoso.test")) for _ in range(5)]
    outbox.world.main.then(NOT_YOU)
    outbox.send()

    outbox.in_session(lambda session: room.resume(session, MAIN))
    outbox.send(NOW + timedelta(seconds=1))

    assert {outbox.state(id) for id in refused} == {"sent"}


def test_a_refused_sender_is_probed_every_five_minutes_with_one_message(outbox: Outbox) -> None:
    for _ in range(5):
        outbox.add(from_mailbox=BOSS)
    outbox.world.main.always = NOT_YOU
    outbox.send()

    outbox.send(NOW + minutes(5))
    outbox.send(NOW + minutes(10) - timedelta(seconds=1))
    too_early = len(outbox.world.main.tried)
    outbox.send(NOW + minutes(10))

    assert too_early == 2
    assert len(outbox.world.main.tried) == 3
    assert state_of(outbox).refused["boss@contoso.test"].since == NOW
    assert {row.due_at for row in outbox.deliveries()} == {NOW + minutes(15)}


def resume(outbox: Outbox) -> None:
    outbox.in_session(lambda session: room.resume(session, MAIN))


def send_the_probe(outbox: Outbox) -> None:
    outbox.world.main.always = None
    outbox.send(NOW + minutes(5))


@pytest.mark.parametrize(("end", "at"), [(resume, 1), (send_the_probe, 5)])
def test_what_the_sender_sends_by_other_connections_keeps_its_time(
    outbox: Outbox, end: Callable[[Outbox], None], at: float
) -> None:
    here = [outbox.add(from_mailbox=BOSS) for _ in range(3)]
    outbox.world.main.always = NOT_YOU
    outbox.send()
    there = outbox.add(from_mailbox=BOSS, route="server:other")
    outbox.world.other.always = GREYLISTED
    outbox.send(NOW + timedelta(seconds=30))
    outbox.set(there, due_at=NOW + minutes(6))

    outbox.world.main.always = None
    end(outbox)
    outbox.send(NOW + minutes(at))

    assert {outbox.state(id) for id in here} == {"sent"}
    assert (outbox.state(there), outbox.delivery(there).due_at) == ("deferred", NOW + minutes(6))
    assert len(outbox.world.other.tried) == 1


def test_a_sender_that_two_connections_refuse_is_let_through_by_one_alone(outbox: Outbox) -> None:
    outbox.world.main.always = outbox.world.other.always = NOT_YOU
    for route in ("default", "server:other"):
        for _ in range(3):
            outbox.add(from_mailbox=BOSS, route=route)
        outbox.send(NOW if route == "default" else NOW + minutes(1))
    outbox.send(NOW + minutes(1))

    resume(outbox)

    assert [row.due_at for row in outbox.deliveries()] == [NOW] * 3 + [NOW + minutes(6)] * 3


@pytest.mark.parametrize("sender", [BOSS, None], ids=["named", "the way out's own"])
def test_what_a_recipients_server_put_off_keeps_its_time_when_its_sender_is_let_through(
    outbox: Outbox, sender: Mailbox | None
) -> None:
    greylisted = outbox.add(from_mailbox=sender, schedule=Schedule.BULK)
    outbox.world.main.then(GREYLISTED)
    outbox.send()
    due_at = outbox.delivery(greylisted).due_at
    refused = [outbox.add(from_mailbox=sender) for _ in range(3)]
    outbox.world.main.then(NOT_YOU)
    outbox.send(NOW + timedelta(seconds=1))

    resume(outbox)
    outbox.send(NOW + timedelta(seconds=2))

    assert {outbox.state(id) for id in refused} == {"sent"}
    assert due_at > NOW + minutes(3)
    assert (outbox.state(greylisted), outbox.delivery(greylisted).due_at) == ("deferred", due_at)


def test_a_sender_who_was_asked_to_wait_is_not_taken_for_refused(outbox: Outbox) -> None:
    outbox.world.main.then(TransientError(Step.SENDER, code=NOT_YOU.code, reply=Reply(451, "later", "4.7.1")), NOT_YOU)
    later = outbox.add(from_mailbox=BOSS, schedule=Schedule.BULK)
    outbox.send()
    due_at = outbox.delivery(later).due_at
    outbox.add(from_mailbox=BOSS)
    outbox.send(NOW + timedelta(seconds=1))

    resume(outbox)

    assert outbox.delivery(later).due_at == due_at


def test_a_refusal_that_is_written_down_late_waits_for_the_probe_of_its_pause(outbox: Outbox) -> None:
    """The rest of its slice took a second: the pause begins when the slice is written down."""
    refused, other = outbox.add(from_mailbox=BOSS), outbox.add()

    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        outbox.clock = NOW + timedelta(seconds=1)
        return report(message)

    outbox.world.main.then(NOT_YOU, slowly)
    outbox.send()
    waits = outbox.delivery(refused).due_at

    resume(outbox)
    outbox.send(NOW + timedelta(seconds=2))

    assert waits == NOW + timedelta(seconds=1) + minutes(5)
    assert (outbox.state(other), outbox.state(refused)) == ("sent", "sent")


def test_a_failed_probe_keeps_what_waits_and_resuming_lets_all_of_it_go(outbox: Outbox) -> None:
    refused = [outbox.add(from_mailbox=BOSS) for _ in range(5)]
    outbox.world.main.then(NOT_YOU, NOT_YOU)
    outbox.send()
    outbox.send(NOW + minutes(5))
    waits = {outbox.delivery(id).due_at for id in refused}

    resume(outbox)
    outbox.send(NOW + minutes(5) + timedelta(seconds=1))

    assert waits == {NOW + minutes(10)}
    assert {outbox.state(id) for id in refused} == {"sent"}


def test_of_two_senders_refused_on_one_connection_only_the_one_that_is_let_through_goes(outbox: Outbox) -> None:
    clerk = Mailbox("clerk@contoso.test")
    outbox.world.main.then(NOT_YOU)
    first = [outbox.add(from_mailbox=BOSS) for _ in range(3)]
    outbox.send()
    outbox.world.main.then(NOT_YOU)
    second = [outbox.add(from_mailbox=clerk) for _ in range(3)]
    outbox.send(NOW + minutes(1))

    outbox.send(NOW + minutes(5))
    outbox.send(NOW + minutes(5) + timedelta(seconds=1))

    assert {outbox.state(id) for id in first} == {"sent"}
    assert {outbox.delivery(id).due_at for id in second} == {NOW + minutes(6)}
    assert list(state_of(outbox).refused) == ["clerk@contoso.test"]


def test_a_fallback_is_taken_only_while_the_first_is_paused(outbox: Outbox) -> None:
    outbox.world.lead("default", [way_out(), way_out(OTHER)])
    first = outbox.add()
    outbox.world.main.then(EXPIRED)
    outbox.send()
    second = outbox.add()
    outbox.send(NOW + timedelta(seconds=1))
    by_fallback = len(outbox.world.other.taken)

    outbox.in_session(lambda session: room.resume(session, MAIN))
    third = outbox.add()
    outbox.send(NOW + timedelta(seconds=2))

    assert {outbox.state(id) for id in (first, second, third)} == {"sent"}
    assert by_fallback == 2
    assert outbox.world.main.message_ids == [f"<{third}@contoso.test>"]


def test_a_test_message_is_tried_though_the_connection_is_paused_and_mends_it(outbox: Outbox) -> None:
    waiting = outbox.add()
    outbox.world.main.then(BAD_PASSWORD)
    outbox.send()
    id = outbox.add(**TEST)

    outbox.send(NOW + timedelta(seconds=1))
    outbox.send(NOW + timedelta(seconds=2))

    assert outbox.state(id) == "sent"
    assert (state_of(outbox).status, outbox.state(waiting)) == ("ready", "sent")


@pytest.mark.parametrize("error", [BAD_PASSWORD, REFUSED, RATE, NOT_YOU])
def test_a_test_message_fails_at_once_and_pauses_nothing(outbox: Outbox, error: TransportError) -> None:
    ids = [outbox.add(**TEST) for _ in range(3)]
    outbox.world.main.always = error

    outbox.send()

    assert [outbox.state(id) for id in ids] == ["failed"] * 3
    assert (state_of(outbox).status, outbox.paused) == ("ready", [])
    assert outbox.attempts(ids[0])[0].code == error.code


def test_a_test_message_whose_answer_is_lost_stays_uncertain(outbox: Outbox) -> None:
    id = outbox.add(**TEST)
    outbox.world.main.then(answers(UNCERTAIN))
    outbox.send()

    outbox.send(NOW + minutes(5))

    assert outbox.state(id) == "uncertain"


def test_a_test_message_without_a_way_out_fails_and_says_why(outbox: Outbox) -> None:
    id = outbox.add(**{**TEST, "route": "connection:gone"})

    outbox.send()

    assert (outbox.state(id), outbox.attempts(id)[0].code) == ("failed", "outbox.no_way_out")


def test_a_way_out_that_names_no_sender_waits(outbox: Outbox) -> None:
    outbox.world.lead("default", [way_out(from_mailbox=None)])
    id = outbox.add()

    outbox.send()

    assert outbox.state(id) == "deferred"
    assert state_of(outbox).code == "settings.incomplete"


def test_a_changed_default_acts_at_once(outbox: Outbox) -> None:
    id = outbox.add()
    outbox.world.main.then(EXPIRED)
    outbox.send()

    outbox.world.lead("default", [way_out(OTHER)])
    outbox.send(NOW + timedelta(seconds=1))

    assert outbox.state(id) == "sent"
    assert len(outbox.world.other.taken) == 1


def test_the_first_way_out_is_probed_while_a_fallback_serves(outbox: Outbox) -> None:
    outbox.world.lead("default", [way_out(), way_out(OTHER)])
    outbox.add()
    outbox.world.main.then(EXPIRED)
    outbox.send()
    assert len(outbox.world.other.taken) == 1

    for _ in range(5):
        outbox.add()
    outbox.send(NOW + minutes(5))

    assert state_of(outbox).status == "ready"
    assert len(outbox.world.main.taken) >= 1
    assert outbox.states() == ["sent"] * 6
