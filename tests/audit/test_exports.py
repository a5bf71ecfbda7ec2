"""The files: what stands in them, that a spreadsheet calculates nothing, that the chain can be verified from one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from portal import audit
from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.paths import CHECKOUT
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.audit.conftest import NOW, Write

Seal = Callable[[], int]


@pytest.fixture
def admin(app: Flask) -> Browser:
    return Browser(app)


def export(admin: Browser, extension: str, **fields: str) -> str:
    answer = admin.post(f"/audit-log.{extension}", fields, page="/audit-log")
    assert answer.status_code == 200
    return answer.text


def test_json_holds_every_entry_with_its_place_and_hash(admin: Browser, write: Write, seal: Seal) -> None:
    write()
    seal()
    write()

    sealed, waiting = json.loads(export(admin, "json"))

    assert (sealed["place"], len(bytes.fromhex(sealed["hash"]))) == (1, 32)
    assert (waiting["place"], waiting["hash"]) == (None, None)
    del sealed["id"], sealed["hash"]
    assert sealed == {
        "place": 1,
        "at": "2026-11-21T12:00:00.000000Z",
        "action": "connection.changed",
        "actor_id": "11111111-2222-4333-8444-555555555555",
        "actor_name": "Ada Lovelace",
        "actor_address": "192.0.2.7",
        "subject": "connection Übersee",
        "changes": {"port": [25, 587], "is_default": [False, True], "password": "changed"},
    }


def test_csv_holds_the_same(admin: Browser, write: Write, seal: Seal) -> None:
    write()
    seal()

    (row,) = csv.DictReader(io.StringIO(export(admin, "csv")))

    assert (row["place"], len(row["hash"])) == ("1", 64)
    assert (row["at"], row["action"]) == ("2026-11-21T12:00:00.000000Z", "connection.changed")
    assert (row["actor_name"], row["actor_address"], row["subject"]) == (
        "Ada Lovelace",
        "192.0.2.7",
        "connection Übersee",
    )
    assert json.loads(row["changes"])["port"] == [25, 587]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_spreadsheet_calculates_nothing(app: Flask, admin: Browser, start: str) -> None:
    evil = f'{start}HYPERLINK("https://evil.test";"x"),2'
    with app.app_context(), unit_of_work() as session:
        actor = audit.Actor(None, evil, start)
        audit.record(session, action="user.sign_in_failed", actor=actor, subject=evil, now=NOW)

    (row,) = csv.DictReader(io.StringIO(export(admin, "csv"), newline=""))

    assert (row["subject"], row["actor_name"], row["actor_address"]) == (f"'{evil}", f"'{evil}", f"'{start}")


@pytest.mark.parametrize("text", ["x;=1+1;", "x; =1+1", 'x;"=1+1', "x;+1", "x;-1", "x;@A1", "x\t=1+1", "x\n=1+1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheet_that_splits_cells_elsewhere_calculates_nothing_either(
    app: Flask, admin: Browser, text: str, delimiter: str
) -> None:
    with app.app_context(), unit_of_work() as session:
        actor = audit.Actor(None, text, "")
        changes = {"name": ("", text)}
        audit.record(session, action="user.changed", actor=actor, subject=text, changes=changes, now=NOW)

    read = csv.reader(io.StringIO(export(admin, "csv"), newline=""), delimiter=delimiter)

    assert [cell for row in read for cell in row if cell.lstrip(' "').startswith(("=", "+", "-", "@"))] == []


@pytest.mark.parametrize("extension", ["csv", "json"])
def test_an_export_holds_what_the_filter_leaves_and_is_recorded_itself(
    app: Flask, admin: Browser, write: Write, extension: str
) -> None:
    write(3)
    with app.app_context(), unit_of_work() as session:
        audit.record(session, action="user.added", actor=None, subject="eve@contoso.test", now=NOW)

    text = export(admin, extension, action="user.added", since="2026-11-21")

    assert "eve@contoso.test" in text
    assert "connection.changed" not in text
    with app.app_context():
        entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1)).one()
        assert (entry.action, entry.actor_id, entry.subject) == ("audit_log.exported", admin.user_id, "audit log")
        assert entry.changes == {
            "format": [None, extension],
            "action": [None, "user.added"],
            "since": [None, "2026-11-21"],
        }


def test_an_empty_export_is_a_whole_file(admin: Browser) -> None:
    assert json.loads(export(admin, "json", who="nobody")) == []
    assert export(admin, "csv", who="nobody") == (
        "place,id,at,action,actor_id,actor_name,actor_address,subject,changes,hash\r\n"
    )


@pytest.mark.parametrize(("extension", "kind"), [("csv", "text/csv; charset=utf-8"), ("json", "application/json")])
def test_an_export_is_a_file_to_save_and_is_not_kept_elsewhere(admin: Browser, extension: str, kind: str) -> None:
    answer = admin.post(f"/audit-log.{extension}", {}, page="/audit-log")

    assert answer.content_type == kind
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=audit-log-20")
    assert answer.headers["Content-Disposition"].endswith(f".{extension}")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_long_log_is_exported_whole_and_in_order(admin: Browser, write: Write) -> None:
    write(2001)

    found = [entry["at"] for entry in json.loads(export(admin, "json"))]

    assert len(found) == 2001
    assert found == sorted(found)


def test_the_program_of_the_guide_verifies_an_export(admin: Browser, write: Write, seal: Seal) -> None:
    """It is run as it stands there, on what was exported and on what somebody changed in it."""
    readme = (CHECKOUT / "README.md").read_text()
    program = readme.split("```python\n")[1].split("```")[0]
    write(3)
    seal()
    entries = json.loads(export(admin, "json"))
    changed = [{**entries[0], "subject": "connection Main"}, *entries[1:]]

    assert _verdict(program, entries) == f"3:{entries[2]['hash']}\n"
    with pytest.raises(SystemExit, match="entry 1 does not fit"):
        _verdict(program, changed)
    with pytest.raises(SystemExit, match="entry 2 does not fit"):
        _verdict(program, [entries[0], entries[2]])


def _verdict(program: str, entries: list[object]) -> str:
    """What the program prints for this export."""
    printed: list[str] = []
    names = {"open": lambda *_args, **_options: io.StringIO(json.dumps(entries)), "print": printed.append}
    exec(program, names)
    return "".join(f"{line}\n" for line in printed)
