"""`portal restore`: all of a backup or nothing, into either database, and nothing of it sends or signs in by itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from flask import Flask
from sqlalchemy import insert, inspect, select, text, update
from sqlalchemy.engine import Engine

from portal import backups, installation, schema
from portal.accounts.models import Invitation, User
from portal.audit.models import AuditEntry
from portal.backups.archive import Archive
from portal.database import metadata
from portal.extensions import db
from portal.outbox.models import Attempt, Delivery, Message, WorkerHeartbeat
from portal.paths import MIGRATIONS
from portal.rekeying import SEALED
from portal.sealed_columns import count_unreadable
from portal.secret_box import SecretBox
from portal.transaction import unit_of_work
from tests.cli.conftest import Portal
from tests.conftest import copied, environment, opened
from tests.connections.making import installation_of
from tests.furnished import ENVIRONMENT, KEY, FurnishedPortal, Furnishing

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
# What a copy must not live on with, and what restoring itself writes.
NOT_KEPT = {
    "audit_entry",
    "ceremony",
    "connection_check",
    "connection_grant",
    "consent_flow",
    "consent_invitation",
    "delivery",
    "installation",
    "invitation",
    "job",
    "provider_sign_in",
    "reset_request",
    "setup",
    "user_address",
    "user_session",
    "way_out_state",
    "worker_heartbeat",
}


def save(shown: FurnishedPortal, file: Path, *, keys: tuple[str, ...] = ()) -> Path:
    with shown.app.app_context():
        backups.save(
            db.engine,
            file,
            portal_version="1",
            public_url="http://localhost",
            box=shown.app.extensions["secret_box"],
            keys=keys,
            on_progress=lambda _table, _rows: None,
            now=NOW,
        )
    return file


@pytest.fixture(scope="module")
def saved(furnished_sqlite: tuple[Path, Furnishing], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a furnished portal, made once."""
    folder = tmp_path_factory.mktemp("saved")
    with opened(environment(copied(furnished_sqlite[0], folder), folder) | ENVIRONMENT) as app:
        return save(FurnishedPortal(app, furnished_sqlite[1]), folder / "backup.zip")


@pytest.fixture
def file(saved: Path, tmp_path: Path) -> Path:
    """A backup of one's own, to harm."""
    return Path(shutil.copy(saved, tmp_path / "backup.zip"))


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """Of the installation that it is restored into, with the same key."""
    return environ | {"PORTAL_SECRET_KEY": KEY}


def rows(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


def test_every_row_comes_back_whichever_database_it_was_in(
    portal: Portal, app: Flask, engine: Engine, shown: FurnishedPortal, tmp_path: Path
) -> None:
    file = save(shown, tmp_path / "either.zip")

    done = portal("restore", str(file))

    assert (done.exit_code, done.stderr) == (0, "")
    with shown.app.app_context():
        before = rows(db.engine)
    after = rows(engine)
    assert {name: found for name, found in after.items() if name not in NOT_KEPT} == {
        name: found for name, found in before.items() if name not in NOT_KEPT
    }
    kept = [[row[0] for row in found["delivery"]] for found in (before, after)]
    assert kept[0] == kept[1] != []
    assert len(before["message"]) > 2
    with app.app_context(), unit_of_work() as session:
        box = installation_of(app).box
        assert sum(count_unreadable(session, sealed, box=box) for sealed in SEALED) == 0


def test_nobody_is_signed_in_no_link_works_and_all_sending_is_held(
    portal: Portal, app: Flask, engine: Engine, file: Path
) -> None:
    told = portal("restore", str(file)).stdout

    assert "Everybody is signed out." in told
    assert "All sending is held." in told
    found = rows(engine)
    gone = ["user_session", "reset_request", "ceremony", "consent_flow", "consent_invitation", "worker_heartbeat"]
    assert {name: found[name] for name in gone} == {name: [] for name in gone}
    with app.app_context():
        now = datetime.now(UTC)
        assert not list(db.session.scalars(select(Invitation).where(Invitation.expires_at > now)))
        assert list(db.session.scalars(select(Invitation)))
        assert installation.judge(db.session(), app.config["PORTAL"]).is_held
        [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "installation.restored"))
        assert entry.changes["made_at"] == [None, NOW.isoformat()]


def test_new_rows_get_numbers_of_their_own_afterwards(portal: Portal, engine: Engine, file: Path) -> None:
    portal("restore", str(file))

    queued = portal("send-test", "ada@contoso.test")

    assert queued.exit_code == 0
    with engine.connect() as connection:
        ids = list(connection.scalars(select(Delivery.id).order_by(Delivery.id)))
    assert len(set(ids)) == len(ids)


