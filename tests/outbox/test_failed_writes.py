"""A database that fails at one write: what the worker had claimed comes again, and nothing waits for its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from portal.outbox import claim, outgrown, pausing
from portal.outbox.dispatcher import Dispatcher
from portal.outbox.ledger import Ledger
from portal.outbox.lines import Line
from portal.outbox.prepared import WaysOut
from portal.outbox.senders import Sender
from portal.transports import Abandoned, OutgoingMessage, SendReport
from portal.wording import N_
from tests.outbox.conftest import NOW, TEST, Outbox, StartWorker, fails_once, until
from tests.outbox.scripted import NOT_YOU, OTHER, report, way_out

SHOP = "shop@contoso.test"
LEASE = timedelta(seconds=1)


def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
    time.sleep(0.05)
    if not may_proceed():
        raise Abandoned
    return report(message)


def interrupted(_message: OutgoingMessage, _may_proceed: Callable[[], bool]) -> SendReport:
    raise KeyboardInterrupt  # what nobody takes for an answer


@pytest.fixture
def outbox(outbox: Outbox) -> Outbox:
    """One slow line, so that much waits in the pool."""
    outbox.world.main.always = slowly
    outbox.world.lead("default", [way_out(max_connections=1)])
    return outbox


def test_what_could_not_be_given_back_leaves_by_the_other_way_once_its_lease_is_over(
    outbox: Outbox, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(100):
        outbox.add()
    start_worker(lease=LEASE)
    until(lambda: len(outbox.ended) >= 5)
    failed = fails_once(monkeypatch, claim, "release")

    outbox.world.lead("default", [way_out(OTHER, max_connections=1)])
    outbox.add()

    until(lambda: len(outbox.ended) == 101)
    assert failed
    assert outbox.states() == ["sent"] * 101
    assert len(outbox.world.other.taken) > 50


def test_what_a_stand_in_was_about_to_look_at_comes_again(
    outbox: Outbox, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.world.lead("default", [replace(way_out(max_connections=1), is_fallback=True)])
    failed = fails_once(monkeypatch, outgrown, "sort_out")

    for _ in range(20):
        outbox.add()
    start_worker(lease=LEASE)

    until(lambda: len(outbox.ended) == 20)
    assert failed
    assert outbox.states() == ["sent"] * 20


def test_what_is_from_a_sender_that_may_be_refused_comes_again(
    outbox: Outbox, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.world.main.then(NOT_YOU)
    outbox.add(mail_from=SHOP)
    start_worker(lease=LEASE)
    until(outbox.attempts_of_all)
    failed = fails_once(monkeypatch, pausing, "refused_until")

    ids = outbox.in_session(lambda session: [outbox.add_in(session, mail_from=of) for of in [None] * 20 + [SHOP]])[:20]

    until(lambda: [outbox.state(id) for id in ids] == ["sent"] * 20)
    assert failed


def test_a_test_message_that_could_not_be_failed_is_failed_at_the_next_try(
    outbox: Outbox, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.world.routes["default"] = WaysOut(code="outbox.no_default", reason=N_("There is no way out."))
    failed = fails_once(monkeypatch, Ledger, "fail_untried")

    id = outbox.add(**{**TEST, "route": "default"})
    start_worker(lease=LEASE)

    until(lambda: outbox.state(id) == "failed")
    assert failed


def test_a_sender_that_ends_by_an_error_leaves_alone_what_the_pace_gave_back(outbox: Outbox) -> None:
    """That waits in the pool, and another sender may have it in hand."""
    outbox.world.lead("default", [way_out(max_connections=2, messages_per_minute=60)])
    for _ in range(8):
        outbox.add()
    ledger = outbox.ledger(clock=lambda: NOW)
    dispatcher = Dispatcher(ledger)
    dispatcher.dispatch()
    (pool,) = dispatcher.pools.values()
    sender = Sender(pool, ledger, Line(pool, ledger, must_stop=lambda: False))
    outbox.world.main.always = interrupted

    with pytest.raises(KeyboardInterrupt):
        sender.step(wait_seconds=0)
    in_hand = set(sender.lines[0].ids)
    sender.abandon()

    assert 0 < len(in_hand) < pool.count() + len(in_hand)
    assert ledger.leases.all() == {row.id for row in outbox.deliveries() if row.lease_owner} - in_hand
