from __future__ import annotations

import pytest

from tests.cli.conftest import Portal

PASSWORD = "correct horse battery staple 9"


def test_a_person_is_added_with_a_password_from_standard_input(portal: Portal) -> None:
    added = portal("user", "add", "ada@contoso.test", "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")

    assert (added.exit_code, added.output) == (0, "ada@contoso.test was added as admin.\n")
    assert "Create the first administrator" not in portal("upgrade").output


def test_an_address_is_added_once(portal: Portal) -> None:
    arguments = ("user", "add", "ada@contoso.test", "--role", "user", "--password-stdin")
    portal(*arguments, stdin=PASSWORD)

    again = portal(*arguments, stdin=PASSWORD)

    assert again.exit_code == 1
    assert again.stderr == "Error: There is an account with the address ada@contoso.test already.\n"


def test_without_a_password_there_is_a_hint(portal: Portal) -> None:
    refused = portal("user", "add", "ada@contoso.test", "--role", "admin")

    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: give the password with --password-stdin: invitations by mail are not part of this version\n"
    )


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        ("", "Error: there is no password on standard input\n"),
        ("\n", "Error: there is no password on standard input\n"),
        (b"\xff\xfe\n", "Error: the password on standard input is not UTF-8 text\n"),
    ],
)
def test_a_password_that_is_not_there_is_refused(portal: Portal, stdin: str | bytes, expected: str) -> None:
    refused = portal("user", "add", "ada@contoso.test", "--role", "admin", "--password-stdin", stdin=stdin)

    assert (refused.exit_code, refused.stderr) == (1, expected)


def test_a_weak_password_is_refused_in_one_line_that_does_not_repeat_it(portal: Portal) -> None:
    refused = portal("user", "add", "ada@contoso.test", "--role", "admin", "--password-stdin", stdin="qwerty123\n")

    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "qwerty123" not in refused.output


def test_a_password_that_is_the_name_of_the_portals_host_is_refused(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_PUBLIC_URL", "https://wxkvbqzj.contoso.test")

    refused = portal("user", "add", "ada@a.test", "--role", "admin", "--password-stdin", stdin="wxkvbqzj-2026-q\n")

    assert refused.exit_code == 1
    assert "the name of the organisation" in refused.stderr


@pytest.mark.parametrize("arguments", [("user", "add"), ("user", "add", "a@b.test", "--role", "king"), ("nonsense",)])
def test_wrong_usage_has_a_status_of_its_own(command: Portal, arguments: tuple[str, ...]) -> None:
    assert command(*arguments).exit_code == 2
