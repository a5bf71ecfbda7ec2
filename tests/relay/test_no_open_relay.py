"""Who may hand over, as whom and to whom: nobody else gets a message into the outbox."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from portal import audit
from portal.servers import log_ins
from portal.transaction import unit_of_work
from tests.relay.conftest import RunningRelay, add_log_in, add_server, change_server, on_sqlite


def test_a_client_that_nobody_knows_is_told_how_to_become_known(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=("192.0.2.0/24",))
    by_network, by_log_in = relay.line("plain"), relay.line("tls")
    by_network.say("EHLO printer")
    by_log_in.say("EHLO printer")

    replied = [by_network.hand_over(), by_log_in.hand_over()]

    assert replied == [
        "550 5.7.1 No server's networks name the address 127.0.0.1. An administrator adds it on a server's page.",
        "530 5.7.0 Sign in first; or an administrator names the address 127.0.0.1 on a server's page.",
    ]
    assert by_network.say("RCPT TO:<ada@contoso.test>") == "503 5.5.1 Say MAIL FROM first."
    assert by_network.say("DATA") == "503 5.5.1 Say MAIL FROM first."
    assert relay.stored() == []


def test_a_server_that_is_switched_off_sends_no_more_within_an_open_connection(app: Flask, relay: RunningRelay) -> None:
    server = add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()
    change_server(app, server, is_enabled=False)

    replied = line.hand_over()

    assert replied.startswith("550 5.7.1 This log-in or address may not send any more.")
    assert relay.stored() == []


def test_a_renewed_password_ends_what_the_former_one_opened(app: Flask, relay: RunningRelay) -> None:
    server = add_server(app)
    log_in = add_log_in(app, server)
    line = relay.line("tls")
    line.say("EHLO printer")
    line.say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}")
    before = line.hand_over()
    with app.app_context(), unit_of_work() as session:
        [stored] = log_ins.of_server(session, server)
        box = app.extensions["secret_box"]
        log_ins.renew_password(session, server, stored.id, box=box, actor=audit.COMMAND_LINE, now=datetime.now(UTC))

    after = line.hand_over()

    assert (before[:4], after[:10]) == ("250 ", "550 5.7.1 ")
    assert len(relay.stored()) == 1


def test_a_switch_acts_on_the_very_next_message_whatever_was_known_a_moment_before(
    app: Flask, relay: RunningRelay
) -> None:
    server = add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()

    before = line.hand_over()
    change_server(app, server, is_enabled=False)
    between = line.hand_over()
    change_server(app, server, is_enabled=True)
    after = relay.known_line().hand_over()

    assert [one[:10] for one in (before, between, after)] == ["250 2.0.0 ", "550 5.7.1 ", "250 2.0.0 "]
    assert len(relay.stored()) == 2


@on_sqlite
@pytest.mark.parametrize(
    "recipient",
    [
        "<victim%elsewhere.test@contoso.test>",
        "<elsewhere.test!victim@contoso.test>",
        "<@contoso.test:victim@elsewhere.test>",
        "<@contoso.test,@other.test:victim@elsewhere.test>",
        '<"victim@elsewhere.test"@contoso.test>',
        '<"victim elsewhere.test"@contoso.test>',
        "<victim@elsewhere.test@contoso.test>",
        "<victim@[192.0.2.1]>",
        "<victim>",
        "<>",
        "<ada@contoso.test> <victim@elsewhere.test>",
        "<ada@contoso.test>,<victim@elsewhere.test>",
        "<ada@contoso.test> NOTIFY=SUCCESS",
        "ada@contoso.test, victim@elsewhere.test",
    ],
)
def test_a_recipient_that_another_server_might_read_otherwise_is_refused(
    app: Flask, relay: RunningRelay, recipient: str
) -> None:
    server = add_server(app)
    log_in = add_log_in(app, server, allowed_recipients=("@contoso.test",))
    line = relay.line("tls")
    line.say("EHLO printer")
    assert line.say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}").startswith("235")
    line.say("MAIL FROM:<scanner@contoso.test>")

    replied = line.say(f"RCPT TO:{recipient}")

    assert replied[:3] in {"501", "553", "555"}
    assert line.say("DATA") == "503 5.5.1 There is no recipient yet: say RCPT TO first."


def test_the_lists_of_a_log_in_hold(app: Flask, relay: RunningRelay) -> None:
    server = add_server(app, allowed_senders=("@contoso.test",))
    log_in = add_log_in(app, server, allowed_senders=("scanner@contoso.test",), allowed_recipients=("@contoso.test",))
    line = relay.line("tls")
    line.say("EHLO printer")
    line.say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}")

    to_others = line.hand_over("ada@elsewhere.test")
    as_others = line.hand_over(content=b"From: boss@contoso.test\r\nSubject: Pay\r\n\r\nNow.\r\n")
    as_itself = line.hand_over()

    assert to_others.startswith("550 5.7.1 ada@elsewhere.test is not among the recipients")
    assert as_others.startswith("550 5.7.1 This key or log-in may not write as boss@contoso.test")
    assert as_itself.startswith("250 2.0.0 Queued as ")
    assert len(relay.stored()) == 1


def plain(username: str, password: str) -> str:
    from base64 import b64encode

    return b64encode(f"\0{username}\0{password}".encode()).decode()
