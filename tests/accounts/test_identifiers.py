from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import insert, update
from sqlalchemy.engine import Engine

from portal.accounts.identifiers import KINDS, Found, find_by_address, find_by_identifier
from portal.accounts.models import User, UserAddress
from portal.accounts.user_names import name_key
from portal.database import writing
from portal.extensions import db
from tests.accounts.browsing import NOW, add_person, work


def name(engine: Engine, user_id: UUID, *, user_name: str | None = None, custom: str | None = None) -> None:
    keys = {"user_name_key": name_key(user_name or "") or None, "custom_key": name_key(custom or "") or None}
    with writing(engine).begin() as connection:
        connection.execute(update(User).where(User.id == user_id).values(**keys))


def add_address(engine: Engine, user_id: UUID, address: str, *, is_validated: bool) -> None:
    row = {"id": uuid4(), "user_id": user_id, "address": address, "address_key": address, "added_at": NOW}
    with writing(engine).begin() as connection:
        connection.execute(insert(UserAddress).values(**row, validated_at=NOW if is_validated else None))


def found(app: Flask, typed: str, *kinds: str) -> UUID | None:
    with app.app_context():
        person = find_by_identifier(db.session(), typed, kinds).person
        return person.id if person else None


def test_a_person_is_found_by_each_kind_that_counts_and_by_no_other(app: Flask, engine: Engine, ada: UUID) -> None:
    name(engine, ada, user_name="ada.l", custom="E 0042")
    add_address(engine, ada, "lovelace@contoso.test", is_validated=True)
    typed = {"Ada@contoso.test": "address", "lovelace@contoso.test": "address"}
    typed |= {"ADA.L": "user_name", "e 0042": "custom"}

    for text, kind in typed.items():
        assert found(app, text, kind) == ada
        assert found(app, f" {text} ", *KINDS) == ada
        assert found(app, text, *set(KINDS) - {kind}) is None


def test_an_address_that_was_only_claimed_finds_nobody(app: Flask, engine: Engine, ada: UUID) -> None:
    add_address(engine, ada, "grace@contoso.test", is_validated=False)

    assert found(app, "grace@contoso.test", *KINDS) is None


def test_an_address_goes_before_what_another_person_is_called(app: Flask, engine: Engine, ada: UUID) -> None:
    bob = add_person(app, "bob@contoso.test")
    name(engine, bob, custom="ada@contoso.test")

    assert found(app, "ada@contoso.test", *KINDS) == ada
    assert found(app, "ada@contoso.test", "custom") == bob


@pytest.mark.parametrize("typed", ["", " ", "\0", "nobody", "no@body.test", "x" * 100_000, "ada@contoso.test\r\n.test"])
def test_what_names_nobody_finds_nobody(app: Flask, ada: UUID, typed: str) -> None:
    assert found(app, typed, *KINDS) is None


def test_the_work_is_the_same_whatever_is_typed(app: Flask, engine: Engine, ada: UUID) -> None:
    name(engine, add_person(app, "bob@contoso.test"), user_name="bob")
    done = []

    for typed in ("ada@contoso.test", "aaron@contoso.test", "unknown@contoso.test", "", "x" * 5000, "bob"):
        for kinds in (("address",), KINDS):
            with work(engine) as seen:
                found(app, typed, *kinds)
            done.append([(statement, rows) for statement, rows in seen if statement.startswith("SELECT")])

    assert [rows for ((_statement, rows),) in done] == [1] * 12
    assert len({statement for ((statement, _rows),) in done}) == 1


@pytest.mark.parametrize("typed", ["aaron@contoso.test", "zoe@contoso.test", "nobody", ""])
def test_somebody_elses_row_is_read_for_nobody(app: Flask, ada: UUID, typed: str) -> None:
    with app.app_context():
        by_any_name, by_address = find_by_identifier(db.session(), typed, KINDS), find_by_address(db.session(), typed)

    assert [one.person for one in (by_any_name, by_address)] == [None] * 2
    assert [one.read and one.read.id for one in (by_any_name, by_address)] == [ada] * 2


def test_without_any_account_there_is_none_to_read(app: Flask) -> None:
    with app.app_context():
        assert find_by_address(db.session(), "ada@contoso.test") == Found(None, None)