def test_what_the_original_was_sending_is_uncertain_by_the_rule_after_a_crash(
    furnished_sqlite: tuple[Path, Furnishing], tmp_path: Path, database_url: str
) -> None:
    folder = tmp_path / "original"
    folder.mkdir()
    with opened(environment(copied(furnished_sqlite[0], folder), folder) | ENVIRONMENT) as app:
        with app.app_context(), unit_of_work() as session:
            of_test, of_others = _being_sent(session)
        file = save(FurnishedPortal(app, furnished_sqlite[1]), tmp_path / "sending.zip")

    with opened(environment(database_url, tmp_path / "other") | ENVIRONMENT) as target, target.app_context():
        came = restored(target, file)
        states = {row.id: row.state for row in db.session.execute(select(Delivery.id, Delivery.state))}
        leases = list(db.session.scalars(select(Delivery.lease_owner).where(Delivery.lease_owner.is_not(None))))
        told = list(db.session.scalars(select(Attempt.code).where(Attempt.delivery_id == of_others)))

    assert (came.outbox.uncertain, came.outbox.queued) == (2, 1)
    assert (states[of_test], states[of_others], leases) == ("uncertain", "queued", [])
    assert told[-1] == "outbox.worker_lost"


def _being_sent(session: Any) -> tuple[int, int]:
    """A test message, which is tried once, and another one, in the hands of a worker that still holds its lease."""
    of_test, of_others = session.scalars(select(Delivery.id).order_by(Delivery.id).limit(2))
    for delivery_id, schedule in ((of_test, "once"), (of_others, "normal")):
        until = datetime.now(UTC) + timedelta(seconds=50)
        mine = update(Delivery).where(Delivery.id == delivery_id)
        session.execute(mine.values(state="sending", ended_at=None, lease_owner="original", lease_until=until))
        its_message = select(Delivery.message_id).where(Delivery.id == delivery_id).scalar_subquery()
        session.execute(update(Message).where(Message.id == its_message).values(schedule=schedule))
    return of_test, of_others


def restored(app: Flask, file: Path, *, key: str = KEY, overwrite: bool = False) -> backups.Restored:
    with Archive(file) as archive:
        return backups.restore(
            app,
            archive,
            box=SecretBox([key]),
            overwrite=overwrite,
            on_progress=lambda _table, _rows: None,
            now=datetime.now(UTC),
        )


def test_an_installation_with_people_is_replaced_only_by_force(portal: Portal, engine: Engine, file: Path) -> None:
    portal("user", "add", "eve@contoso.test", "--role", "admin")
    before = rows(engine)

    refused = portal("restore", str(file))

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: there are people in this installation already; back it up, then")
    assert rows(engine) == before
    assert portal("restore", str(file), "--force").exit_code == 0
    with engine.connect() as connection:
        assert "eve@contoso.test" not in list(connection.scalars(select(User.email)))


def test_nothing_is_restored_under_a_running_worker(portal: Portal, engine: Engine, file: Path) -> None:
    with engine.begin() as connection:
        now = datetime.now(UTC)
        connection.execute(insert(WorkerHeartbeat).values(owner="one", started_at=now, seen_at=now))

    refused = portal("restore", str(file), "--force")

    assert refused.stderr.startswith("Error: a worker is running here")


def test_a_key_that_does_not_fit_names_the_connections_and_goes_on(
    portal: Portal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", "another key that never sealed anything")

    done = portal("restore", str(file))

    assert done.exit_code == 0
    assert "the key does not open its password, secret or consent; give it again." in done.stdout
    assert "Authenticator apps that cannot be checked with this key: " in done.stdout
    assert "the key does not open its password or secret" in portal("doctor").stdout


def test_the_key_comes_along_into_the_instance_folder_before_the_one_there(
    portal: Portal, shown: FurnishedPortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(shown, tmp_path / "with.zip", keys=(KEY,))
    monkeypatch.delenv("PORTAL_SECRET_KEY")
    portal("doctor")
    [present] = (tmp_path / "secret.key").read_text().split()

    done = portal("restore", str(file))

    assert (tmp_path / "secret.key").read_text() == f"{KEY},{present}\n"
    assert "the key does not open" not in done.stdout


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("cut", "it was cut off, is damaged, or is something else"),
        ("row", "its table user is not what was written"),
        ("octet", "its table user is missing or damaged"),
        ("sealed", "its table user is missing or damaged"),
        ("text", "its manifest is missing or damaged"),
        ("newer", "newer than"),
        ("format", "a newer version of the portal made it"),
    ],
)
def test_a_backup_that_is_not_whole_or_too_new_changes_nothing(
    portal: Portal, engine: Engine, file: Path, harm: str, said: str
) -> None:
    before = rows(engine)
    _harm(file, harm)

    refused = portal("restore", str(file))

    assert refused.exit_code == 1
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert rows(engine) == before


