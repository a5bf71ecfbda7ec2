"""Signing in: by which ways, over which connections, and what a wrong password learns."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest
from flask import Flask
from sqlalchemy import select

from portal.relay.throttle import WrongProofs
from portal.servers.models import Server, ServerLogin
from tests.relay.conftest import Line, RunningRelay, StartRelay, add_log_in, add_server, change_server, on_sqlite, until
from tests.relay.test_no_open_relay import plain

WRONG = "535 5.7.8 User name or password is wrong."


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def greeted(relay: RunningRelay, scheme: str = "tls") -> Line:
    line = relay.line(scheme)
    line.say("EHLO printer")
    return line


def cram(line: Line, username: str, password: str) -> str:
    challenge = b64decode(line.say("AUTH CRAM-MD5")[4:])
    digest = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
    return line.say(encoded(f"{username} {digest}"))


def test_plain_and_login_sign_in_and_the_message_bears_the_log_in(app: Flask, relay: RunningRelay) -> None:
    log_in = add_log_in(app, add_server(app))
    at_once, in_steps, by_login, short_login = (greeted(relay) for _ in range(4))

    replied = [
        at_once.say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}"),
        in_steps.say("AUTH PLAIN"),
        in_steps.say(plain(log_in.username, log_in.password)),
        by_login.say("auth login"),
        by_login.say(encoded(log_in.username)),
        by_login.say(encoded(log_in.password)),
        short_login.say(f"AUTH LOGIN {encoded(log_in.username)}"),
        short_login.say(encoded(log_in.password)),
    ]
    handed_over = [line.hand_over()[:3] for line in (at_once, in_steps, by_login, short_login)]

    assert replied == [
        "235 2.7.0 Signed in",
        "334 ",
        "235 2.7.0 Signed in",
        "334 VXNlcm5hbWU6",
        "334 UGFzc3dvcmQ6",
        "235 2.7.0 Signed in",
        "334 UGFzc3dvcmQ6",
        "235 2.7.0 Signed in",
    ]
    assert handed_over == ["250"] * 4
    assert all(message.key_id is not None for message in relay.stored())
    assert at_once.say("AUTH PLAIN") == "503 5.5.1 You are signed in already."


def test_cram_md5_is_offered_and_works_where_a_server_switched_it_on_and_for_its_log_ins_alone(
    app: Flask, relay: RunningRelay
) -> None:
    other = add_log_in(app, add_server(app, "Other"))
    before = relay.line("tls").say("EHLO printer")
    log_in = add_log_in(app, add_server(app, allows_cram_md5=True))
    line, wrong, others = (greeted(relay) for _ in range(3))

    right = cram(line, log_in.username, log_in.password)

    assert "AUTH PLAIN LOGIN\n" in before + "\n"
    assert "AUTH PLAIN LOGIN CRAM-MD5\n" in relay.line("tls").say("EHLO printer") + "\n"
    assert right == "235 2.7.0 Signed in"
    assert cram(wrong, log_in.username, log_in.password + "x").startswith(WRONG)
    assert cram(others, other.username, other.password).startswith(WRONG)
    assert line.hand_over().startswith("250 ")


@on_sqlite
def test_nobody_signs_in_in_clear_text_but_old_devices_of_a_listed_network(app: Flask, relay: RunningRelay) -> None:
    server = add_server(app)
    log_in = add_log_in(app, server)
    proof = plain(log_in.username, log_in.password)
    at_starttls, at_plain = greeted(relay, "starttls"), greeted(relay, "plain")

    refused = [at_starttls.say(f"AUTH PLAIN {proof}"), at_plain.say(f"AUTH PLAIN {proof}")]
    offered = at_starttls.say("EHLO printer") + at_plain.say("EHLO printer")
    add_server(app, "Old", legacy_networks=("127.0.0.1/32",))
    old = relay.line("plain")
    offered_to_old = old.say("EHLO printer")

    assert refused[0].startswith("538 5.7.11 Signing in needs TLS")
    assert refused[1] == "504 5.5.4 This way of signing in is not offered."
    assert "AUTH" not in offered
    assert "AUTH PLAIN LOGIN" in offered_to_old
    assert old.say(f"AUTH PLAIN {proof}") == "235 2.7.0 Signed in"


@on_sqlite
def test_a_wrong_name_and_a_wrong_password_learn_the_same(app: Flask, relay: RunningRelay) -> None:
    log_in = add_log_in(app, add_server(app))
    line = greeted(relay)

    replied = [
        line.say(f"AUTH PLAIN {plain(log_in.username, 'wrong')}"),
        line.say(f"AUTH PLAIN {plain('nobody', log_in.password)}"),
        line.say(f"AUTH PLAIN {plain('', '')}"),
    ]

    assert replied[0] == replied[1]
    assert replied[0].startswith(WRONG)
    assert replied[2].startswith("421 4.7.0 User name or password is wrong.")
    assert line.read() == ""


@on_sqlite
def test_who_guesses_on_is_not_looked_at_any_more_be_the_password_right(app: Flask, relay: RunningRelay) -> None:
    log_in = add_log_in(app, add_server(app))
    lines = [greeted(relay) for _ in range(21)]
    for line in lines[:20]:
        line.send(f"AUTH PLAIN {plain(log_in.username, 'wrong')}\r\n".encode())
    assert all(line.read().startswith(WRONG) for line in lines[:20])

    replied = lines[20].say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}")

    assert replied.startswith("454 4.7.0 Too many wrong sign-ins from this address.")


def test_wrong_proofs_are_forgotten_after_their_window_and_counted_by_network_for_ipv6() -> None:
    wrong = WrongProofs(most=2, window_seconds=600)
    for address in ("2001:db8::1", "2001:db8::2", "192.0.2.1"):
        wrong.note(address, 1000.0)

    assert wrong.is_over("2001:db8::ffff", 1599.9)
    assert not wrong.is_over("2001:db8:0:1::1", 1599.9)
    assert not wrong.is_over("192.0.2.1", 1599.9)
    assert not wrong.is_over("2001:db8::1", 1600.0)


@on_sqlite
@pytest.mark.parametrize(
    ("said", "replied"),
    [
        (["AUTH PLAIN !!!"], "501 5.5.2"),
        (["AUTH PLAIN", "*"], "501 5.7.0"),
        (["AUTH LOGIN", "*"], "501 5.7.0"),
        (["AUTH PLAIN AGEAYgBj"], "501 5.5.2"),
        (["AUTH PLAIN " + encoded("other\0name\0password")], "501 5.5.2"),
        (["AUTH PLAIN " + b64encode(b"\0\xff\0\xff").decode()], "501 5.5.2"),
        (["AUTH CRAM-MD5"], "504 5.5.4"),
        (["AUTH XOAUTH2 abc"], "504 5.5.4"),
        (["AUTH"], "504 5.5.4"),
        (["AUTH LOGIN", encoded("x" * 1200)], "501 5.5.2"),
    ],
)
def test_what_is_no_proof_ends_signing_in_and_nothing_else(
    app: Flask, relay: RunningRelay, said: list[str], replied: str
) -> None:
    line = greeted(relay)

    last = [line.say(one) for one in said][-1]

    assert last.startswith(replied)
    assert line.say("NOOP") == "250 2.0.0 OK"


def test_the_last_use_of_a_log_in_is_written_down(app: Flask, relay: RunningRelay) -> None:
    log_in = add_log_in(app, add_server(app))
    line = greeted(relay)
    line.say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}")
    line.hand_over()

    def seen() -> object:
        with relay.engine.connect() as connection:
            return connection.scalar(select(Server.last_seen_at)) and connection.scalar(
                select(ServerLogin.last_used_at)
            )

    until(seen)


@on_sqlite
def test_a_server_that_is_renamed_keeps_its_open_connections(app: Flask, start_relay: StartRelay) -> None:
    server_id = add_server(app)
    log_in = add_log_in(app, server_id)
    line = greeted(start_relay())
    line.say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}")

    change_server(app, server_id, name="Scanner, second floor")

    assert line.hand_over().startswith("250 ")


def test_a_line_that_is_too_long_ends_signing_in(relay: RunningRelay) -> None:
    line = greeted(relay)
    line.say("AUTH LOGIN")

    assert line.say("x" * 3000).startswith("500 5.5.6 ")
    assert line.say("NOOP") == "250 2.0.0 OK"
