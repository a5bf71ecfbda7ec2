"""Messages by the API: taken once, stored before the answer, refused field by field, seen by their own server alone."""

from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any, cast
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from portal.audit.models import AuditEntry
from portal.database import writing
from portal.outbox import bodies, submitted
from portal.outbox.models import Delivery, Message, MessageBody
from portal.servers import quotas
from portal.servers.quotas import Quota
from tests.api.conftest import TO_ADA, Program, Serving, faults, kind
from tests.servers import serving

NOBODYS = "00000000-0000-4000-8000-000000000000"


def stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(Message)) or 0


def content_of(app: Flask, engine: Engine, message_id: str) -> bytes:
    with engine.connect() as connection:
        row = connection.execute(select(MessageBody).where(MessageBody.message_id == UUID(message_id))).one()
    content = bodies.unpack(row.content, row.coding, message_id=UUID(message_id), box=app.extensions["secret_box"])
    assert isinstance(content, bytes)
    return content


def settle(engine: Engine, message_id: str, **values: Any) -> None:
    with writing(engine).begin() as connection:
        connection.execute(update(Delivery).where(Delivery.message_id == UUID(message_id)).values(**values))


def test_a_message_is_on_disk_when_it_is_answered(portal: Flask, engine: Engine, wiki: Program) -> None:
    answer = wiki.send(
        content={
            "from": "Reports <reports@contoso.test>",
            "to": ["Ada Lovelace <ada@contoso.test>"],
            "cc": ["grace@contoso.test"],
            "bcc": ["boss@contoso.test"],
            "reply_to": "help@contoso.test",
            "subject": "Jahresübersicht",
            "text": "Good morning.",
            "html": "<p>Good morning.</p>",
            "attachments": [{"filename": "a.pdf", "content_type": "application/pdf", "content": "AAEC"}],
            "expires_in_seconds": 3600,
        }
    )

    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["status"] == "queued"
    assert answer.headers["Location"] == answer.json["location"] == f"/api/v1/messages/{answer.json['id']}"
    mail = message_from_bytes(content_of(portal, engine, answer.json["id"]))
    [attached] = [part for part in mail.walk() if part.get_content_type() == "application/pdf"]
    assert (mail["Cc"], mail["Reply-To"]) == ("grace@contoso.test", "help@contoso.test")
    assert "boss" not in str(mail)
    assert attached.get_payload(decode=True) == b"\0\1\2"
    with engine.connect() as connection:
        row = connection.execute(select(Message)).one()
    assert (row.from_address, row.server_name, row.kind) == ("reports@contoso.test", "Wiki", "api")
    assert row.rcpt_to == ["ada@contoso.test", "grace@contoso.test", "boss@contoso.test"]
    assert row.expires_at - row.created_at == timedelta(hours=1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": []}, "to"),
        ({"to": "ada@contoso.test"}, "to"),
        ({"to": ["ada@contoso.test", "nobody"]}, "to[1]"),
        ({"to": ["ada@contoso.test\r\nBcc: eve@evil.test"]}, "to[0]"),
        ({"to": [None]}, "to[0]"),
        ({"cc": ["a@b@c.test"]}, "cc[0]"),
        ({"from": 7}, "from"),
        ({"subject": "Hello\r\nBcc: eve@evil.test"}, "subject"),
        ({"subject": "\ud800"}, "subject"),
        ({"subject": None}, "subject"),
        ({"text": "nul\0"}, "text"),
        ({"expires_in_seconds": 59}, "expires_in_seconds"),
        ({"expires_in_seconds": True}, "expires_in_seconds"),
        ({"expires_in_seconds": 1e3}, "expires_in_seconds"),
        ({"state": "sent"}, "state"),
        ({"template": "welcome"}, "template"),
        ({"values": {}}, "values"),
        ({"attachments": [{"filename": "a"}]}, "attachments[0].content_type"),
        ({"attachments": [{"filename": "a", "content_type": "a/b", "content": "AA"}]}, "attachments[0].content"),
        (
            {"attachments": [{"filename": "a", "content_type": "a/b\r\nX: y", "content": ""}]},
            "attachments[0].content_type",
        ),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(
    engine: Engine, wiki: Program, change: dict[str, Any], field: str
) -> None:
    answer = wiki.send(content=TO_ADA | change)

    assert answer.status_code == 422
    assert kind(answer) == "invalid-request"
    assert field in faults(answer)
    assert faults(answer)[field]
    assert stored(engine) == 0


def test_what_comes_in_a_later_version_says_so(wiki: Program) -> None:
    assert "not in this version" in faults(wiki.send(content=TO_ADA | {"template": "welcome"}))["template"]
    for path in ("/events", "/sms"):
        answer = wiki.send(path)
        assert (answer.status_code, kind(answer)) == (404, "not-found")
        assert "not in this version" in answer.text


def test_a_message_without_body_and_one_with_too_much_are_refused(engine: Engine, wiki: Program) -> None:
    files = [{"filename": "a", "content_type": "a/b", "content": base64.b64encode(bytes(9_000_000)).decode()}] * 3

    empty = wiki.send(content={"to": ["ada@contoso.test"], "subject": ""})
    heavy = wiki.send(content=TO_ADA | {"attachments": files})

    assert "text" in faults(empty)
    assert "25 MB" in faults(heavy)["attachments"]
    assert stored(engine) == 0


def test_25_mb_of_attachments_are_taken(engine: Engine, wiki: Program) -> None:
    files = [{"filename": "a", "content_type": "a/b", "content": base64.b64encode(bytes(5 * 1024 * 1024)).decode()}] * 5

    answer = wiki.send(content=TO_ADA | {"attachments": files})

    assert answer.status_code == 202
    assert stored(engine) == 1


def test_a_sender_that_the_key_may_not_use_is_refused_by_name(servers: Serving, engine: Engine) -> None:
    program = servers.program(allowed_senders=("wiki@contoso.test",), allowed_recipients=("@contoso.test",))

    sender = program.send(content=TO_ADA | {"from": "boss@contoso.test"})
    recipient = program.send(content=TO_ADA | {"to": ["eve@evil.test"]})

    assert {sender.status_code, recipient.status_code} == {422}
    assert "boss@contoso.test" in faults(sender)["from"]
    assert "eve@evil.test" in faults(recipient)["to"]
    assert stored(engine) == 0


def test_the_same_key_is_taken_once_and_given_the_first_answer(engine: Engine, wiki: Program) -> None:
    first = wiki.send(Idempotency_Key="report-7")
    again = wiki.call("POST", "/messages", dict(reversed(TO_ADA.items())), Idempotency_Key="report-7")
    other = wiki.send(content=TO_ADA | {"subject": "Other"}, Idempotency_Key="report-7")
    elsewhere = wiki.send("/batches", {"messages": [TO_ADA]}, Idempotency_Key="report-7")

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert (other.status_code, kind(other)) == (422, "idempotency-key-reused")
    assert (elsewhere.status_code, kind(elsewhere)) == (422, "idempotency-key-reused")
    assert stored(engine) == 1


def test_the_key_of_a_refused_request_is_free_again_and_another_server_has_its_own(
    servers: Serving, engine: Engine, wiki: Program
) -> None:
    other = servers.program(servers.server("Shop"))

    refused = wiki.send(content=TO_ADA | {"to": ["nobody"]}, Idempotency_Key="k")
    taken = wiki.send(Idempotency_Key="k")
    others = other.send(Idempotency_Key="k")

    assert [refused.status_code, taken.status_code, others.status_code] == [422, 202, 202]
    assert "Idempotency-Replayed" not in others.headers
    assert stored(engine) == 2


@pytest.mark.parametrize("key", ["", "k" * 256, "kü", "a\tb"])
def test_what_is_no_key_is_refused(engine: Engine, wiki: Program, key: str) -> None:
    answer = wiki.send(Idempotency_Key=key)

    assert answer.status_code == 400
    assert stored(engine) == 0


def test_twins_at_the_same_moment_become_one_message(servers: Serving, engine: Engine) -> None:
    programs = [servers.program() for _ in range(8)]
    together = threading.Barrier(len(programs))
    answers: list[Any] = []

    def send(program: Program) -> None:
        together.wait()
        answers.append(program.send(Idempotency_Key="twin"))

    threads = [threading.Thread(target=send, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert stored(engine) == 1


def test_a_batch_has_one_result_for_each_in_their_order(servers: Serving, engine: Engine) -> None:
    program = servers.program(allowed_recipients=("@contoso.test",))
    refused = TO_ADA | {"to": ["eve@evil.test"]}
    batch = {"messages": [TO_ADA, refused, TO_ADA | {"subject": "Third"}]}

    first = program.send("/batches", batch, Idempotency_Key="b")
    again = program.send("/batches", batch, Idempotency_Key="b")

    assert first.json is not None
    assert [one["status"] for one in first.json["results"]] == ["queued", "refused", "queued"]
    assert first.json["results"][1]["problem"]["errors"][0]["field"] == "to"
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert stored(engine) == 2


def test_a_batch_with_a_malformed_message_is_not_taken_at_all(engine: Engine, wiki: Program) -> None:
    malformed = wiki.send("/batches", {"messages": [TO_ADA, TO_ADA | {"subjct": "x"}]})
    too_many = wiki.send("/batches", {"messages": [TO_ADA] * 1001})

    assert list(faults(malformed)) == ["messages[1].subjct"]
    assert list(faults(too_many)) == ["messages"]
    assert stored(engine) == 0


def test_a_thousand_messages_are_taken_at_once(engine: Engine, wiki: Program) -> None:
    answer = wiki.send("/batches", {"messages": [TO_ADA] * 1000})

    assert answer.status_code == 202
    assert answer.json is not None
    assert len({one["id"] for one in answer.json["results"]}) == 1000
    assert stored(engine) == 1000


def test_a_limit_is_said_and_kept(servers: Serving, engine: Engine) -> None:
    program = servers.program(servers.server("Shop", messages_per_day=2))

    first, second, third = (program.send() for _ in range(3))

    assert (first.headers["RateLimit-Policy"], second.status_code) == ('"messages";q=2', 202)
    assert first.headers["RateLimit"].startswith('"messages";r=1;t=')
    assert (third.status_code, kind(third)) == (429, "limit-reached")
    assert int(third.headers["Retry-After"]) >= 1
    assert stored(engine) == 2


def test_a_batch_that_is_refused_leaves_the_limit_to_other_processes(
    servers: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = servers.program(servers.server("Shop", messages_per_day=3))

    refused = program.send("/batches", {"messages": [TO_ADA] * 4})
    monkeypatch.setattr(quotas, "_stores", quotas._Stores())
    beside = program.send()

    assert (refused.status_code, kind(refused), beside.status_code) == (429, "limit-reached", 202)


def test_a_lowered_limit_acts_on_the_next_message(portal: Flask, servers: Serving) -> None:
    shop = servers.server("Shop", messages_per_day=5000)
    program = servers.program(shop)
    before = program.send()
    serving.change(portal, shop, name="Shop", from_address="shop@contoso.test", messages_per_day=1)

    assert (before.status_code, program.send().status_code) == (202, 429)


def test_who_waits_for_the_count_keeps_no_connection_from_others(
    servers: Serving, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    pool = cast("QueuePool", engine.pool)

    def counted(*args: Any, **options: Any) -> Quota:
        kept.append(pool.checkedout())
        return quotas.take(*args, **options)

    monkeypatch.setattr("portal.api.submitting.take", counted)
    program = servers.program(servers.server("Shop", messages_per_day=5000))
    program.send()  # now the one that stores has its own
    before = pool.checkedout()
    kept.clear()

    answers = [program.send(), program.send("/batches", {"messages": [TO_ADA] * 2})]

    assert [one.status_code for one in answers] == [202, 202]
    assert kept == [before, before]


def test_while_sending_is_switched_off_messages_are_held(portal: Flask, wiki: Program) -> None:
    serving.organisation(portal, enabled=False)

    answer = wiki.send()

    assert answer.json is not None
    assert answer.json["status"] == "held"
    refused = wiki.call("POST", f"/messages/{answer.json['id']}/retries")
    assert (refused.status_code, kind(refused)) == (409, "wrong-state")


def test_what_became_of_a_message_is_told_without_its_content(engine: Engine, wiki: Program) -> None:
    sent = wiki.send()
    assert sent.json is not None

    answer = wiki.get(f"/messages/{sent.json['id']}")

    assert answer.json is not None
    assert answer.json["recipients"] == [
        {"address": "ada@contoso.test", "status": "queued", "reply": None, "code": None}
    ]
    assert (answer.json["status"], answer.json["attempts"]) == ("queued", [])
    assert "Good morning" not in answer.text


def test_a_message_of_another_server_is_not_there(servers: Serving, wiki: Program) -> None:
    other = servers.program(servers.server("Shop"))
    sent = wiki.send()
    assert sent.json is not None
    path = f"/messages/{sent.json['id']}"

    answers = [
        other.get(path),
        other.call("POST", f"{path}/retries"),
        other.call("POST", f"{path}/cancellation"),
        other.get(f"/messages/{NOBODYS}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert len({answer.text for answer in answers}) == 1
    assert other.get("/messages").json == {"messages": [], "next_cursor": None}
    assert other.get(f"/messages?cursor={sent.json['id']}").status_code == 422


def test_messages_are_listed_in_pages_and_found(engine: Engine, wiki: Program) -> None:
    ids = [wiki.send(content=TO_ADA | {"to": [f"user{number}@contoso.test"]}).json["id"] for number in range(5)]  # type: ignore[index]
    settle(engine, ids[2], state="failed", ended_at=datetime.now(UTC))

    first = wiki.get("/messages?limit=2").json
    second = wiki.get(f"/messages?limit=2&cursor={first['next_cursor']}").json  # type: ignore[index]
    third = wiki.get(f"/messages?limit=2&cursor={second['next_cursor']}").json  # type: ignore[index]

    seen = [one["id"] for page in (first, second, third) for one in page["messages"]]  # type: ignore[index]
    assert seen == ids[::-1]
    assert third is not None
    assert third["next_cursor"] is None
    assert _ids(wiki, "status=failed") == [ids[2]]
    assert _ids(wiki, "to=User3@contoso.test") == [ids[3]]
    assert _ids(wiki, "to=user@contoso.test") == []
    assert _ids(wiki, "since=2026-01-01T00:00:00Z") == ids[::-1]
    assert _ids(wiki, "since=2999-01-01T00:00:00%2B02:00") == []


def test_a_search_looks_at_so_many_messages_at_once_and_goes_on(portal: Flask, wiki: Program, servers: Serving) -> None:
    """A server with a long history cannot make the portal read all of it in one request."""
    batch = [TO_ADA | {"to": ["first@contoso.test"]}, *([TO_ADA] * 6)]
    for one in batch:
        wiki.send(content=one)
    asked = submitted.Asked(to="first@contoso.test")

    def look(before: UUID | None) -> submitted.Page:
        page = serving.read(
            portal, lambda session: submitted.page(session, servers.wiki, asked, before=before, limit=5, look_at=4)
        )
        assert page is not None
        return page

    first = look(None)
    second = look(first.next)

    assert [len(page.messages) for page in (first, second)] == [0, 1]
    assert second.next is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=delivered", "status"),
        ("to=nobody", "to"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("since=0001-01-01T00:00:00%2B14:00", "since"),
        ("cursor=7", "cursor"),
        (f"cursor={NOBODYS}", "cursor"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=5&limit=6", "limit"),
        ("sort=to", "sort"),
    ],
)
def test_a_parameter_that_is_none_is_named(wiki: Program, query: str, field: str) -> None:
    answer = wiki.get(f"/messages?{query}")

    assert answer.status_code == 422
    assert list(faults(answer)) == [field]


def test_a_waiting_message_is_tried_again_and_cancelled_and_both_are_on_record(engine: Engine, wiki: Program) -> None:
    sent = wiki.send()
    assert sent.json is not None
    message_id = sent.json["id"]
    settle(engine, message_id, state="deferred", due_at=datetime.now(UTC) + timedelta(hours=1))

    retried = wiki.call("POST", f"/messages/{message_id}/retries")
    cancelled = wiki.call("POST", f"/messages/{message_id}/cancellation")
    too_late = wiki.call("POST", f"/messages/{message_id}/retries")

    assert retried.status_code == cancelled.status_code == 202
    assert cancelled.json is not None
    assert cancelled.json["status"] == "cancelled"
    assert (too_late.status_code, kind(too_late)) == (409, "wrong-state")
    with engine.connect() as connection:
        entries = connection.execute(
            select(AuditEntry.action, AuditEntry.actor_name, AuditEntry.subject)
            .where(AuditEntry.action.like("message.%"))
            .order_by(AuditEntry.id)
        ).all()
    subject = "api to ada@contoso.test"
    assert entries == [
        ("message.retried", "server Wiki", subject),
        ("message.cancelled", "server Wiki", subject),
    ]


def _ids(program: Program, query: str) -> list[str]:
    answer = program.get(f"/messages?{query}")
    assert answer.json is not None
    return [one["id"] for one in answer.json["messages"]]
