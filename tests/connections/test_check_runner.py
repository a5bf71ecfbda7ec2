"""Checks in the background of a web process: four at a time, cancelled from anywhere, never silently lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from flask import Flask

from portal.connections import candidates
from portal.connections.candidates import Asker, Candidate
from portal.connections.check_runner import CheckRunner, TooManyChecks
from portal.connections.checks import CheckView, cancel_check, find_check
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.connections.making import engine_of, installation_of, replaced, smtp_values
from tests.connections.test_states import at
from tests.outside.smtp_server import SMTPServer

SESSION = uuid4()


def keep(app: Flask, server: SMTPServer, name: str = "Main") -> UUID:
    values = smtp_values(name, smtp=replace(at(server), timeout_seconds=5))
    candidate = Candidate(connection_id=None, started_from=0, values=values, secrets={"password": replaced()})
    asker = Asker(SESSION, uuid4(), "Ada", "192.0.2.7")
    with app.app_context(), unit_of_work() as session:
        box = installation_of(app).box
        return candidates.keep(
            session, candidate, then="show", state="waiting", asker=asker, box=box, now=datetime.now(UTC)
        )


def look(app: Flask, check_id: UUID) -> CheckView:
    with app.app_context():
        found = find_check(db.session(), check_id, session_id=SESSION, now=datetime.now(UTC))
        assert found is not None
        return found


def until(condition: Callable[[], bool], *, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_four_checks_run_at_a_time_and_the_others_wait_for_their_turn(portal: Flask, server: SMTPServer) -> None:
    server.on("EHLO", delay=0.7)
    runner = CheckRunner(engine_of(portal), installation_of(portal))
    check_ids = [keep(portal, server, f"Check {number}") for number in range(6)]

    for check_id in check_ids:
        runner.start(check_id)

    assert until(lambda: server.connections == 4)
    time.sleep(0.2)
    assert server.connections == 4
    assert [look(portal, check_id).state for check_id in check_ids].count("waiting") == 2
    assert until(lambda: all(look(portal, check_id).state == "passed" for check_id in check_ids))


def test_more_checks_than_may_wait_are_refused(portal: Flask, server: SMTPServer) -> None:
    server.on("CONNECT", "421 4.3.2 busy", delay=0.3)
    runner = CheckRunner(engine_of(portal), installation_of(portal))
    *fitting, one_too_many = [keep(portal, server, f"Check {number}") for number in range(25)]
    for check_id in fitting:
        runner.start(check_id)

    with pytest.raises(TooManyChecks):
        runner.start(one_too_many)


def test_steps_are_stored_as_they_end(portal: Flask, server: SMTPServer) -> None:
    server.on("MAIL", delay=1.0)
    runner = CheckRunner(engine_of(portal), installation_of(portal))
    check_id = keep(portal, server)

    runner.start(check_id)

    assert until(lambda: "authenticate" in [result.step for result in look(portal, check_id).steps])
    assert look(portal, check_id).state == "running"
    assert until(lambda: look(portal, check_id).state == "passed")


def test_a_check_cancelled_by_another_process_stops_before_its_next_step(portal: Flask, server: SMTPServer) -> None:
    server.on("EHLO", delay=2.5)
    runner = CheckRunner(engine_of(portal), installation_of(portal))
    check_id = keep(portal, server)
    runner.start(check_id)
    assert until(lambda: look(portal, check_id).state == "running")

    with portal.app_context(), unit_of_work() as session:
        cancel_check(session, check_id, session_id=SESSION, now=datetime.now(UTC))

    assert look(portal, check_id).state == "cancelled"
    server.wait_until_idle()
    assert not [command for command in server.commands if command.startswith("AUTH")]


def test_a_check_cancelled_while_it_waits_never_connects(portal: Flask, server: SMTPServer) -> None:
    runner = CheckRunner(engine_of(portal), installation_of(portal))
    check_id = keep(portal, server)
    with portal.app_context(), unit_of_work() as session:
        cancel_check(session, check_id, session_id=SESSION, now=datetime.now(UTC))

    runner.start(check_id)

    time.sleep(0.2)
    assert server.connections == 0


def test_a_check_that_breaks_says_so(portal: Flask, server: SMTPServer) -> None:
    broken = replace(installation_of(portal), policy=None)  # type: ignore[arg-type]
    runner = CheckRunner(engine_of(portal), broken)
    check_id = keep(portal, server)

    runner.start(check_id)

    assert until(lambda: look(portal, check_id).state == "interrupted")
