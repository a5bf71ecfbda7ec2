"""The examples of answers are true: they have the described form, and the portal answers in the same words."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from portal.api import openapi
from portal.api.answer_examples import answer_of, problems_of
from portal.api.operations import OPERATIONS, Operation
from portal.paths import PACKAGE
from portal.web.problems import MEDIA_TYPE
from tests.api.conftest import TO_ADA, Program, Serving

NOBODYS = "00000000-0000-4000-8000-000000000000"
NO_ADDRESS = TO_ADA | {"to": ["nobody"]}
STRANGER = TO_ADA | {"to": ["eve@fabrikam.test"]}
CALLS = {one.name: one for one in OPERATIONS}
WITH_CONTENT = [one.name for one in OPERATIONS if one.body is not None]


def document() -> dict[str, Any]:
    return openapi.document("http://localhost")


def call(program: Program, name: str, content: Any = None, **headers: str) -> TestResponse:
    operation = CALLS[name]
    return program.call(operation.method, operation.path.replace("{id}", NOBODYS), content, **headers)


def post(program: Program, name: str, content: Any, **options: Any) -> TestResponse:
    """Octets as they are."""
    usual = {"content_type": "application/json", "headers": {"Authorization": f"Bearer {program.text}"}}
    operation = CALLS[name]
    return program._client.open(
        f"/api/v1{operation.path}", method=operation.method, base_url=program._base, data=content, **(usual | options)
    )


def example(name: str, problem: str) -> dict[str, Any]:
    return dict(problems_of(CALLS[name])[problem])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_example_has_the_form_that_is_described(operation: Operation) -> None:
    described = document()
    answers = described["paths"][f"/api/v1{operation.path}"][operation.method.lower()]["responses"]

    for status, answer in answers.items():
        [(media_type, content)] = answer["content"].items()
        schema = {**content["schema"], "components": described["components"]}
        shown = (
            [one["value"] for one in content["examples"].values()] if "examples" in content else [content["example"]]
        )
        assert shown
        for one in shown:
            jsonschema_rs.validator_for(schema).validate(one)
            assert media_type != MEDIA_TYPE or one["status"] == int(status)


@pytest.mark.parametrize("name", CALLS)
def test_who_may_not_call_is_told_so(portal: Flask, servers: Serving, name: str) -> None:
    others = tuple({one.scope for one in OPERATIONS} - {CALLS[name].scope})

    nobody, other = Program(portal, ""), servers.program(scopes=others)

    assert call(nobody, name, {}).json == example(name, "no-valid-key")
    assert call(other, name, {}).json == example(name, "not-allowed")


@pytest.mark.parametrize("name", WITH_CONTENT)
def test_content_that_cannot_be_read_is_told_so(wiki: Program, name: str) -> None:
    chunked = post(wiki, name, io.BytesIO(b"{}"), environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked"})
    huge = post(wiki, name, b"{}", environ_overrides={"CONTENT_LENGTH": "2000000000"})

    assert post(wiki, name, b"{").json == example(name, "malformed-request")
    assert post(wiki, name, b"{}", content_type="text/plain").json == example(name, "wrong-content-type")
    assert chunked.json == example(name, "length-required")
    assert huge.json == example(name, "too-large")


def test_what_is_wrong_in_a_request_is_told_so(wiki: Program) -> None:
    batch, settings = {"messages": [NO_ADDRESS]}, {"email": {"from_address": "nobody"}}

    assert wiki.send(content=NO_ADDRESS).json == example("send_message", "invalid-request")
    assert wiki.send("/batches", batch).json == example("send_batch", "invalid-request")
    assert wiki.get("/messages?since=today").json == example("list_messages", "invalid-request")
    assert wiki.call("PUT", "/settings", settings).json == example("change_settings", "invalid-request")


def test_what_is_not_accepted_is_told_so(servers: Serving) -> None:
    program = servers.program(allowed_recipients=("@contoso.test",))
    batch = {"messages": [TO_ADA, STRANGER]}

    mixed = program.send("/batches", batch).json

    assert program.send(content=STRANGER).json == example("send_message", "not-accepted")
    assert program.send("/batches", {"messages": [STRANGER]}).json == example("send_batch", "not-accepted")
    assert mixed is not None
    assert mixed["results"][1] == answer_of(CALLS["send_batch"])["results"][1]


def test_a_key_that_was_used_and_a_limit_that_is_reached_are_told_so(servers: Serving) -> None:
    wiki, limited = servers.program(), servers.program(servers.server("wiki 2", messages_per_day=2))
    wiki.send(Idempotency_Key="report-7")

    reused = wiki.send(content=NO_ADDRESS | {"to": ["bob@contoso.test"]}, Idempotency_Key="report-7")
    over = [limited.send() for _ in range(3)][-1].json

    assert reused.json == example("send_message", "idempotency-key-reused")
    assert over is not None
    over["detail"] = over["detail"].replace("wiki 2", "Wiki")
    assert over == example("send_message", "limit-reached")


@pytest.mark.parametrize("name", ["get_message", "retry_message", "cancel_message"])
def test_a_message_that_is_not_there_is_told_so(wiki: Program, name: str) -> None:
    assert call(wiki, name).json == example(name, "not-found")


def test_a_message_is_told_in_the_form_of_the_examples(wiki: Program) -> None:
    sent = wiki.send().json
    assert sent is not None

    path = f"/messages/{sent['id']}"
    cancelled = wiki.call("POST", f"{path}/cancellation").json
    again = [wiki.call("POST", f"{path}/{act}").json for act in ("cancellation", "retries")]

    assert sent.keys() == answer_of(CALLS["send_message"]).keys()
    assert cancelled is not None
    shown = answer_of(CALLS["cancel_message"])
    assert cancelled.keys() == shown.keys()
    assert cancelled["recipients"] == shown["recipients"]
    assert again == [example("cancel_message", "wrong-state"), example("retry_message", "wrong-state")]


def test_a_change_of_settings_is_told_as_in_the_example(wiki: Program) -> None:
    assert wiki.call("PUT", "/settings", {"email": {"display_name": "Contoso"}}).json == answer_of(
        CALLS["change_settings"]
    )


@pytest.mark.parametrize(
    ("problem", "file"),
    [("too-slow", "api/request_views.py"), ("fault", "web/problems.py"), ("busy", "web/problems.py")],
)
def test_what_is_hard_to_provoke_stands_in_the_code(problem: str, file: str) -> None:
    assert f'"{example("send_message", problem)["detail"]}"' in (PACKAGE / file).read_text()


def test_a_call_without_content_has_no_problem_of_messages() -> None:
    assert {"not-accepted", "idempotency-key-reused"}.isdisjoint(problems_of(CALLS["change_settings"]))
    assert "invalid-request" in problems_of(CALLS["change_settings"])


def test_the_page_shows_what_the_description_holds(portal: Flask) -> None:
    page = portal.test_client().get("/api/docs", base_url=portal.config["PORTAL"].public_url).text
    section = re.search(r'id="get-message">(.*?)</section>', page, re.DOTALL)
    assert section

    shown = [json.loads(unescape(one)) for one in re.findall(r"<code>(\{.*?\})</code>", section[1], re.DOTALL)]

    operation = CALLS["get_message"]
    assert shown == [answer_of(operation), *problems_of(operation).values()]
