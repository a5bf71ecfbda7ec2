"""A copy whose mail is redirected keeps to itself: no application and no provider hears of it by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from portal import installation, outbox
from portal.audit import COMMAND_LINE
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import Role
from portal.installation import Gate
from portal.outbox import commands
from portal.outbox.jobs import Job
from portal.servers import webhook_events, webhooks
from portal.servers.models import WebhookEvent
from portal.servers.webhook_ends import EndedMessages
from portal.transports.smtp_settings import Security
from portal.worker_process import _of_the_original, _unit_of_work
from tests.admin_browser import Browser
from tests.connections.making import PASSWORD, create, engine_of, smtp_values
from tests.outside.https_server import HTTPSServer
from tests.outside.smtp_server import SMTPServer
from tests.servers.serving import caller, composed, done, server
from tests.test_installation_identity import TESTS, release, until, working

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"PORTAL_PUBLIC_URL": "http://mail.contoso.test"}


@pytest.fixture
def smtp() -> Iterator[SMTPServer]:
    with SMTPServer(accounts={"relay": PASSWORD}) as smtp:
        yield smtp


@pytest.fixture
def receiver() -> Iterator[HTTPSServer]:
    with HTTPSServer() as receiver:
        receiver.on("/hook", status=204)
        yield receiver


@dataclass
class Copy:
    """A restored portal, of which nothing leaves yet; its one server has a webhook."""

    app: Flask
    server_id: UUID

    def queue(self, **changes: Any) -> UUID:
        prepared = replace(composed(self.app, caller(self.app, self.server_id)), **changes)
        done(self.app, lambda session: outbox.add(session, prepared, box=self.app.extensions["secret_box"]))
        return prepared.id

    def event_of(self, message_id: UUID) -> Any:
        with engine_of(self.app).connect() as connection:
            found = connection.execute(select(WebhookEvent.__table__)).all()
        return next((one for one in found if one.payload["data"]["id"] == str(message_id)), None)

    def gate(self) -> Gate:
        """As a worker has it before its first look; it has no other look by itself."""
        return Gate(engine_of(self.app), self.app.config["PORTAL"], lambda: _unit_of_work(self.app), every_seconds=3600)


@pytest.fixture
def copy(app: Flask, smtp: SMTPServer, receiver: HTTPSServer) -> Copy:
    out = SMTPValues(host=smtp.host, port=smtp.port, security=Security.NONE, username="relay")
    create(app, smtp_values(smtp=out, role=Role.DEFAULT))
    server_id = server(app, "Wiki")
    box, long_ago = app.extensions["secret_box"], NOW - timedelta(days=30)
    done(
        app,
        lambda session: webhooks.create(
            session, server_id, receiver.url("/hook"), box=box, actor=COMMAND_LINE, now=long_ago
        ),
    )
    done(app, lambda session: installation.hold_restored(session, app.config["PORTAL"], now=NOW))
    return Copy(app, server_id)


def told(receiver: HTTPSServer) -> list[str]:
    return [json.loads(request.content)["data"]["id"] for request in receiver.requests]


def test_no_webhook_is_called_while_mail_is_redirected_nor_told_of_it_later(
    copy: Copy, smtp: SMTPServer, receiver: HTTPSServer
) -> None:
    before = copy.queue()
    done(copy.app, lambda session: commands.cancel(session, before, now=NOW))
    done(copy.app, lambda session: webhook_events.remember(session, [before], now=NOW))
    redirected = copy.queue()
    release(copy.app, TESTS)

    with working(copy.app):
        until(lambda: copy.event_of(redirected) is not None)
        told_while_redirected = told(receiver)
        release(copy.app)
        until(lambda: receiver.requests)
        afterwards = copy.queue()
        until(lambda: len(receiver.requests) == 2)

    assert [one.rcpt_to for one in smtp.messages] == [(TESTS,), ("ada@contoso.test",)]
    assert told_while_redirected == []
    assert told(receiver) == [str(before), str(afterwards)]
    assert copy.event_of(redirected).last_error == "not told: all mail was redirected when the message ended"


def test_an_end_that_is_found_only_after_the_release_is_not_told_either(copy: Copy) -> None:
    reasons = ["redirected", ""]
    ends = EndedMessages(engine_of(copy.app), lambda: _unit_of_work(copy.app), withheld=lambda: reasons[0])
    ends.catch_up(NOW)
    lost = copy.queue()
    done(copy.app, lambda session: commands.cancel(session, lost, now=NOW))  # by another process
    reasons.pop(0)

    ends.catch_up(NOW + timedelta(minutes=1))

    assert copy.event_of(lost).last_error == "redirected"


def test_what_expired_while_the_worker_was_down_is_not_told_later(copy: Copy, receiver: HTTPSServer) -> None:
    expired = copy.queue(expires_at=NOW - timedelta(minutes=1))
    release(copy.app, TESTS)

    with working(copy.app):
        until(lambda: copy.event_of(expired) is not None)
        release(copy.app)
        afterwards = copy.queue()
        until(lambda: receiver.requests)

    assert copy.event_of(expired).last_error == "not told: all mail was redirected when the message ended"
    assert told(receiver) == [str(afterwards)]


def test_a_redirection_is_known_before_the_first_look_and_as_soon_as_a_hold_ends_in_one(copy: Copy) -> None:
    held = copy.gate()
    held.obstacle()
    before = held.is_redirecting()
    release(copy.app, TESTS)

    assert (before, held.is_redirecting()) == (False, True)
    assert copy.gate().is_redirecting()


def test_what_asks_others_waits_until_mail_goes_to_its_recipients(copy: Copy) -> None:
    ran: list[str] = []
    job = Job(name="renew", every=timedelta(hours=1), run=lambda _now: ran.append("ran"), is_waiting=lambda: True)
    asking = _of_the_original(job, copy.gate())
    assert asking.is_waiting is not None

    asking.run(NOW)
    was_waiting = [asking.is_waiting()]
    release(copy.app, TESTS)
    asking.run(NOW)
    was_waiting.append(asking.is_waiting())
    ran_before = list(ran)
    release(copy.app)
    asking.run(NOW)

    assert ran_before == []
    assert (was_waiting, asking.is_waiting()) == ([False, False], True)
    assert ran == ["ran"]


def test_the_page_says_what_becomes_of_webhooks_and_consents(copy: Copy) -> None:
    browser = Browser(copy.app)

    held = browser.get("/installation").text
    release(copy.app, TESTS)
    redirected = browser.get("/installation").text

    assert "The same goes for the calls of webhooks that wait: they leave with the release." in held
    assert "consents that no mail needs are not renewed" in held
    assert "No webhook is called meanwhile, and none is ever told of what ends now." in redirected
