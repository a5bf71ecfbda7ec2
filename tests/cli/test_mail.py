from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Portal
from tests.outside.smtp_server import SMTPServer


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with SMTPServer(accounts={"relay": "geheim"}) as server:
        yield server


def connect(portal: Portal, server: SMTPServer, password: str = "geheim") -> None:
    settings = f"""
      connections:
        - {{name: main, method: smtp, role: default, host: {server.host}, port: {server.port}, security: none,
           auth: password, username: relay, password: {password}, from_address: portal@contoso.test}}
    """
    assert portal("settings", "apply", "-", stdin=settings).exit_code == 0


def test_a_check_prints_its_steps_as_json_lines_and_ends_with_0(portal: Portal, server: SMTPServer) -> None:
    connect(portal, server)

    checked = portal("check", "main", "--json")

    steps = [json.loads(line) for line in checked.stdout.splitlines()]
    assert checked.exit_code == 0
    assert [step["step"] for step in steps if step["status"] in {"pass", "warn"}][-1] == "data"
    assert {"step", "status", "elapsed_ms", "seen", "cause", "remedy", "code"} <= set(steps[0])
    assert server.messages == []


def test_a_check_that_fails_says_why_and_ends_with_1(portal: Portal, server: SMTPServer) -> None:
    connect(portal, server, password="wrong")

    checked = portal("check", "main")
    as_json = portal("check", "main", "--json")

    failed = next(step for step in map(json.loads, as_json.stdout.splitlines()) if step["status"] == "fail")
    assert checked.exit_code == as_json.exit_code == 1
    assert (failed["step"], failed["code"]) == ("authenticate", "smtp.bad_credentials")
    assert f"      Cause: {failed['cause']}\n" in checked.stdout
    assert f"      What to do: {failed['remedy']}\n" in checked.stdout
    assert checked.stderr.startswith("Error: main: authenticate failed: ")


def test_a_connection_that_is_not_there_cannot_be_checked(portal: Portal) -> None:
    refused = portal("check", "other")

    assert refused.exit_code == 1
    assert refused.stderr == "Error: there is no connection other; portal settings export lists all\n"


@pytest.mark.usefixtures("worker")
def test_a_test_message_is_followed_to_its_end(portal: Portal, server: SMTPServer) -> None:
    connect(portal, server)

    sent = portal("send-test", "ada@contoso.test", "--connection", "main", "--wait")

    (message,) = server.messages
    assert sent.exit_code == 0
    assert sent.stdout.splitlines()[1].split(" ", 1)[1].startswith("sent: 250 ")
    assert tuple(message.rcpt_to) == ("ada@contoso.test",)


@pytest.mark.usefixtures("worker")
def test_a_test_message_that_is_refused_ends_with_1_and_the_reply(portal: Portal, server: SMTPServer) -> None:
    server.on("RCPT", "550 5.1.1 no such user here")
    connect(portal, server)

    sent = portal("send-test", "nobody@contoso.test", "--wait")

    assert sent.exit_code == 1
    assert sent.stderr.endswith(" failed: 550 5.1.1 no such user here\n")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (("ada@contoso.test", "--connection", "other"), 1, "Error: there is no connection other"),
        (("ada@contoso.test", "--kind", "sermon"), 2, "there is no kind sermon"),
        (("ada at contoso.test",), 1, "Error: "),
    ],
)
def test_a_test_message_that_cannot_be_queued_says_why(
    portal: Portal, arguments: tuple[str, ...], status: int, expected: str
) -> None:
    refused = portal("send-test", *arguments)

    assert refused.exit_code == status
    assert expected in refused.stderr


def test_messages_are_listed_shown_and_cancelled(portal: Portal) -> None:
    message_id = portal("send-test", "ada@contoso.test").stdout.split()[0]

    (listed,) = map(json.loads, portal("outbox", "list", "--json").stdout.splitlines())
    shown = json.loads(portal("outbox", "show", message_id, "--json").stdout)
    cancelled = portal("outbox", "cancel", message_id)

    assert (listed["id"], listed["status"], listed["to"]) == (message_id, "queued", ["ada@contoso.test"])
    assert shown["recipients"] == [{"address": "ada@contoso.test", "status": "queued", "reply": None}]
    assert (cancelled.exit_code, cancelled.stdout) == (0, f"{message_id} is cancelled now.\n")
    assert portal("outbox", "list", "--status", "queued").stdout == ""
    assert f"{message_id}  cancelled  " in portal("outbox", "list").stdout


def test_what_cannot_be_done_to_a_message_says_why(portal: Portal) -> None:
    message_id = portal("send-test", "ada@contoso.test").stdout.split()[0]
    portal("outbox", "cancel", message_id)

    again = portal("outbox", "retry", message_id)
    unknown = portal("outbox", "show", "00000000-0000-4000-8000-000000000000")

    assert again.exit_code == unknown.exit_code == 1
    assert "has ended as cancelled" in again.stderr
    assert unknown.stderr == "Error: there is no message 00000000-0000-4000-8000-000000000000\n"
    assert portal("outbox", "show", "not-an-id").exit_code == 2
