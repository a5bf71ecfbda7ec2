from __future__ import annotations

import re

import pytest

from tests.accounts.browsing import sign_in, submit
from tests.cli.conftest import Portal
from tests.conftest import opened

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


def test_without_a_password_a_link_is_printed_by_which_one_is_chosen(portal: Portal, environ: dict[str, str]) -> None:
    added = portal("user", "add", "ada@contoso.test", "--role", "admin", "--name", "Ada")

    first, link = added.output.splitlines()
    assert added.exit_code == 0
    assert first == "ada@contoso.test was added as admin. This link works once, for 7 days, and is shown only now:"
    assert re.fullmatch(r"http://localhost/invitations/[\w-]{43}", link)
    with opened(environ) as app:
        client = app.test_client()
        chosen = submit(client, link.removeprefix("http://localhost"), {"password": "plum-violin-harbour-42"})
        assert (chosen.status_code, chosen.headers["Location"]) == (303, "/sign-in")
        assert sign_in(client, password="plum-violin-harbour-42").headers["Location"] == "/"


def test_an_address_that_is_there_gets_no_link(portal: Portal) -> None:
    portal("user", "add", "ada@contoso.test", "--role", "admin")

    again = portal("user", "add", "ADA@contoso.test", "--role", "admin")

    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == "Error: There is an account with the address ADA@contoso.test already.\n"


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
