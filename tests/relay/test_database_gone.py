"""A database that goes away while a message arrives or is stored: 451, nothing stored, and all is well afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from portal.database import writing
from portal.extensions import db
from tests.relay.conftest import CONTENT, Line, RunningRelay, StartRelay, add_server, until

LOOPBACK = ("127.0.0.0/8",)
LARGE = CONTENT + (b"y" * 98 + b"\r\n") * 6000  # written in pieces, by a thread of its own


@pytest.fixture
def relay(app: Flask, start_relay: StartRelay) -> RunningRelay:
    with app.app_context():
        engine = db.engine
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def soon_give_up(driver: Any, _record: object) -> None:
            driver.execute("pragma busy_timeout = 200")

        engine.dispose()
    return start_relay()


@pytest.fixture
def line(app: Flask, relay: RunningRelay) -> Line:
    """A client that handed over one message: the connections to the database are open."""
    add_server(app, networks=LOOPBACK)
    line = relay.known_line()
    assert line.hand_over().startswith("250 ")
    return line


def begin(line: Line) -> None:
    for said in ("MAIL FROM:<scanner@contoso.test>", "RCPT TO:<ada@contoso.test>", "DATA"):
        assert line.say(said)[:1] in "23"


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
def test_a_database_that_goes_away_while_content_arrives(relay: RunningRelay, line: Line, content: bytes) -> None:
    begin(line)
    half = len(content) // 2

    line.send(content[:half])
    with nobody_can_read(relay.engine):
        line.send(content[half:] + b".\r\n")
        replied = line.read()
    again = line.hand_over(content=content)

    assert replied.startswith("451 4.3.0 ")
    assert again.startswith("250 ")
    assert len(relay.stored()) == 2


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
def test_a_database_that_goes_away_between_the_content_and_the_commit(
    relay: RunningRelay, line: Line, content: bytes
) -> None:
    begin(line)

    with nobody_can_commit(relay.engine) as cut_off, ThreadPoolExecutor(1) as reading:
        line.send(content + b".\r\n")
        reply = reading.submit(line.read)
        until(lambda: reply.done() or cut_off(), seconds=30)
    again = line.hand_over(content=content)

    assert reply.result().startswith("451 4.3.0 ")
    assert again.startswith("250 ")
    assert len(relay.stored()) == 2


@contextmanager
def nobody_can_read(engine: Engine) -> Iterator[None]:
    with writing(engine).begin() as connection:
        connection.execute(text("alter table audit_entry rename to elsewhere"))
    yield
    with writing(engine).begin() as connection:
        connection.execute(text("alter table elsewhere rename to audit_entry"))


@contextmanager
def nobody_can_commit(engine: Engine) -> Iterator[Callable[[], None]]:
    """What is read is still there. Yields what ends the connections that wait to write; on SQLite they give up."""
    if engine.dialect.name == "sqlite":
        with writing(engine).begin():
            yield lambda: None
        return
    waiting = text("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")

    def cut_off() -> None:
        with engine.begin() as connection:  # each time anew: a transaction sees what it saw first
            connection.execute(waiting)

    with engine.begin() as holder:
        holder.execute(text("lock table message, message_body_chunk in share row exclusive mode"))
        yield cut_off
