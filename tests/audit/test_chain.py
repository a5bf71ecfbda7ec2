"""The hash chain: sealing, and what is found when somebody changes the log behind the portal's back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from portal.audit import sealing, verification
from portal.audit.models import AuditEntry
from portal.audit.verification import Examined, Fault, Kind
from portal.database import writing
from portal.transaction import unit_of_work
from portal.worker_process import jobs
from tests.audit.conftest import NOW, Write

Seal = Callable[[], int]


def run(engine: Engine, statement: str, **values: object) -> None:
    """What somebody with the database's password does."""
    with writing(engine).begin() as connection:
        connection.execute(text(statement), values)


def faults(engine: Engine, **options: object) -> list[tuple[Kind, int, int]]:
    return [(fault.kind, fault.place, fault.last) for fault in verification.verify(engine, **options).faults]  # type: ignore[arg-type]


def hash_at(engine: Engine, place: int) -> bytes:
    with engine.connect() as connection:
        return bytes(connection.scalar(select(AuditEntry.sealed_hash).where(AuditEntry.place == place)) or b"")


@pytest.fixture
def five(write: Write, seal: Seal) -> None:
    """Five sealed entries, at the places 1 to 5."""
    write(5)
    assert seal() == 5


def test_the_first_hash_is_that_of_thirty_two_zeros_and_the_entry_in_its_one_spelling(
    engine: Engine, write: Write, seal: Seal
) -> None:
    write()

    seal()

    with engine.connect() as connection:
        number = connection.scalar(select(AuditEntry.id))
    entry = (
        '{"action":"connection.changed","actor_address":"192.0.2.7",'
        '"actor_id":"11111111-2222-4333-8444-555555555555","actor_name":"Ada Lovelace",'
        '"at":"2026-11-21T12:00:00.000000Z",'
        '"changes":{"is_default":[false,true],"password":"changed","port":[25,587]},'
        f'"id":{number},"place":1,"subject":"connection Übersee"}}'
    )
    assert hash_at(engine, 1) == hashlib.sha256(bytes(32) + entry.encode()).digest()


def test_entries_are_sealed_once_in_order_and_the_chain_goes_on(engine: Engine, write: Write, seal: Seal) -> None:
    write(3)
    assert (seal(), seal()) == (3, 0)
    first = hash_at(engine, 3)

    write(2)
    assert seal() == 2

    assert hash_at(engine, 3) == first
    assert verification.verify(engine) == Examined(5, (5, hash_at(engine, 5)), (), 0, None)


def test_an_entry_that_was_committed_late_gets_a_later_place(engine: Engine, five: None, seal: Seal) -> None:
    run(
        engine,
        "insert into audit_entry (id, at, action, actor_name, actor_address, subject, changes)"
        " select min(id) - 1, min(at), 'user.added', 'Eve', '', 'eve@contoso.test', '{}' from audit_entry",
    )

    assert seal() == 1

    assert faults(engine) == []
    with engine.connect() as connection:
        assert connection.scalar(select(AuditEntry.place).order_by(AuditEntry.id).limit(1)) == 6


def test_a_sealing_that_is_killed_leaves_everything_for_the_next(
    app: Flask, engine: Engine, write: Write, seal: Seal
) -> None:
    write(3)

    with pytest.raises(ZeroDivisionError), app.app_context(), unit_of_work() as session:
        sealing.seal(session)
        _ = 1 / 0

    assert verification.verify(engine).sealed == 0
    assert seal() == 3
    assert faults(engine) == []


def test_two_never_seal_the_same_place(engine: Engine, five: None, write: Write) -> None:
    write()

    with pytest.raises(IntegrityError):
        run(engine, "update audit_entry set place = 5 where place is null")


def test_the_job_seals_all_that_waits(app: Flask, engine: Engine, write: Write) -> None:
    write(sealing.AT_ONCE + 5)
    (job,) = [job for job in jobs(app, engine) if job.name == "seal_audit_entries"]

    job.run(NOW)

    assert verification.verify(engine).sealed == sealing.AT_ONCE + 5
    assert job.every == timedelta(minutes=1)


def test_an_empty_log_holds(engine: Engine) -> None:
    assert verification.verify(engine) == Examined(0, None, (), 0, None)