def _harm(file: Path, harm: str) -> None:
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-2000])
        return
    if harm in {"octet", "sealed"}:
        _harm_part(file, "tables/user.jsonl", says_encrypted=harm == "sealed")
        return
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if harm == "row":
        parts["tables/user.jsonl"] = parts["tables/user.jsonl"].replace(b"admin", b"user!", 1)
    manifest = json.loads(parts["manifest.json"])
    manifest |= {"newer": {"schema": "9999"}, "format": {"version": 99}}.get(harm, {})
    parts["manifest.json"] = json.dumps("a text" if harm == "text" else manifest).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def _harm_part(file: Path, name: str, *, says_encrypted: bool) -> None:
    """In the packed octets, which then cannot be unpacked, or in the flags of the directory's entry."""
    octets = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo(name).header_offset
    if says_encrypted:
        octets[octets.rindex(name.encode()) - 46 + 8] |= 1
        octets[start + 6] |= 1
    else:
        octets[start + 30 + len(name) + int.from_bytes(octets[start + 28 : start + 30], "little")] = 0xFF
    file.write_bytes(octets)


OLDER = "0011"


def test_a_backup_of_an_older_schema_goes_through_the_migrations(
    portal: Portal, engine: Engine, tmp_path: Path, file: Path
) -> None:
    as_of_older(file, tmp_path / "older")

    done = portal("restore", str(file))

    assert (done.exit_code, done.stderr) == (0, "")
    assert schema.current(engine) == schema.NEWEST
    assert len(rows(engine)["message"]) > 2
    assert [path.name for path in tmp_path.iterdir() if "restoring" in path.name] == []


def as_of_older(file: Path, folder: Path) -> None:
    """Take off a backup what the schema has got since: tables and columns, as a portal of then had written it."""
    columns = older_columns(folder)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts.pop("manifest.json"))
    manifest |= {"schema": OLDER, "tables": [one for one in manifest["tables"] if one["name"] in columns]}
    for one in manifest["tables"]:
        places = [place for place, held in enumerate(one["columns"]) if held["name"] in columns[one["name"]]]
        one["columns"] = [one["columns"][place] for place in places]
        lines = parts[f"tables/{one['name']}.jsonl"].splitlines()
        cut = "".join(json.dumps([json.loads(line)[place] for place in places]) + "\n" for line in lines).encode()
        parts[f"tables/{one['name']}.jsonl"] = cut
        one["sha256"] = hashlib.sha256(cut).hexdigest()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**parts, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, content)


def older_columns(folder: Path) -> dict[str, set[str]]:
    with opened(environment(f"sqlite:///{folder / 'portal.sqlite3'}", folder) | ENVIRONMENT) as app, app.app_context():
        command.upgrade(app.extensions["migrate"].migrate.get_config(MIGRATIONS), OLDER)
        found = inspect(db.engine)
        return {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}


KILLED = """
import os, signal, sys
from portal import backups
from portal.cli import cli
from portal.backups import restoring
from datetime import datetime, UTC
from pathlib import Path
from portal import create_app
from portal.backups.archive import Archive
from portal.config import load_config
from portal.paths import MIGRATIONS
from portal.rekeying import SEALED
from portal.sealed_columns import count_unreadable
from portal.secret_box import SecretBox

def end(table, rows, seen=[]):
    seen.append(table)
    if seen.count(sys.argv[2]) > int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

app = create_app(load_config())
with app.app_context(), Archive(Path(sys.argv[1])) as archive:
    backups.restore(
        app, archive, box=SecretBox([os.environ["PORTAL_SECRET_KEY"]]), overwrite=True, on_progress=end,
        before_commit=lambda: end("commit", 0), now=datetime.now(UTC),
    )
"""


@pytest.mark.parametrize("table", ["message", "attempt", "commit"])
def test_a_killed_restore_leaves_what_was_there(
    portal: Portal, engine: Engine, environ: dict[str, str], file: Path, table: str
) -> None:
    portal("user", "add", "eve@contoso.test", "--role", "admin")
    before = rows(engine)
    with Archive(file) as archive:
        verified = next((one.rows for one in archive.manifest.tables if one.name == table), 0)

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(file), table, str(verified)],
        env=os.environ | environ,
        capture_output=True,
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    wait_for_the_dead_session(engine)
    assert rows(engine) == before
    assert portal("restore", str(file), "--force").exit_code == 0


def wait_for_the_dead_session(engine: Engine) -> None:
    """PostgreSQL notices the end of a client when it next reads or writes to it."""
    if engine.dialect.name != "postgresql":
        return
    deadline = time.monotonic() + 30
    others = text(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and state = 'idle in transaction'"
    )
    with engine.connect() as connection:
        while connection.scalar(others):
            assert time.monotonic() < deadline
            connection.rollback()
            time.sleep(0.1)
