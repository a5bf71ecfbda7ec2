"""`portal backup` and what it writes: one private file, made while everything runs, the key only when asked."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal import backups
from portal.database import writing
from portal.extensions import db
from portal.outbox.models import WorkerHeartbeat
from tests.cli.conftest import Portal
from tests.conftest import opened
from tests.furnished import KEY, FurnishedPortal

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "portal.zip"


def test_the_file_is_private_says_what_it_holds_and_leaves_nothing_beside_it(portal: Portal, file: Path) -> None:
    portal("send-test", "ada@contoso.test")

    made = portal("backup", str(file))

    assert (made.exit_code, stat.S_IMODE(file.stat().st_mode)) == (0, 0o600)
    assert made.stdout.splitlines()[1].startswith("The encryption key is not in it.")
    assert [path.name for path in file.parent.iterdir() if "part" in path.name] == []
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert "secret.key" not in archive.namelist()
    assert {table["name"]: table["rows"] for table in manifest["tables"]}["message"] == 1


def test_the_key_goes_along_only_when_asked_and_loudly(portal: Portal, file: Path, environ: dict[str, str]) -> None:
    made = portal("backup", str(file), "--with-key")

    assert made.stderr.startswith("ATTENTION: it holds the encryption key")
    with zipfile.ZipFile(file) as archive:
        assert archive.read("secret.key") == Path(environ["PORTAL_INSTANCE"], "secret.key").read_bytes()


def test_a_file_that_is_there_is_not_overwritten_without_force(portal: Portal, file: Path) -> None:
    file.write_text("the only backup")

    refused = portal("backup", str(file))

    assert (refused.exit_code, file.read_text()) == (1, "the only backup")
    assert refused.stderr == f"Error: {file} is there already; name another file, or add --force\n"
    assert portal("backup", str(file), "--force").exit_code == 0
    assert zipfile.is_zipfile(file)


def test_a_folder_that_is_not_there_is_named(portal: Portal, tmp_path: Path) -> None:
    refused = portal("backup", str(tmp_path / "nowhere" / "portal.zip"))

    assert (
        refused.stderr == f"Error: {tmp_path / 'nowhere' / 'portal.zip'} cannot be written: No such file or directory\n"
    )


def test_no_secret_stands_in_a_backup_without_the_key(shown: FurnishedPortal, file: Path) -> None:
    _save(shown, file)

    with zipfile.ZipFile(file) as archive:
        text = "\n".join(archive.read(name).decode() for name in archive.namelist())
    assert set(shown.things.exposed(text)) == {"a password's hash"}
    assert KEY not in text


def test_what_is_written_meanwhile_is_not_waited_for_and_not_in_it(
    portal: Portal, file: Path, environ: dict[str, str]
) -> None:
    """The snapshot is that of the beginning: a message that is queued while it is read changes nothing."""
    portal("send-test", "ada@contoso.test")
    with opened(environ) as app, app.app_context():
        engine: Engine = db.engine
        was_written = threading.Event()

        def write_meanwhile(_table: str, _rows: int) -> None:
            if not was_written.is_set():
                was_written.set()
                with writing(engine).begin() as connection:
                    connection.execute(
                        WorkerHeartbeat.__table__.insert().values(owner="x", started_at=NOW, seen_at=NOW)
                    )

        backups.save(
            engine,
            file,
            portal_version="1",
            public_url="http://localhost",
            box=app.extensions["secret_box"],
            on_progress=write_meanwhile,
            now=NOW,
        )
        with engine.connect() as connection:
            assert connection.scalar(select(WorkerHeartbeat.owner)) == "x"

    with zipfile.ZipFile(file) as archive:
        assert archive.read("tables/worker_heartbeat.jsonl") == b""
        assert archive.read("tables/message.jsonl").count(b"\n") == 1


def _save(shown: FurnishedPortal, file: Path) -> None:
    with shown.app.app_context():
        backups.save(
            db.engine,
            file,
            portal_version="1",
            public_url="http://localhost",
            box=shown.app.extensions["secret_box"],
            on_progress=lambda _table, _rows: None,
            now=NOW,
        )


KILLED = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from portal import backups, create_app
from portal.config import load_config
from portal.extensions import db

app = create_app(load_config())
with app.app_context():
    backups.save(
        db.engine, Path(sys.argv[1]), portal_version="1", public_url="http://localhost", overwrite=True,
        box=app.extensions["secret_box"], on_progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL),
        now=datetime.now(UTC),
    )
"""


def test_a_killed_backup_leaves_the_former_file_and_the_next_one_succeeds(
    portal: Portal, file: Path, environ: dict[str, str]
) -> None:
    assert portal("backup", str(file)).exit_code == 0
    former = file.read_bytes()

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(file)], env=os.environ | environ, capture_output=True, check=False
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert file.read_bytes() == former
    assert portal("backup", str(file), "--force").exit_code == 0
