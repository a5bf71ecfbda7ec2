from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.cli.conftest import Portal

SETTINGS = """\
email: {from_address: portal@contoso.test, display_name: Contoso Portal}
connections:
  - {name: main, method: smtp, role: default, host: smtp.contoso.test, port: 587, security: starttls,
     auth: password, username: relay, password: {env: SMTP_PASSWORD}, from_address: portal@contoso.test}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMTP_PASSWORD", "canary-4711")
    file = tmp_path / "settings.yaml"
    file.write_text(SETTINGS)
    return file


def test_a_file_is_planned_and_applied_and_then_changes_nothing(portal: Portal, file: Path) -> None:
    planned = portal("settings", "plan", str(file))
    untouched = portal("settings", "plan", str(file))
    applied = portal("settings", "apply", str(file))
    again = portal("settings", "apply", str(file))

    assert planned.exit_code == applied.exit_code == again.exit_code == 0
    assert "email.from_address: portal@contoso.test (new)\n" in planned.stdout
    assert "connections.main.host: smtp.contoso.test (new)\n" in planned.stdout
    assert "connections.main.password: changed (secret)\n" in planned.stdout
    assert untouched.stdout == applied.stdout == planned.stdout
    assert again.stdout == "no changes\n"


def test_an_export_changes_nothing_and_holds_no_secret(portal: Portal, file: Path, tmp_path: Path) -> None:
    portal("settings", "apply", str(file))

    exported = portal("settings", "export").stdout
    planned = portal("settings", "plan", "-", stdin=exported)

    assert "host: smtp.contoso.test" in exported
    assert "canary-4711" not in exported
    assert planned.stdout == "no changes\n"


def test_one_bad_value_changes_nothing_at_all(portal: Portal, file: Path) -> None:
    file.write_text(SETTINGS.replace("port: 587", "port: 65536"))

    refused = portal("settings", "apply", str(file))

    assert refused.exit_code == 1
    assert refused.stderr == (f"Error: {file}, line 3, connections[0].port: expected a whole number from 1 to 65535\n")
    assert "portal@contoso.test" not in portal("settings", "export").stdout


def test_a_file_that_is_not_there_is_named(portal: Portal) -> None:
    refused = portal("settings", "plan", "/nowhere/settings.yaml")

    assert (refused.exit_code, refused.stderr) == (1, "Error: /nowhere/settings.yaml: No such file or directory\n")


def test_a_missing_secret_is_named_with_its_line(portal: Portal, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_PASSWORD")

    refused = portal("settings", "plan", str(file))

    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: {file}, line 4, connections[0].password: the environment has no variable SMTP_PASSWORD\n"
    )


def test_what_a_file_changed_is_in_the_audit_log_without_the_secret(
    portal: Portal, file: Path, database_url: str
) -> None:
    portal("settings", "apply", str(file))

    engine = create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("select action, actor_name, subject, changes from audit_entry")).all()
    engine.dispose()
    by_command_line = [(row.action, row.subject) for row in rows if row.actor_name == "command line"]
    assert ("email_settings.changed", "email settings") in by_command_line
    assert ("connection.created", "connection main") in by_command_line
    assert "canary-4711" not in str(rows)
