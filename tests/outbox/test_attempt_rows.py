"""Attempts of a turn are written together, however many there are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from portal.outbox.attempt_rows import COLUMNS, add_attempts
from portal.outbox.models import Attempt
from portal.outbox.states import State
from portal.transports import Step
from tests.outbox.conftest import NOW, Outbox
from tests.outbox.scripted import MAIN


def row(delivery_id: int, number: int) -> dict[str, Any]:
    return {
        "delivery_id": delivery_id,
        "verdict": State.DEFERRED,
        "started_at": NOW + timedelta(seconds=number),
        "elapsed_ms": number,
        "step": Step.CONTENT,
        "reply_code": 450,
        "enhanced_status_code": None if number % 2 else "4.2.0",
        "reply_text": f"busy, {number}",
        "code": "smtp.deferred",
        "other_replies": {"ada@contoso.test": [450, None, "busy", ""]} if number % 3 else None,
        "connection_id": MAIN,
        "connection_name": "main",
    }


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 40, 81])
def test_each_attempt_is_stored_as_it_was_given(outbox: Outbox, count: int) -> None:
    delivery_id = outbox.delivery(outbox.add()).id
    rows = [row(delivery_id, number) for number in range(count)]

    with outbox.writing() as connection:
        add_attempts(connection, rows)
    with outbox.engine.connect() as connection:
        stored = connection.execute(select(Attempt.__table__).order_by(Attempt.elapsed_ms)).mappings().all()

    assert [{name: one[name] for name in COLUMNS} for one in stored] == rows


def test_a_value_that_is_missing_is_an_error(outbox: Outbox) -> None:
    incomplete = row(outbox.delivery(outbox.add()).id, 1)
    del incomplete["code"]

    with pytest.raises(KeyError), outbox.writing() as connection:
        add_attempts(connection, [incomplete])

    assert outbox.attempts_of_all() == []
