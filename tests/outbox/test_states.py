"""The table of arrows, and what a message's status is."""

from __future__ import annotations

import pytest

from portal.outbox.states import State, is_legal, status_of

ARROWS = {
    "queued": {"sending", "expired", "cancelled", "held"},
    "deferred": {"sending", "expired", "cancelled", "held"},
    "sending": {"sent", "deferred", "failed", "expired", "uncertain", "queued"},
    "held": {"queued", "cancelled", "expired"},
    "uncertain": {"queued"},
    "sent": set(),
    "failed": set(),
    "expired": set(),
    "cancelled": set(),
}
PERSONS = {"uncertain": {"sent", "failed", "cancelled"}}
PAIRS = [(old, new) for old in State for new in State]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_only_the_arrows_of_the_table_are_legal(old: State, new: State) -> None:
    assert is_legal(old, new) == (new in ARROWS[old])


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_person_may_only_add_the_end_of_an_uncertain_one(old: State, new: State) -> None:
    assert is_legal(old, new, by_person=True) == (new in ARROWS[old] | PERSONS.get(old, set()))


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["sent"], "sent"),
        (["sent", "deferred"], "deferred"),
        (["sent", "sending"], "sending"),
        (["failed", "queued"], "queued"),
        (["sent", "uncertain"], "uncertain"),
        (["held", "sent", "failed"], "held"),
        (["sent", "failed"], "failed"),
        (["expired", "failed", "sent"], "failed"),
        (["sent", "expired"], "expired"),
        (["sent", "cancelled"], "cancelled"),
    ],
)
def test_a_message_is_as_finished_as_its_least_finished_delivery(states: list[str], status: str) -> None:
    assert status_of(State(state) for state in states) == status
