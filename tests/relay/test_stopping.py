"""An orderly stop, a database that does not answer, and a schema that is another."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from portal.database import writing
from tests.relay.conftest import CONTENT, RunningRelay, StartRelay, add_server, on_sqlite

LOOPBACK = ("127.0.0.0/8",)


def test_the_end_waits_for_a_message_under_way_and_for_nobody_else(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)
    idle, amid = relay.known_line(), relay.known_line()
    for said in ("MAIL FROM:<scanner@contoso.test>", "RCPT TO:<ada@contoso.test>", "DATA"):
        amid.say(said)

    relay.begin_to_stop()
    told = [idle.read(), idle.read()]
    amid.send(CONTENT + b".\r\n")
    accepted, ended = amid.read(), amid.read()
    relay.stop()

    stopping = "421 4.3.2 The portal is stopping. Connect again in a few seconds."
    assert told == [stopping, ""]
    assert accepted == f"250 2.0.0 Queued as {relay.stored()[0].id}"
    assert ended == stopping


@on_sqlite
def test_who_never_ends_a_message_cannot_hold_up_the_end(app: Flask, start_relay: StartRelay) -> None:
    add_server(app, networks=LOOPBACK)
    relay = start_relay(drain=0.3)
    amid = relay.known_line()
    amid.say("MAIL FROM:<scanner@contoso.test>")

    relay.stop()

    assert relay.stored() == []


@on_sqlite
def test_a_newer_schema_is_not_written_into(app: Flask, start_relay: StartRelay) -> None:
    add_server(app, networks=LOOPBACK)
    relay = start_relay()
    line = relay.known_line()
    with writing(relay.engine).begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))

    replied = line.hand_over()

    assert replied == "421 4.3.2 The portal takes no mail at the moment. Try again in a few minutes."
    assert relay.stored() == []


@on_sqlite
def test_a_database_that_is_away_is_a_passing_fault(
    app: Flask, start_relay: StartRelay, request: pytest.FixtureRequest
) -> None:
    add_server(app, networks=LOOPBACK)
    relay = start_relay()
    line = relay.known_line()
    assert line.hand_over().startswith("250 ")
    with writing(relay.engine).begin() as connection:
        connection.execute(text("alter table message rename to elsewhere"))

    replied = line.hand_over()
    with writing(relay.engine).begin() as connection:
        connection.execute(text("alter table elsewhere rename to message"))
    again = line.hand_over()

    assert replied[:3] in {"451", "554"}
    assert again.startswith("250 ")
    assert len(relay.stored()) == 2
