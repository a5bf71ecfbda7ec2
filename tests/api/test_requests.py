"""Who may call what, and how a request must come: everything else is a problem, never a page, never a 500."""

from __future__ import annotations

import io
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal import readiness, schema
from portal.api import shapes
from portal.api.json_text import NotJSON, read_json
from portal.api.operations import OPERATIONS
from portal.api.shapes import Array, Integer
from portal.database import writing
from portal.outbox.models import Message
from portal.servers import keys
from portal.servers.models import Server, ServerKey
from portal.servers.values import SCOPES
from portal.web.problems import Fault
from tests.admin_browser import Browser
from tests.api.conftest import TO_ADA, Program, Serving, faults, kind
from tests.servers import serving

NOBODYS = "00000000-0000-4000-8000-000000000000"
CALLS = [(one.method, one.path.replace("{id}", NOBODYS), one.scope) for one in OPERATIONS]


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_a_key_opens_what_its_scopes_say_and_nothing_else(servers: Serving, method: str, path: str, scope: str) -> None:
    others = tuple(one for one in SCOPES if one != scope)

    with_it = servers.program(scopes=(scope,)).call(method, path, {})
    without = servers.program(scopes=others).call(method, path, {})

    assert with_it.status_code in {200, 404, 422}
    assert (without.status_code, kind(without)) == (403, "not-allowed")
    assert without.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    assert scope in without.text


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_without_a_key_that_lives_nothing_opens(
    portal: Flask, servers: Serving, method: str, path: str, scope: str
) -> None:
    now = datetime.now(UTC)
    revoked = servers.program()
    [row] = serving.read(portal, lambda session: keys.of_server(session, servers.wiki))
    serving.done(portal, lambda session: keys.revoke(session, servers.wiki, row.id, actor=serving.ADA, now=now))
    off = servers.program(servers.server("Off", is_enabled=False))
    signed_in = Browser(portal)

    answers = {
        "none": Program(portal, "").call(method, path, {}),
        "unknown": Program(portal, f"mp_live_{'A' * 43}").call(method, path, {}),
        "rubbish": Program(portal, "\u00fc' or 1=1 --").call(method, path, {}),
        "another scheme": revoked.call(method, path, {}, Authorization="Basic d2lraTp3aWtp"),
        "revoked": revoked.call(method, path, {}),
        "its server is off": off.call(method, path, {}),
        "an administrator's session": signed_in.client.open(f"/api/v1{path}", method=method, json={}),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert all(answer.headers["WWW-Authenticate"].startswith("Bearer") for answer in answers.values())
    assert {kind(answer) for answer in answers.values()} == {"no-valid-key"}


def test_an_expired_key_is_dead(portal: Flask, servers: Serving) -> None:
    now = datetime.now(UTC)
    text = serving.key(portal, servers.wiki, now - timedelta(days=2), expires_at=now - timedelta(days=1))

    assert Program(portal, text).send().status_code == 401


def test_neither_cookie_nor_token_nor_page_comes_of_a_call(wiki: Program) -> None:
    answers = [wiki.send(), wiki.get("/messages"), wiki.get("/nowhere"), wiki.call("DELETE", "/messages")]

    assert [answer.status_code for answer in answers] == [202, 200, 404, 405]
    assert not any("Set-Cookie" in answer.headers for answer in answers)
    assert {answer.mimetype for answer in answers} == {"application/json", "application/problem+json"}
    assert set(answers[3].headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_call_is_noted_with_the_server_and_the_key(servers: Serving, engine: Engine) -> None:
    servers.program().send()

    with engine.connect() as connection:
        assert connection.scalar(select(Server.last_seen_at)) is not None
        assert connection.scalar(select(ServerKey.last_used_at)) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"  ",
        b"{",
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"to": []}',
        b'{"to": "\xff"}',
        b'{"subject": NaN}',
        b'{"subject": 1, "subject": 2}',
        b"[" * 100_000,
        b'{"expires_in_seconds": ' + b"9" * 5000 + b"}",
        b"{}{}",
    ],
    ids=range(11),
)
def test_what_is_no_json_is_400(wiki: Program, content: bytes) -> None:
    answer = _post(wiki, content)

    assert (answer.status_code, kind(answer)) == (400, "malformed-request")


@pytest.mark.parametrize("content", [b"[]", b"null", b"1e999", b'"text"', b"true", b'{"to": {"a": [{}]}}', b'{"": 1}'])
def test_json_of_another_shape_is_422(wiki: Program, content: bytes) -> None:
    answer = _post(wiki, content)

    assert (answer.status_code, kind(answer)) == (422, "invalid-request")
    assert faults(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/json; charset=utf-16"},
        {"content_type": "application/json", "headers": {"Content-Encoding": "gzip"}},
        {"content_type": None},
    ],
)
def test_another_kind_of_content_is_415(wiki: Program, headers: dict[str, Any]) -> None:
    answer = _post(wiki, b"{}", **headers)

    assert (answer.status_code, kind(answer)) == (415, "wrong-content-type")


