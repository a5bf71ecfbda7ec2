"""Rows that are added together are stored as they were given, however many there are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import JSON, Boolean, Integer, LargeBinary, String, Uuid, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine

from portal.database import UtcDateTime
from portal.extensions import Model
from portal.outbox.models import Attempt, Delivery, Message, MessageBody
from portal.outbox.ready_statements import ReadyInsert
from portal.outbox.states import State
from portal.transports import Step
from tests.outbox.conftest import NOW, Outbox
from tests.outbox.scripted import MAIN

ATTEMPTS = ReadyInsert(Attempt)


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


def stored_attempts(outbox: Outbox) -> list[dict[str, Any]]:
    """In the order in which they were numbered."""
    with outbox.engine.connect() as connection:
        stored = connection.execute(select(Attempt.__table__).order_by(Attempt.id)).mappings().all()
    return [{name: one[name] for name in ATTEMPTS.columns} for one in stored]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 15, 16, 17, 31, 32, 81])
def test_each_row_is_stored_as_it_was_given(outbox: Outbox, count: int) -> None:
    delivery_id = outbox.delivery(outbox.add()).id
    rows = [row(delivery_id, number) for number in range(count)]

    with outbox.writing() as connection:
        ATTEMPTS.add(connection, rows)

    assert stored_attempts(outbox) == rows


def test_the_order_of_a_rows_values_means_nothing(outbox: Outbox) -> None:
    delivery_id = outbox.delivery(outbox.add()).id
    rows = [row(delivery_id, 1), dict(reversed(row(delivery_id, 2).items()))]

    with outbox.writing() as connection:
        ATTEMPTS.add(connection, rows)

    assert stored_attempts(outbox) == rows


def test_a_value_that_is_missing_is_an_error(outbox: Outbox) -> None:
    incomplete = row(outbox.delivery(outbox.add()).id, 1)
    del incomplete["code"]

    with pytest.raises(KeyError), outbox.writing() as connection:
        ATTEMPTS.add(connection, [incomplete])

    assert outbox.attempts_of_all() == []


def test_what_stands_there_already_is_sqlalchemys_error(outbox: Outbox) -> None:
    id = outbox.add()
    with outbox.engine.connect() as connection:
        message = connection.execute(select(Message.__table__).where(Message.id == id)).mappings().one()

    with pytest.raises(IntegrityError), outbox.writing() as connection:
        ReadyInsert(Message).add(connection, [dict(message)])


def test_no_value_lands_in_a_neighbours_column(outbox: Outbox) -> None:
    messages = [filled(Message, number) for number in range(3)]
    of_messages = [{"message_id": row["id"]} for row in messages]
    bodies = [filled(MessageBody, number) | whose for number, whose in enumerate(of_messages)]
    deliveries = [filled(Delivery, number) | whose | {"state": "queued"} for number, whose in enumerate(of_messages)]
    rows: dict[type[Model], list[dict[str, Any]]] = {Message: messages, MessageBody: bodies, Delivery: deliveries}

    with outbox.writing() as connection:
        for model, given in rows.items():
            ReadyInsert(model).add(connection, given)
    with outbox.engine.connect() as connection:
        stored = {model: connection.execute(select(model.__table__)).mappings().all() for model in rows}

    for model, given in rows.items():
        found = [{name: one[name] for name in given[0]} for one in stored[model]]
        assert sorted(found, key=repr) == sorted(given, key=repr)


def filled(model: type[Model], number: int) -> dict[str, Any]:
    """A row with a value in each column that no other column of its type has."""
    made = {}
    for place, name in enumerate(ReadyInsert(model).columns):
        kind, unlike = model.metadata.tables[model.__tablename__].c[name].type, 100 * number + place
        values: dict[type[TypeEngine[Any]], Any] = {
            Uuid: UUID(int=unlike),
            String: f"no {unlike}",
            LargeBinary: b"no %d" % unlike,
            JSON: [f"no {unlike}"],
            Integer: unlike,
            Boolean: place % 2 == 0,
            UtcDateTime: NOW + timedelta(seconds=unlike),
        }
        made[name] = next(value for of, value in values.items() if isinstance(kind, of))
    return made


def test_a_message_begins_as_the_table_says(outbox: Outbox) -> None:
    """What `add` writes by itself is what is written where nothing is said."""
    id = outbox.add()
    defaults = [column for column in Delivery.__table__.c if isinstance(column.default, ScalarElementColumnDefault)]

    with outbox.engine.connect() as connection:
        (stored,) = connection.execute(select(*defaults).where(Delivery.message_id == id)).mappings()

    assert dict(stored) == {column.name: column.default.arg for column in defaults}
    assert len(defaults) == 5
