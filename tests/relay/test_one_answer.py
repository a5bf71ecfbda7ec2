"""Each message is answered once, whatever fails beside it."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text

from portal.database import writing
from tests.relay.conftest import RunningRelay, add_server, on_sqlite

pytestmark = on_sqlite
LOOPBACK = ("127.0.0.0/8",)


def test_who_cannot_be_noted_as_seen_is_answered_by_the_commit_alone(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=LOOPBACK)
    with writing(relay.engine).begin() as connection:
        connection.execute(
            text("create trigger no_notes before update on server begin select raise(abort, 'not now'); end")
        )
    line = relay.known_line()

    replied = line.hand_over()
    following = line.say("NOOP")

    assert replied == f"250 2.0.0 Queued as {relay.stored()[0].id}"
    assert following == "250 2.0.0 OK"
