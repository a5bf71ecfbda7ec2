"""Who goes first, and that nobody is held up by others."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from portal.outbox.prepared import Lane, Schedule
from portal.transports import OutgoingMessage, SendReport
from tests.outbox.conftest import NOW, SECRET, TEST, Outbox, StartWorker, until
from tests.outbox.scripted import message_id_of, report, way_out

BULK = {"lane": Lane.BULK, "schedule": Schedule.BULK}


def test_secret_kinds_go_first_then_tests_then_ordinary_mail_then_bulk(outbox: Outbox) -> None:
    bulk, normal = outbox.add(**BULK), outbox.add()
    test, secret = outbox.add(**TEST), outbox.add(**SECRET)
    outbox.settings = replace(outbox.settings, slice_size=1)

    outbox.send()

    assert outbox.world.main.message_ids == [f"<{id}@contoso.test>" for id in (secret, test, normal, bulk)]


def test_ordinary_mail_goes_in_the_order_in_which_it_came(outbox: Outbox) -> None:
    outbox.settings = replace(outbox.settings, claim_size=10)
    ids = [outbox.add(created_at=NOW - timedelta(seconds=number)) for number in range(60)]

    outbox.send()

    assert outbox.world.main.message_ids == [f"<{id}@contoso.test>" for id in reversed(ids)]


def test_routes_that_share_a_way_out_take_turns(outbox: Outbox) -> None:
    outbox.world.lead("server:wiki", [way_out()])
    outbox.settings = replace(outbox.settings, claim_size=8, chance=random.Random(5))
    for _ in range(150):
        outbox.add()
    wiki = [outbox.add(route="server:wiki") for _ in range(5)]

    outbox.send()

    places = [outbox.world.main.message_ids.index(f"<{id}@contoso.test>") for id in wiki]
    assert max(places) < 75


def test_a_reset_mail_overtakes_a_backlog(outbox: Outbox, start_worker: StartWorker) -> None:
    def slowly(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        time.sleep(0.005)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = slowly
    outbox.in_session(lambda session: [outbox.add_in(session, **BULK) for _ in range(2_000)])
    worker = start_worker()
    until(lambda: len(outbox.world.main.taken) > 50)

    id = outbox.add(**SECRET)
    before = len(outbox.world.main.tried)
    until(lambda: f"<{id}@contoso.test>" in outbox.world.main.message_ids)
    place = outbox.world.main.message_ids.index(f"<{id}@contoso.test>")

    worker.end()
    assert place - before < 1_000


def test_one_sender_is_never_given_to_bulk(outbox: Outbox, start_worker: StartWorker) -> None:
    release = threading.Event()

    def stuck(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        if b"bulk" in message.content:
            assert release.wait(30)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = stuck
    outbox.world.lead("default", [way_out(max_connections=2)])
    for _ in range(60):
        outbox.add(**BULK, content=b"Subject: bulk\r\nMessage-ID: <bulk@contoso.test>\r\n\r\n.\r\n")
    start_worker(slice_size=5)
    until(lambda: outbox.world.main.tried)

    id = outbox.add(**SECRET)
    until(lambda: outbox.state(id) == "sent", within=3)

    bulk_in_hand = sum(b"bulk" in message.content for message in outbox.world.main.tried)
    release.set()
    assert bulk_in_hand == 1


def test_a_way_out_that_hangs_holds_up_no_other(outbox: Outbox, start_worker: StartWorker) -> None:
    release = threading.Event()

    def hang(message: OutgoingMessage, may_proceed: Callable[[], bool]) -> SendReport:
        assert release.wait(30)
        assert may_proceed()
        return report(message)

    outbox.world.main.always = hang
    for _ in range(300):
        outbox.add()
    others = [outbox.add(route="server:other") for _ in range(20)]
    start_worker()

    until(lambda: len(outbox.world.other.taken) == 20, within=3)

    release.set()
    assert {message_id_of(message.content) for message in outbox.world.other.taken} == {
        f"<{id}@contoso.test>" for id in others
    }
