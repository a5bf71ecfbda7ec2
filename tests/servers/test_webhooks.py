"""Webhooks: each end of a message told at least once, signed, again after a failure, and never to a closed address."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import insert, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import outbox
from portal.audit.models import AuditEntry
from portal.database import writing
from portal.network.https import HTTPS
from portal.network.policy import parse_mail_allow
from portal.outbox.models import Delivery
from portal.outbox.states import State
from portal.servers import webhook_calls, webhook_events, webhooks
from portal.servers.models import Webhook, WebhookEvent
from portal.servers.stored import ChangeRefused
from portal.servers.webhook_ends import EndedMessages
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.outside.https_server import HTTPSServer
from tests.servers.serving import ADA, caller, composed, done, server

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def receiver() -> Iterator[HTTPSServer]:
    with HTTPSServer() as receiver:
        receiver.on("/hook", status=204)
        yield receiver


class Telling:
    """A server with a webhook, and its messages that end."""

    def __init__(self, app: Flask, engine: Engine, url: str) -> None:
        self.app, self.engine = app, engine
        self.server_id = server(app, "Wiki")
        self.secret = self.add(url)

    def add(self, url: str) -> str:
        box = self.app.extensions["secret_box"]
        added_at = NOW - timedelta(days=30)
        return done(
            self.app, lambda session: webhooks.create(session, self.server_id, url, box=box, actor=ADA, now=added_at)
        )

    def ended(self, state: State = State.SENT, at: datetime = NOW, *, server_id: UUID | None = None) -> UUID:
        prepared = composed(self.app, caller(self.app, server_id or self.server_id))
        box = self.app.extensions["secret_box"]
        done(self.app, lambda session: outbox.add(session, prepared, box=box))
        with writing(self.engine).begin() as connection:
            of_it = update(Delivery).where(Delivery.message_id == prepared.id)
            connection.execute(of_it.values(state=state, ended_at=at))
        return prepared.id

    def remember(self, *message_ids: UUID) -> None:
        done(self.app, lambda session: webhook_events.remember(session, message_ids, now=NOW))

    def tell(self, now: datetime = NOW, *, allow: str = "127.0.0.0/8") -> None:
        installation = self.app.extensions["installation"]
        policy = replace(installation.policy, allow=parse_mail_allow(allow), closes_private=True)
        with HTTPS(installation.https.settings, policy=policy) as https:
            webhook_calls.tell(self.unit_of_work, https=https, box=self.app.extensions["secret_box"], now=now)

    def unit_of_work(self) -> AbstractContextManager[Session]:
        @contextmanager
        def opened() -> Iterator[Session]:
            with self.app.app_context(), unit_of_work() as session:
                yield session

        return opened()

    def events(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(WebhookEvent.__table__).order_by(WebhookEvent.created_at)))

    def webhook(self) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(select(Webhook.__table__)).one()


@pytest.fixture
def telling(portal: Flask, engine: Engine, receiver: HTTPSServer) -> Telling:
    return Telling(portal, engine, receiver.url("/hook"))


def test_the_end_of_a_message_is_told_with_a_signature_that_can_be_checked(
    telling: Telling, receiver: HTTPSServer
) -> None:
    message_id = telling.ended(State.FAILED)

    telling.remember(message_id)
    telling.tell()

    [request] = receiver.requests
    said = json.loads(request.content)
    assert (said["type"], said["data"]["id"], said["data"]["status"]) == ("message.failed", str(message_id), "failed")
    assert said["data"]["recipients"] == [{"address": "ada@contoso.test", "status": "failed"}]
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.content
    key = base64.b64decode(telling.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert int(request.headers["webhook-timestamp"]) == int(NOW.timestamp())
    [event] = telling.events()
    assert event.was_taken
    assert telling.webhook().last_success_at is not None


def test_an_end_that_is_noted_again_and_again_is_one_event(telling: Telling, receiver: HTTPSServer) -> None:
    message_id = telling.ended()

    telling.remember(message_id, message_id)
    telling.remember(message_id)
    telling.tell()
    done(telling.app, lambda session: webhook_events.catch_up(session, since=NOW - timedelta(hours=1), now=NOW))
    telling.tell()

    assert len(receiver.requests) == 1


def test_what_a_crash_kept_from_being_noted_is_found(telling: Telling, receiver: HTTPSServer) -> None:
    lost = telling.ended()
    telling.ended(at=NOW - timedelta(days=3))

    EndedMessages(telling.engine, telling.unit_of_work).catch_up(NOW)
    telling.tell()

    assert [json.loads(request.content)["data"]["id"] for request in receiver.requests] == [str(lost)]


def test_the_worker_notes_ends_without_waiting(telling: Telling, receiver: HTTPSServer) -> None:
    ends = EndedMessages(telling.engine, telling.unit_of_work)
    ids = {telling.ended() for _ in range(3)}

    for one in ids:
        ends.note(one, State.SENT, NOW)
    ends.close()

    assert {UUID(event.payload["data"]["id"]) for event in telling.events()} == ids


def test_what_has_not_ended_and_what_another_server_sent_is_not_told(telling: Telling) -> None:
    waiting = telling.ended()
    with writing(telling.engine).begin() as connection:
        connection.execute(update(Delivery).values(state="deferred", ended_at=None))
    others = telling.ended(server_id=server(telling.app, "Shop"))

    telling.remember(waiting, others)

    assert telling.events() == []


def test_a_receiver_that_fails_is_asked_again_later_with_the_same_id(telling: Telling, receiver: HTTPSServer) -> None:
    telling.remember(telling.ended())
    telling.remember(telling.ended())
    receiver.on("/hook", status=500, times=1)

    telling.tell()
    after_failure = len(receiver.requests)
    telling.tell(NOW + timedelta(seconds=3))
    too_soon = len(receiver.requests)
    shown = telling.webhook().last_error
    telling.tell(NOW + timedelta(minutes=2))

    assert (after_failure, too_soon, len(receiver.requests)) == (1, 1, 3)
    assert shown == "it answered 500"
    told = [request.headers["webhook-id"] for request in receiver.requests]
    assert told.count(told[0]) == 2
    assert len(set(told)) == 2
    assert all(event.was_taken for event in telling.events())


def test_after_three_days_it_is_given_up(telling: Telling, receiver: HTTPSServer) -> None:
    telling.remember(telling.ended())
    receiver.on("/hook", status=503)

    for hours in range(0, 80, 9):
        telling.tell(NOW + timedelta(hours=hours))
    asked = len(receiver.requests)
    telling.tell(NOW + timedelta(days=30))

    [event] = telling.events()
    assert event.ended_at is not None
    assert not event.was_taken
    assert len(receiver.requests) == asked


def test_what_waits_behind_a_receiver_that_fails_is_given_up_too(telling: Telling, receiver: HTTPSServer) -> None:
    telling.remember(*(telling.ended() for _ in range(3)))
    receiver.on("/hook", status=503)
    telling.tell()

    telling.tell(NOW + timedelta(days=4))

    assert len(receiver.requests) == 2
    assert [event.ended_at is not None for event in telling.events()] == [True] * 3
    assert not any(event.was_taken for event in telling.events())


def test_a_webhook_with_much_to_be_told_keeps_no_other_waiting(telling: Telling, receiver: HTTPSServer) -> None:
    busy = telling.webhook().id
    telling.add(receiver.url("/other"))
    with telling.engine.connect() as connection:
        other = connection.scalars(select(Webhook.id).where(Webhook.id != busy)).one()
    receiver.on("/hook", status=500)
    receiver.on("/other", status=204)
    long_ago = NOW - timedelta(hours=1)
    rows = [event_of(busy, long_ago) for _ in range(webhook_calls.MOST_AT_ONCE)]
    with writing(telling.engine).begin() as connection:
        connection.execute(insert(WebhookEvent), [*rows, event_of(other, NOW)])

    telling.tell()

    assert sorted(request.target for request in receiver.requests) == ["/hook", "/other"]


def event_of(webhook_id: UUID, due_at: datetime) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "webhook_id": webhook_id,
        "event": "message.sent",
        "payload": {},
        "created_at": due_at,
        "due_at": due_at,
        "attempts": 0,
        "was_taken": False,
        "last_error": "",
    }


def test_ends_of_days_are_read_in_slices(telling: Telling) -> None:
    ids = {telling.ended(at=NOW - timedelta(minutes=minutes)) for minutes in (0, 1, 9, 10, 11, 600, 2879)}
    opened: list[object] = []

    def counted() -> AbstractContextManager[Session]:
        opened.append(None)
        return telling.unit_of_work()

    ends = EndedMessages(telling.engine, counted)
    ends.catch_up(NOW)
    first = len(opened)
    ends.catch_up(NOW + timedelta(minutes=1))

    assert {UUID(event.payload["data"]["id"]) for event in telling.events()} == ids
    assert (first, len(opened) - first) == (288, 2)


def test_a_receiver_that_is_gone_is_switched_off_until_somebody_calls_it_again(
    telling: Telling, receiver: HTTPSServer, admin: Browser
) -> None:
    telling.remember(telling.ended())
    receiver.on("/hook", status=410, times=1)

    telling.tell()
    telling.tell(NOW + timedelta(days=1))
    was_asked = len(receiver.requests)
    page = f"/servers/{telling.server_id}"
    admin.post(f"{page}/webhooks/{telling.webhook().id}/enabling", {}, page=page)
    telling.tell(NOW + timedelta(days=1))

    assert was_asked == 1
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    "url",
    [
        "https://10.1.2.3/hook",
        "https://192.168.0.1:8443/hook",
        "https://[fd00::7]/hook",
        "https://[::ffff:10.1.2.3]/hook",
        "https://[64:ff9b::a01:203]/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/hook",
    ],
)
def test_closed_addresses_are_not_called(portal: Flask, engine: Engine, url: str) -> None:
    telling = Telling(portal, engine, url)
    telling.remember(telling.ended())

    telling.tell(allow="")

    assert re.search("private|metadata|own machine|closed", telling.webhook().last_error)


def test_a_redirection_is_not_followed(telling: Telling, receiver: HTTPSServer) -> None:
    telling.remember(telling.ended())
    receiver.on("/hook", status=302, headers={"Location": receiver.url("/elsewhere")})

    telling.tell()

    assert [request.target for request in receiver.requests] == ["/hook"]
    assert not telling.events()[0].was_taken


def test_a_webhook_is_added_on_the_servers_page_and_its_secret_shown_once(
    portal: Flask, engine: Engine, admin: Browser
) -> None:
    page = f"/servers/{server(portal, 'Wiki')}"
    form = {"url": " https://wiki.contoso.test/mail "}

    answer = admin.post(f"{page}/webhooks", form, page=f"{page}/webhooks/new")

    found = re.search(r'<code id="webhook-secret">(whsec_[^<]+)</code>', answer.text)
    assert found
    shown = admin.get(page)
    assert "https://wiki.contoso.test/mail" in shown.text
    assert found[1] not in shown.text
    with engine.connect() as connection:
        row = connection.execute(select(Webhook.__table__)).one()
        entry = connection.execute(select(AuditEntry).where(AuditEntry.action == "server.webhook_added")).one()
    assert found[1] not in str(row) + str(entry)
    assert entry.changes["secret"] == "changed"
    removed = admin.post(f"{page}/webhooks/{row.id}/removal", {}, page=page)
    assert removed.status_code == 303
    assert "wiki.contoso.test/mail" not in admin.get(page).text


@pytest.mark.parametrize(
    "url",
    ["", "wiki", "http://wiki.contoso.test/", "https://u:p@wiki.contoso.test/", "ftp://x.test", "https://ä.test/ü"],
)
def test_what_cannot_be_called_is_refused(portal: Flask, engine: Engine, admin: Browser, url: str) -> None:
    page = f"/servers/{server(portal, 'Wiki')}"

    answer = admin.post(f"{page}/webhooks", {"url": url}, page=f"{page}/webhooks/new")

    assert answer.status_code == 422
    assert "Type" in answer.text
    with engine.connect() as connection:
        assert connection.execute(select(Webhook.id)).all() == []


def test_a_server_has_five_webhooks_at_most(telling: Telling) -> None:
    for number in range(4):
        telling.add(f"https://wiki.contoso.test/{number}")

    with pytest.raises(ChangeRefused, match="5"):
        telling.add("https://wiki.contoso.test/6")
