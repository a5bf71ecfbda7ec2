"""Statements compiled once give and take what SQLAlchemy's own execution does."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, MetaData, Table, Text, bindparam, insert, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from portal.database import writing
from portal.outbox.id_lists import id_list, is_among
from portal.outbox.models import Attempt, Delivery, MessageBody
from portal.outbox.ready_statements import ReadyListing, ReadyQuery, ReadyStatement
from tests.outbox.conftest import NOW, Outbox

ADDRESS = "jörg.o'neil\"\\@contoso.test"  # what quoting might spoil, in a column of JSON within JSON


@pytest.mark.parametrize("kind", [ReadyQuery, ReadyListing])
def test_rows_are_those_of_sqlalchemy(outbox: Outbox, kind: type[ReadyQuery]) -> None:
    ids = [outbox.add(rcpt_to=(ADDRESS,)), outbox.add()]
    outbox.set(ids[0], lease_owner="me", lease_until=NOW)
    query = select(Delivery).where(Delivery.message_id == bindparam("whose"))
    ready = kind(lambda _: query)

    with outbox.engine.connect() as connection:
        for whose in ids:
            expected = [tuple(row) for row in connection.execute(query, {"whose": whose})]
            assert ready.rows(connection, {"whose": whose}) == expected
            assert expected


@pytest.mark.parametrize("kind", [ReadyQuery, ReadyListing])
def test_nothing_found_is_no_row(engine: Engine, kind: type[ReadyQuery]) -> None:
    ready = kind(lambda _: select(Delivery.id).where(Delivery.route == bindparam("of_route")))

    with engine.connect() as connection:
        assert ready.rows(connection, {"of_route": "nowhere"}) == []


def test_a_query_gives_bytes(outbox: Outbox) -> None:
    outbox.add()
    ready = ReadyQuery(lambda _: select(MessageBody.content))

    with outbox.engine.connect() as connection:
        [(content,)] = ready.rows(connection, {})

    assert b"Good morning." in content


def test_a_change_binds_values_by_their_columns_types(outbox: Outbox) -> None:
    id = outbox.add()
    ready = ReadyStatement(
        lambda dialect: (
            update(Delivery)
            .where(is_among(Delivery.id, dialect), Delivery.state == "queued")
            .values(due_at=bindparam("new_due_at"), rcpt_to=bindparam("new_rcpt_to"), attempt_number=7)
        )
    )

    with writing(outbox.engine).begin() as connection:
        ids = id_list([outbox.delivery(id).id], connection.dialect.name)
        ready.run(connection, {"ids": ids, "new_due_at": NOW, "new_rcpt_to": [ADDRESS]})

    row = outbox.delivery(id)
    assert (row.due_at, row.rcpt_to, row.attempt_number) == (NOW, [ADDRESS], 7)


def test_a_parameter_without_a_value_is_named(engine: Engine) -> None:
    ready = ReadyStatement(lambda _: insert(Attempt).values(delivery_id=bindparam("whose")))

    with engine.connect() as connection, pytest.raises(KeyError, match="whose"):
        ready.run(connection, {})


def test_nothing_is_written_behind_the_end_of_a_transaction(outbox: Outbox) -> None:
    id = outbox.add()
    ready = ReadyStatement(lambda _: update(Delivery).values(attempt_number=7))

    with writing(outbox.engine).begin() as connection:
        connection.rollback()
        with pytest.raises(InvalidRequestError):
            ready.run(connection, {})
    with writing(outbox.engine).connect() as connection:
        ready.run(connection, {})

    assert outbox.delivery(id).attempt_number == 0


def test_what_the_database_refuses_is_told_as_sqlalchemy_tells_it(engine: Engine) -> None:
    missing = Table("no_such_table", MetaData(), Column("word", Text))
    query = select(missing).where(missing.c.word == bindparam("given"))

    with engine.connect() as connection, pytest.raises(DBAPIError) as by_sqlalchemy:
        connection.execute(query, {"given": "a secret"})
    with engine.connect() as connection, pytest.raises(DBAPIError) as ready:
        ReadyQuery(lambda _: query).rows(connection, {"given": "a secret"})

    assert type(ready.value) is type(by_sqlalchemy.value)
    assert str(ready.value.orig) == str(by_sqlalchemy.value.orig)
    assert "a secret" not in str(ready.value)
