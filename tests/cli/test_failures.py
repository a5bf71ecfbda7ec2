from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Portal


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("arguments", [("run",), ("web",), ("upgrade",), ("doctor",), ("outbox", "list")])
def test_a_malformed_variable_stops_every_command_with_one_line(
    command: Portal, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PORTAL_BIND", "nowhere")

    refused = command(*arguments)

    assert refused.exit_code == 1
    assert refused.stderr == "Error: PORTAL_BIND: 'nowhere' is not an address and a port, such as 127.0.0.1:8000\n"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_unknown_variable_is_named(command: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_BINDD", "127.0.0.1:1")

    refused = command("doctor")

    assert refused.exit_code == 1
    assert refused.stderr == "Error: PORTAL_BINDD: there is no such variable; the README lists all of them\n"


@pytest.mark.parametrize("database_url", ["postgresql+psycopg://nobody:canary-4711@127.0.0.1:1/nothing"])
def test_a_database_that_is_not_there_is_one_line_without_its_password(command: Portal) -> None:
    refused = command("outbox", "list")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: the database cannot be used: ")
    assert refused.stderr.count("\n") == 1
    assert "canary-4711" not in refused.output


def test_a_key_that_others_can_read_stops_the_start(portal: Portal, tmp_path: Path) -> None:
    (tmp_path / "secret.key").chmod(0o644)

    refused = portal("settings", "export")

    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: {tmp_path}/secret.key can be read by others: run chmod 600 {tmp_path}/secret.key\n"
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_relay_without_an_address_is_refused_clearly(command: Portal) -> None:
    refused = command("relay")

    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: PORTAL_RELAY_BIND: it is not set; name the addresses, as in starttls://0.0.0.0:1587\n"
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_help_names_every_command(command: Portal) -> None:
    shown = command("--help").stdout

    for name in (
        "run",
        "web",
        "worker",
        "relay",
        "upgrade",
        "user",
        "settings",
        "check",
        "send-test",
        "outbox",
        "doctor",
    ):
        assert f"\n  {name} " in shown
