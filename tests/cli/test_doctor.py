from __future__ import annotations

import time
from pathlib import Path

import pytest

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
