"""What was wrong with former settings is not held against those that somebody has saved since."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from portal import outbox as room
from portal.outbox import claim, outcomes
from portal.outbox.outcomes import Outcome
from portal.outbox.pauses import WayOutState
from portal.outbox.prepared import Priority
from portal.transports import ConnectionFault, Reply, Step
from tests.outbox.conftest import NOW, Outbox
from tests.outbox.scripted import MAIN, way_out

BAD_PASSWORD = ConnectionFault(
    Step.AUTHENTICATE, code="smtp.bad_credentials", reply=Reply(535, "authentication failed", "5.7.8")
)


@pytest.mark.parametrize(("saved_since", "is_paused"), [(0, True), (1, False)], ids=["as they are", "changed since"])
def test_a_fault_met_with_former_settings_pauses_nothing(outbox: Outbox, saved_since: int, is_paused: bool) -> None:
    message_id = outbox.add()
    ledger, before = outbox.ledger(clock=lambda: NOW), way_out(MAIN)
    with ledger.write() as connection:
        claimed = claim.claim(
            connection,
            route="default",
            priority=Priority.NORMAL,
            limit=1,
            owner=ledger.owner,
            now=NOW,
            lease=ledger.settings.lease,
        )
    [loaded] = ledger.turn(before, [], claimed, sent_by=before, is_probe=False, is_doubted=False).loaded
    parts = outcomes.parts_of_error(loaded, BAD_PASSWORD, now=NOW, chance=random.Random(1))
    met = Outcome(loaded, parts, NOW, 5, MAIN, "Main", error=BAD_PASSWORD)
    now = replace(before, version=before.version + saved_since)

    ledger.turn(now, [met], [], sent_by=before, is_probe=False, is_doubted=True)

    states: dict[object, WayOutState] = outbox.in_session(room.way_out_states)
    assert (states.get(MAIN, WayOutState()).pause is not None) is is_paused
    assert outbox.state(message_id) == "deferred"
