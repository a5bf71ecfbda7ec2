from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Portal
from tests.conftest import postgresql_database

PASSWORD = "correct horse battery staple 9"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Here databases begin without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'portal.sqlite3'}"
        return
    with postgresql_database() as url:
        yield url


def test_the_first_upgrade_gives_the_address_where_the_first_administrator_is_made(command: Portal) -> None:
    upgraded = command("upgrade")

    assert upgraded.exit_code == 0
    assert re.fullmatch(
        r"The database was brought from nothing to schema \d+\.\n"
        r"Create the first administrator at http://localhost/setup\?token=[\w-]{43}\n",
        upgraded.stdout,
    )


def test_a_second_upgrade_changes_nothing_and_voids_the_former_address(command: Portal) -> None:
    first, second = command("upgrade"), command("upgrade")

    assert re.match(r"The database is at schema \d+ already\.\n", second.stdout)
    assert first.stdout.splitlines()[1] != second.stdout.splitlines()[1]


def test_a_fresh_portal_has_the_built_in_connection(command: Portal) -> None:
    command("upgrade")

    assert "- name: built-in\n  method: builtin\n  role: default\n" in command("settings", "export").stdout


def test_the_first_administrator_can_come_from_the_environment(
    command: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_ADMIN_EMAIL", "ada@contoso.test")
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", PASSWORD)

    upgraded = command("upgrade", "--quiet")

    assert (upgraded.exit_code, upgraded.stdout) == (0, "")
    assert (
        command("user", "add", "ada@contoso.test", "--role", "user", "--password-stdin", stdin=PASSWORD).exit_code == 1
    )


@pytest.mark.parametrize(
    ("email", "password", "named"),
    [("not an address", PASSWORD, "PORTAL_ADMIN_EMAIL: "), ("ada@contoso.test", "letmein", "PORTAL_ADMIN_PASSWORD: ")],
)
def test_an_administrator_that_cannot_be_made_names_the_variable(
    command: Portal, monkeypatch: pytest.MonkeyPatch, email: str, password: str, named: str
) -> None:
    monkeypatch.setenv("PORTAL_ADMIN_EMAIL", email)
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", password)

    refused = command("upgrade")

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: {named}")
    assert refused.stderr.count("\n") == 1


def test_an_administrator_with_the_address_of_somebody_else_names_the_variable(
    command: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("upgrade")
    command("user", "add", "ada@contoso.test", "--role", "user", "--password-stdin", stdin=PASSWORD)
    monkeypatch.setenv("PORTAL_ADMIN_EMAIL", "ada@contoso.test")
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", PASSWORD)

    refused = command("upgrade")

    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: PORTAL_ADMIN_EMAIL: There is an account with the address ada@contoso.test already.\n"
    )


@pytest.mark.parametrize("arguments", [("web",), ("worker",), ("settings", "export"), ("outbox", "list")])
def test_nothing_starts_on_an_empty_database(command: Portal, arguments: tuple[str, ...]) -> None:
    refused = command(*arguments)

    assert (refused.exit_code, refused.stderr) == (1, "Error: the database is empty; run: portal upgrade\n")


def test_a_database_behind_this_version_is_found(command: Portal) -> None:
    examined = command("doctor")

    assert examined.exit_code == 1
    assert "WRONG  schema: the database is empty; run: portal upgrade\n" in examined.stdout
