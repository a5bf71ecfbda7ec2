from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from portal import audit, create_app
from portal.audit import sealing
from portal.config import load_config
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.cli.conftest import Portal

PASSWORD = "correct horse battery staple 9"
SMTP = """
connections:
  - {name: main, method: smtp, role: default, host: smtp.contoso.test, auth: password, username: relay,
     password: canary-4711, from_address: portal@contoso.test}
"""


def add_administrator(portal: Portal) -> None:
    arguments = ("user", "add", "ada@contoso.test", "--role", "admin", "--password-stdin")
    assert portal(*arguments, stdin=PASSWORD).exit_code == 0


def test_each_variable_is_shown_with_its_source_and_secrets_hidden(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "admin-password").write_text("canary-admin\n")
    monkeypatch.setenv("PORTAL_ADMIN_EMAIL", "ada@contoso.test")
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD_FILE", str(tmp_path / "admin-password"))
    monkeypatch.setenv(
        "PORTAL_BUILTIN_SERVICE", "smtp://user:canary-builtin@smtp.contoso.test:465?security=implicit_tls"
    )

    shown = portal("doctor").stdout

    lines = {line.split()[0]: line.split(None, 1)[1] for line in shown.splitlines() if line.startswith("PORTAL_")}
    assert lines["PORTAL_LOG_LEVEL"].split() == ["info", "default"]
    assert lines["PORTAL_PUBLIC_URL"].split() == ["http://localhost", "environment"]
    assert lines["PORTAL_SECRET_KEY"].split() == [f"{tmp_path}/secret.key", "(not", "shown)", "generated"]
    assert lines["PORTAL_ADMIN_PASSWORD"].endswith(f"file {tmp_path}/admin-password")
    assert "smtp://user:***@smtp.contoso.test:465?security=implicit_tls" in lines["PORTAL_BUILTIN_SERVICE"]
    assert "canary" not in shown


def test_several_keys_are_counted_and_not_shown(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", "a" * 32 + "," + "b" * 32)

    assert "PORTAL_SECRET_KEY                (2 keys set, not shown)" in portal("doctor").stdout


def test_what_is_wrong_is_said_with_its_remedy_and_ends_with_1(portal: Portal) -> None:
    examined = portal("doctor")

    assert examined.exit_code == 1
    assert "WRONG  people: there is no administrator yet; portal upgrade prints the address" in examined.stdout
    assert "WRONG  worker: none is running; no mail leaves until one runs; start it with: portal run" in examined.stdout
    assert "note   mail: is kept here and does not leave" in examined.stdout
    assert examined.stderr == "Error: 2 things are wrong\n"


@pytest.mark.usefixtures("worker")
def test_an_installation_in_order_ends_with_0(portal: Portal) -> None:
    add_administrator(portal)

    for _ in range(100):
        examined = portal("doctor")
        if "WRONG  worker" not in examined.stdout:
            break
        time.sleep(0.05)

    assert (examined.exit_code, examined.stderr) == (0, "")
    assert examined.stdout.endswith("Nothing is wrong.\n")
    assert "ok     durability: what is accepted is on disk before it is confirmed" in examined.stdout


def test_a_password_that_another_key_sealed_is_found(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert portal("settings", "apply", "-", stdin=SMTP).exit_code == 0
    monkeypatch.setenv("PORTAL_SECRET_KEY", "another-key-than-the-one-that-sealed-it")

    examined = portal("doctor")

    assert "WRONG  connection main: the key does not open its password or secret, stored at " in examined.stdout
    assert "bring the former PORTAL_SECRET_KEY back" in examined.stdout


@pytest.mark.parametrize("database_url", ["postgresql+psycopg://nobody:canary-4711@127.0.0.1:1/nothing"])
def test_a_database_that_cannot_be_reached_is_a_finding(command: Portal) -> None:
    examined = command("doctor")

    assert examined.exit_code == 1
    assert "WRONG  portal: the database cannot be used: " in examined.stdout
    assert "postgresql+psycopg://nobody:***@127.0.0.1:1/nothing" in examined.stdout
    assert "canary-4711" not in examined.output


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_file_that_others_can_read_is_found(portal: Portal, database_url: str) -> None:
    Path(database_url.removeprefix("sqlite:///")).chmod(0o644)

    assert "WRONG  database: others can read it; run: chmod 600 " in portal("doctor").stdout


def seal_of(shown: str) -> str:
    """The newest seal that was printed."""
    return shown.split("the newest seal ", 1)[1].split(maxsplit=1)[0]


def write_and_seal(environ: dict[str, str], number: int) -> None:
    app = create_app(load_config(environ))
    with app.app_context():
        with unit_of_work() as session:
            for one in range(number):
                audit.record(
                    session, action="user.added", actor=None, subject=f"{one}@contoso.test", now=datetime.now(UTC)
                )
        with unit_of_work() as session:
            sealing.seal(session)
        db.session.remove()
        db.engine.dispose()


def run_sql(environ: dict[str, str], statement: str) -> None:
    engine = create_engine(environ["PORTAL_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_the_audit_log_is_verified_and_its_newest_seal_printed(portal: Portal, environ: dict[str, str]) -> None:
    write_and_seal(environ, 3)

    shown = portal("doctor").stdout

    assert "ok     audit log: sealed entries: 3; they fit together\n" in shown
    assert "WRONG  audit log" not in portal("doctor", "--chain", seal_of(shown)).stdout


def test_a_changed_audit_log_is_found(portal: Portal, environ: dict[str, str]) -> None:
    write_and_seal(environ, 4)
    run_sql(environ, "update audit_entry set subject = 'other' where place = 2")
    run_sql(environ, "delete from audit_entry where place = 3")

    examined = portal("doctor")

    assert examined.exit_code == 1
    assert "WRONG  audit log: entry 2 (user.added, 20" in examined.stdout
    assert " UTC) was changed or moved after it was sealed\n" in examined.stdout
    assert "WRONG  audit log: entry 3 is missing: removed, or moved elsewhere" in examined.stdout
    assert "fit together" not in examined.stdout


def test_a_seal_that_was_kept_finds_a_chain_made_anew(portal: Portal, environ: dict[str, str]) -> None:
    write_and_seal(environ, 3)
    kept = seal_of(portal("doctor").stdout)
    run_sql(environ, "update audit_entry set place = null, sealed_hash = null, subject = 'other'")
    write_and_seal(environ, 0)

    found = "WRONG  audit log: entry 3 (user.added"

    assert found not in portal("doctor").stdout
    assert found in portal("doctor", "--chain", kept).stdout
    assert "WRONG  audit log: entry 9 is missing, though" in portal("doctor", "--chain", "9:" + "0" * 64).stdout


@pytest.mark.parametrize("seal", ["", "3", "0:" + "a" * 64, "3:abc", "-3:" + "a" * 64, "3:" + "g" * 64])
def test_what_is_no_seal_is_wrong_usage(portal: Portal, seal: str) -> None:
    refused = portal("doctor", "--chain", seal)

    assert refused.exit_code == 2
    assert "this is not a seal" in refused.stderr


def test_entries_that_no_worker_seals_are_noted(portal: Portal, environ: dict[str, str]) -> None:
    assert "are not sealed" not in portal("doctor").stdout
    write_and_seal(environ, 1)
    run_sql(environ, "update audit_entry set at = '2026-01-01 00:00:00', place = null, sealed_hash = null")

    assert "note   audit log: entries since 2026-01-01 00:00:00 UTC are not sealed" in portal("doctor").stdout