def test_content_without_its_length_and_content_that_is_too_long_are_not_read(wiki: Program) -> None:
    class Untouchable(io.BytesIO):
        def readinto(self, _buffer: Any, /) -> int:
            raise AssertionError("it was read")

        read = readinto

    chunked = _post(wiki, Untouchable(), environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked"})
    huge = _post(wiki, Untouchable(), environ_overrides={"CONTENT_LENGTH": "2000000000"})

    assert (chunked.status_code, kind(chunked)) == (411, "length-required")
    assert (huge.status_code, kind(huge)) == (413, "too-large")


def test_what_is_wrong_very_often_is_told_fifty_times(wiki: Program) -> None:
    names = b"{%s}" % b",".join(b'"%d":0' % number for number in range(50_000))

    answer = _post(wiki, names)

    assert answer.status_code == 422
    assert len(faults(answer)) == 50


def test_faults_are_looked_for_until_there_are_enough() -> None:
    looked_at: list[object] = []

    class Wrong(Integer):
        def read(self, value: Any, name: str, found: list[Fault]) -> Any:
            looked_at.append(value)
            return super().read(value, name, found)

    found, told = shapes.read(Array(of=Wrong(least=1, most=1), most=10_000), [0] * 10_000)

    assert found is shapes.BAD
    assert len(looked_at) == len(told) == shapes.MOST_FAULTS


def test_a_name_that_stands_twice_among_many_is_found_at_once() -> None:
    names = b",".join(b'"%d":0' % number for number in range(200_000))
    began_at = time.process_time()

    with pytest.raises(NotJSON, match="199999"):
        read_json(b'{%s,"199999":0}' % names)

    assert time.process_time() - began_at < 10  # one look at all others for each name takes a quarter of an hour


@pytest.mark.parametrize(
    "content", [b"[]," * 600_000, b'"",' * 600_000, b"0," * 1_100_000, b'{"a":0},' * 300_000, b'"a\\"b",' * 600_000]
)
def test_more_values_than_fit_into_the_memory_are_not_read(content: bytes) -> None:
    with pytest.raises(NotJSON, match="more values"):
        read_json(b"[%s0]" % content)


@pytest.mark.parametrize("text", [",:[{" * 400_000, '\\"' * 800_000, '"' * 1_100_000])
def test_what_a_text_holds_is_no_value(text: str) -> None:
    assert read_json(json.dumps([text]).encode()) == [text]


def test_a_text_that_does_not_end_is_looked_at_once() -> None:
    with pytest.raises(NotJSON, match="line 1"):
        read_json(b'["' + b'\\"' * 1_100_000)


def test_settings_are_no_larger_than_their_file(wiki: Program) -> None:
    answer = wiki.call("PUT", "/settings", {"email": {"display_name": "x" * 1_000_000}})

    assert (answer.status_code, kind(answer)) == (413, "too-large")
    assert "1,000,000" in answer.text


def test_large_requests_are_taken_one_at_a_time(servers: Serving, engine: Engine) -> None:
    """While one is being read, a second is sent away at once, and small ones go on."""
    is_reading, may_go_on = threading.Event(), threading.Event()
    large = TO_ADA | {"text": "x" * 1_100_000}
    content = json.dumps(large).encode()

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            is_reading.set()
            assert may_go_on.wait(20)
            return super().readinto(buffer)

    first_program, second_program, third_program = (servers.program() for _ in range(3))
    answers: list[TestResponse] = []
    first = threading.Thread(target=lambda: answers.append(_post(first_program, Slow(content))))
    first.start()
    assert is_reading.wait(20)

    second = second_program.send(content=large)
    small = third_program.send()
    may_go_on.set()
    first.join()
    again = second_program.send(content=large)

    assert (second.status_code, kind(second)) == (503, "busy")
    assert int(second.headers["Retry-After"]) >= 1
    assert [small.status_code, answers[0].status_code, again.status_code] == [202, 202, 202]
    with engine.connect() as connection:
        assert len(connection.execute(select(Message.id)).all()) == 3


def test_content_that_comes_slowly_meets_the_rules_as_they_are(portal: Flask, servers: Serving, engine: Engine) -> None:
    """They were read with the key, and changed before the content was there."""
    program = servers.program()

    class Slow(io.BytesIO):
        is_changed = False

        def readinto(self, buffer: Any, /) -> int:
            if not self.is_changed:
                self.is_changed = True
                serving.change(portal, servers.wiki, name="Wiki", is_enabled=False)
                time.sleep(0.05)
            return super().readinto(buffer)

    program.send()  # now the rules are at hand

    answer = _post(program, Slow(json.dumps(TO_ADA).encode()), content_length=len(json.dumps(TO_ADA)))

    assert (answer.status_code, kind(answer)) == (503, "busy")
    with engine.connect() as connection:
        assert len(connection.execute(select(Message.id)).all()) == 1


def _post(program: Program, content: Any, **options: Any) -> TestResponse:
    given: dict[str, Any] = {"content_type": "application/json", **options}
    headers = {"Authorization": f"Bearer {program.text}", **given.pop("headers", {})}
    source = {"input_stream": content} if hasattr(content, "read") else {"data": content}
    return program._client.post("/api/v1/messages", headers=headers, base_url=program._base, **source, **given)


def test_while_the_database_is_of_another_version_and_by_another_host_it_is_a_problem_too(
    portal: Flask, engine: Engine, wiki: Program
) -> None:
    stranger = portal.test_client().get("/api/v1/messages", base_url="http://evil.test")
    with writing(engine).begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    portal.extensions["readiness_checks"] = readiness.checks(engine, portal.extensions["secret_box"])

    answer = wiki.get("/messages")

    with writing(engine).begin() as connection:
        connection.execute(text(f"update alembic_version set version_num = '{schema.NEWEST}'"))
    assert (answer.status_code, kind(answer)) == (503, "busy")
    assert "Retry-After" in answer.headers
    assert (stranger.status_code, stranger.content_type) == (400, "application/problem+json")
