"""One unit of work: all or nothing, never nested, decided on what is read inside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from flask import Flask
from sqlalchemy import Column, MetaData, Table, Text, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import StatementError

from portal.database import UtcDateTime, synchronous_level
from portal.extensions import db
from portal.transaction import unit_of_work

NOTE = Table("note_of_a_test", MetaData(), Column("word", Text), Column("at", UtcDateTime))


@pytest.fixture
def notes(app: Flask) -> Iterator[Flask]:
    with app.app_context():
        NOTE.create(db.engine)
    yield app
    with app.app_context():
        db.session.remove()
        NOTE.drop(db.engine)


def test_what_a_unit_of_work_wrote_is_kept(notes: Flask) -> None:
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    with notes.app_context():
        with unit_of_work() as session:
            session.execute(NOTE.insert().values(word="kept", at=at))

        assert db.session.execute(select(NOTE)).all() == [("kept", at)]


def test_an_error_leaves_nothing_half_done(notes: Flask) -> None:
    with notes.app_context():
        with pytest.raises(KeyError), unit_of_work() as session:
            session.execute(NOTE.insert().values(word="lost"))
            raise KeyError

        assert db.session.execute(select(NOTE)).all() == []


def test_a_second_unit_of_work_inside_the_first_is_refused(notes: Flask) -> None:
    with notes.app_context(), pytest.raises(RuntimeError, match="already open"), unit_of_work(), unit_of_work():
        pass


def test_what_was_read_before_is_read_again_inside(notes: Flask) -> None:
    with notes.app_context():
        assert db.session.execute(select(NOTE)).all() == []
        with db.engine.connect() as other:
            other.execute(NOTE.insert().values(word="new"))
            other.commit()

        with unit_of_work() as session:
            words = session.execute(select(NOTE.c.word)).scalars().all()
            session.execute(NOTE.insert().values(word="and mine"))

    assert words == ["new"]


def test_a_commit_is_synced_before_it_is_answered(app: Flask) -> None:
    with app.app_context(), db.engine.connect() as connection:
        assert synchronous_level(connection) in {"2", "on"}


def test_foreign_keys_are_enforced_on_every_connection(app: Flask) -> None:
    with app.app_context(), db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.execute(text("pragma foreign_keys")).scalar() == 1
            assert connection.execute(text("pragma secure_delete")).scalar() == 1


def test_a_moment_without_a_time_zone_is_refused(notes: Flask) -> None:
    naive = datetime(2026, 11, 21, 12)  # noqa: DTZ001

    with notes.app_context(), pytest.raises(StatementError, match="without a time zone"), unit_of_work() as session:
        session.execute(NOTE.insert().values(word="x", at=naive))


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 21, 12, tzinfo=UTC),
        datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(476, 9, 4, 23, 59, 59, 999999, tzinfo=UTC),
        None,
    ],
)
def test_a_moment_comes_back_in_utc_to_the_microsecond(notes: Flask, at: datetime | None) -> None:
    with notes.app_context():
        with unit_of_work() as session:
            session.execute(NOTE.insert().values(word="x", at=at))

        found = db.session.scalars(select(NOTE.c.at).where(NOTE.c.at.is_not_distinct_from(at))).one()

    assert found == at
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("stored", "hour"), [("2026-11-21 12:00:00", 12), ("2026-11-21", 0), ("2026-11-21T12:00:00+02:00", 10)]
)
def test_a_moment_that_somebody_wrote_into_sqlite_by_hand_is_read_as_utc(stored: str, hour: int) -> None:
    dialect = sqlite.dialect()
    read = UtcDateTime().dialect_impl(dialect).result_processor(dialect, None)

    assert read is not None
    assert read(stored) == datetime(2026, 11, 21, hour, tzinfo=UTC)


def test_moments_are_in_order_as_they_are_stored(notes: Flask) -> None:
    first = datetime(2026, 11, 21, 12, tzinfo=UTC)
    moments = [first, first + timedelta(microseconds=1), first + timedelta(seconds=1)]
    with notes.app_context():
        with unit_of_work() as session:
            session.execute(NOTE.insert(), [{"at": at} for at in reversed(moments)])

        assert list(db.session.scalars(select(NOTE.c.at).order_by(NOTE.c.at))) == moments
