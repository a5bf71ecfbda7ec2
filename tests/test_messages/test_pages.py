"""The test message's pages: queued through the one door, followed to an end, explained when it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask

from portal import audit, connections, schema
from portal.connections.saving import create
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import ConnectionValues, Method, Role
from portal.extensions import db
from portal.outbox import worker
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Auth, Security
from tests.admin_browser import Browser
from tests.outside.smtp_server import SMTPServer


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with SMTPServer() as server:
        yield server


@pytest.fixture
def portal(app: Flask, server: SMTPServer) -> Flask:
    smtp = SMTPValues(host=server.host, port=server.port, security=Security.NONE, auth=Auth.NONE)
    values = ConnectionValues(
        name="Main", method=Method.SMTP, role=Role.DEFAULT, smtp=smtp, from_address="portal@contoso.test"
    )
    with app.app_context(), unit_of_work() as session:
        box = app.extensions["secret_box"]
        create(session, values, {}, box=box, actor=audit.COMMAND_LINE, now=datetime.now(UTC))
    return app


def send_what_waits(app: Flask) -> None:
    installation = app.extensions["installation"]
    with app.app_context():
        engine = db.engine
        assert schema.require_known(engine)
    worker.once(
        engine,
        box=installation.box,
        ways_out=lambda route: connections.ways_out(engine, route, installation=installation),
        open_transport=lambda way_out: connections.open_transport(engine, way_out, installation=installation),
        now=datetime.now(UTC),
    )


def test_the_helpdesk_sends_one_and_sees_the_servers_own_reply(portal: Flask, server: SMTPServer) -> None:
    helpdesk = Browser(portal, "helpdesk")

    answer = helpdesk.post("/test-messages/new", {"to": "grace@contoso.test", "connection": ""})
    waiting = helpdesk.get(answer.headers["Location"]).text
    send_what_waits(portal)
    sent = helpdesk.get(answer.headers["Location"]).text

    assert answer.status_code == 303
    assert "hx-trigger" in waiting
    assert "No worker is running" in waiting
    assert "The next server took it" in sent
    assert "hx-trigger" not in sent
    assert server.messages[0].rcpt_to == ("grace@contoso.test",)


def test_a_refusal_is_its_end_and_is_explained(portal: Flask, server: SMTPServer) -> None:
    server.on("RCPT", "550 5.1.1 no such user here")
    admin = Browser(portal)

    answer = admin.post("/test-messages/new", {"to": "nobody@contoso.test", "connection": ""})
    send_what_waits(portal)
    page = admin.get(answer.headers["Location"]).text

    assert "550 5.1.1 no such user here" in page
    assert "What happened" in page
    assert "hx-trigger" not in page


def test_a_lost_answer_is_told_and_not_waited_for(portal: Flask, server: SMTPServer) -> None:
    server.on("CONTENT", drop="before", is_taken=True)
    admin = Browser(portal)

    answer = admin.post("/test-messages/new", {"to": "grace@contoso.test", "connection": ""})
    send_what_waits(portal)
    page = admin.get(answer.headers["Location"]).text

    assert "the answer was lost" in page
    assert "hx-trigger" not in page


def test_an_address_that_is_none_is_said_and_nothing_is_queued(portal: Flask, server: SMTPServer) -> None:
    admin = Browser(portal)

    answer = admin.post("/test-messages/new", {"to": "a@x.test, b@x.test", "connection": ""})
    send_what_waits(portal)

    assert answer.status_code == 422
    assert server.messages == []


def test_sending_is_limited_by_person(portal: Flask) -> None:
    admin = Browser(portal)

    answers = [admin.post("/test-messages/new", {"to": "grace@contoso.test", "connection": ""}) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [303] * 10 + [429]
    assert re.fullmatch(r"\d+", answers[-1].headers["Retry-After"])