def test_what_waits_for_its_seal_is_told(engine: Engine, five: None, write: Write) -> None:
    write(2, start=NOW - timedelta(hours=1))

    assert verification.verify(engine).waiting_since == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    "change",
    [
        "subject = 'connection other'",
        "actor_name = 'Eve'",
        "actor_address = '192.0.2.8'",
        "actor_id = null",
        "action = 'connection.created'",
        "at = '2026-11-21 12:02:00.000001+00'",
        "id = 4711",
        """changes = '{"port": [25, 588], "is_default": [false, true], "password": "changed"}'""",
    ],
)
def test_a_changed_entry_is_found(engine: Engine, five: None, change: str) -> None:
    if engine.dialect.name == "sqlite":
        change = change.replace("+00'", "'")

    run(engine, f"update audit_entry set {change} where place = 3")

    assert faults(engine) == [(Kind.CHANGED, 3, 3)]


def test_a_changed_hash_is_found_there_and_in_the_next_entry(engine: Engine, five: None) -> None:
    run(engine, "update audit_entry set sealed_hash = :hash where place = 3", hash=bytes(32))

    assert faults(engine) == [(Kind.CHANGED, 3, 3), (Kind.CHANGED, 4, 4)]


def test_a_hash_that_was_taken_away_is_found(engine: Engine, five: None) -> None:
    run(engine, "update audit_entry set sealed_hash = null where place = 5")

    assert faults(engine) == [(Kind.CHANGED, 5, 5)]


@pytest.mark.parametrize(("gone", "first", "last"), [("1", 1, 1), ("3", 3, 3), ("2, 3", 2, 3)])
def test_entries_that_were_removed_are_found(engine: Engine, five: None, gone: str, first: int, last: int) -> None:
    run(engine, f"delete from audit_entry where place in ({gone})")

    assert faults(engine) == [(Kind.MISSING, first, last)]


def test_entries_that_changed_places_are_found(engine: Engine, five: None) -> None:
    for statement in ("place = -1 where place = 2", "place = 2 where place = 4", "place = 4 where place = -1"):
        run(engine, f"update audit_entry set {statement}")

    assert {place for _, place, _ in faults(engine)} >= {2, 4}


def test_an_entry_that_was_put_in_at_the_end_is_found(engine: Engine, five: None) -> None:
    run(
        engine,
        "insert into audit_entry (at, action, actor_name, actor_address, subject, changes, place, sealed_hash)"
        " select max(at), 'user.added', 'Eve', '', 'eve@contoso.test', '{}', 6, :hash from audit_entry",
        hash=bytes(32),
    )

    assert faults(engine) == [(Kind.CHANGED, 6, 6)]


def test_an_entry_before_the_first_is_found(engine: Engine, five: None, write: Write) -> None:
    write()
    run(engine, "update audit_entry set place = 0 where place is null")

    assert faults(engine) == [(Kind.EXTRA, 0, 0)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_entry_that_cannot_be_read_is_found(engine: Engine, five: None) -> None:
    run(engine, "update audit_entry set changes = 'no json' where place = 3")

    assert faults(engine) == [(Kind.UNREADABLE, 3, 3)]


def test_a_chain_that_was_cut_off_and_one_made_anew_are_found_by_a_kept_hash(
    engine: Engine, five: None, seal: Seal
) -> None:
    kept = {3: hash_at(engine, 3), 5: hash_at(engine, 5)}
    assert faults(engine, kept=kept) == []

    run(engine, "delete from audit_entry where place > 4")
    assert faults(engine) == []
    assert faults(engine, kept=kept) == [(Kind.CUT_OFF, 5, 5)]

    run(engine, "delete from audit_entry where place = 2")
    run(engine, "update audit_entry set place = null, sealed_hash = null")
    assert seal() == 3
    assert faults(engine) == []
    assert faults(engine, kept=kept) == [(Kind.OTHER_HASH, 3, 3), (Kind.CUT_OFF, 5, 5)]


def test_of_many_faults_the_first_are_told_and_all_are_counted(engine: Engine, write: Write, seal: Seal) -> None:
    write(50)
    seal()
    run(engine, "update audit_entry set subject = 'x'")

    found = verification.verify(engine)

    assert (len(found.faults), found.fault_count) == (verification.MOST_FAULTS, 50)
    assert found.faults[0] == Fault(Kind.CHANGED, 1, 1, NOW, "connection.changed")


def test_a_log_of_more_than_a_page_is_read_to_its_end(engine: Engine, write: Write, seal: Seal) -> None:
    write(2001)
    assert (seal(), seal(), seal()) == (1000, 1000, 1)
    run(engine, "delete from audit_entry where place = 1000")

    assert faults(engine) == [(Kind.MISSING, 1000, 1000)]
