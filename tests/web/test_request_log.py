from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import Engine

from portal import schema
from portal.web.access import public
from portal.web.log_lines import harmless
from portal.web.request_log import configure_logging
from tests.web.conftest import MakeSite


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged; logging is left as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("debug", "json", stream=stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    site.add_url_rule("/reset-password/<token>", "reset", public(lambda token: "ok"))

    @site.get("/work")
    @public
    def work() -> str:
        structlog.contextvars.bind_contextvars(message_id="6f1c")
        structlog.get_logger("portal.outbox").info("queued", kind="test")
        return "ok"

    @site.get("/crash")
    @public
    def crash() -> str:
        raise RuntimeError("first\n2026-11-21T00:00:00Z info forged: \x1b[31mline")

    return site.test_client()


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_request_is_one_line_without_its_query_string(client: FlaskClient, log: io.StringIO) -> None:
    answer = client.get("/work?secret=canary-1", headers={"X-Test-Role": "helpdesk"})

    line = lines(log)[-1]
    assert line["event"] == "request"
    assert line["method"] == "GET"
    assert line["route"] == "/work"
    assert line["status"] == 200
    assert line["client"] == "127.0.0.1"
    assert line["user"] == "00000000-0000-0000-0000-000000000001"
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert "canary-1" not in log.getvalue()


def test_a_token_in_the_path_is_logged_as_the_rule(client: FlaskClient, log: io.StringIO) -> None:
    client.get("/reset-password/canary-2")

    assert lines(log)[-1]["route"] == "/reset-password/<token>"
    assert "canary-2" not in log.getvalue()


def test_of_an_unknown_path_only_the_first_part_is_logged(client: FlaskClient, log: io.StringIO) -> None:
    client.get("/reset-password/canary-3/oops")
    client.get("/wp-login.php")

    assert [line["route"] for line in lines(log)] == ["/reset-password/…", "/wp-login.php"]


def test_every_line_of_a_request_carries_its_number_and_the_messages(client: FlaskClient, log: io.StringIO) -> None:
    answer = client.get("/work")

    queued, request = lines(log)
    assert queued["logger"] == "portal.outbox"
    assert queued["request_id"] == request["request_id"] == answer.headers["X-Request-ID"]
    assert queued["message_id"] == request["message_id"] == "6f1c"


def test_the_next_request_starts_with_nothing_bound(client: FlaskClient, log: io.StringIO) -> None:
    client.get("/work")
    client.get("/reset-password/x")

    assert "message_id" not in lines(log)[-1]


def test_a_number_from_outside_is_not_taken(client: FlaskClient, log: io.StringIO) -> None:
    answer = client.get("/work", headers={"X-Request-ID": "0000000000000000"})

    assert answer.headers["X-Request-ID"] != "0000000000000000"
    assert len(answer.headers["X-Request-ID"]) == 16


def test_a_crash_is_one_line_that_no_message_can_forge(client: FlaskClient, log: io.StringIO) -> None:
    client.get("/crash")

    crash, request = lines(log)
    assert crash["level"] == "error"
    assert "RuntimeError" in crash["exception"]
    assert "\x1b" not in crash["exception"]
    assert "\n2026" not in crash["exception"]
    assert request["status"] == 500


def test_values_under_secret_names_are_blotted_out_at_any_depth(log: io.StringIO) -> None:
    structlog.get_logger().info(
        "saved",
        password="canary-4",
        values=[{"client_secret": "canary-4", "host": "smtp.contoso.test"}],
        headers={"Authorization": "Bearer canary-4"},
        token=None,
    )

    line = lines(log)[0]
    assert line["password"] == "***"
    assert line["values"] == [{"client_secret": "***", "host": "smtp.contoso.test"}]
    assert line["headers"] == {"Authorization": "***"}
    assert line["token"] is None
    assert "canary-4" not in log.getvalue()


@pytest.mark.parametrize(
    ("typed", "logged"),
    [
        ("ada\r\nlevel=error", "ada\\r\\nlevel=error"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("Žofie 日本", "Žofie 日本"),
    ],
)
def test_control_characters_are_written_out(typed: str, logged: str) -> None:
    assert harmless(typed) == logged


def test_a_refused_host_is_logged_as_every_request_is(make_site: MakeSite, log: io.StringIO) -> None:
    client = make_site(PORTAL_TRUSTED_PROXIES="1").test_client()

    answer = client.post(
        "/reset-password/canary-5?canary-6",
        headers={"X-Forwarded-Host": "evil.test", "X-Forwarded-For": "198.51.100.7"},
    )

    refused, request = lines(log)
    assert (refused["event"], refused["host"]) == ("another host was refused", "evil.test")
    assert (request["event"], request["method"], request["route"]) == ("request", "POST", "/reset-password/…")
    assert (request["status"], request["client"]) == (400, "198.51.100.7")
    assert refused["request_id"] == request["request_id"] == answer.headers["X-Request-ID"]
    assert request["elapsed_ms"] >= 0
    assert "canary" not in log.getvalue()


def test_reading_the_schema_of_the_database_logs_nothing(engine: Engine, log: io.StringIO) -> None:
    assert schema.current(engine) == schema.NEWEST

    assert log.getvalue() == ""


def test_other_libraries_log_the_same_way(log: io.StringIO) -> None:
    logging.getLogger("some.library").warning("the server said %s", "250\r\nforged")

    line = lines(log)[0]
    assert line["event"] == "the server said 250\\r\\nforged"
    assert line["level"] == "warning"
    assert line["logger"] == "some.library"


def test_text_is_for_people_and_still_one_line_for_each_event(log: io.StringIO) -> None:
    configure_logging("info", "text", stream=log)

    structlog.get_logger("portal.outbox").info("a message left", to="ada@contoso.test", reply="250 ok\nforged")
    structlog.get_logger("portal.outbox").debug("not shown")

    written = log.getvalue().splitlines()
    assert len(written) == 1
    assert written[0][19:] == 'Z info portal.outbox: a message left to=ada@contoso.test reply="250 ok\\nforged"'


def test_a_traceback_in_text_is_indented_below_its_line(log: io.StringIO) -> None:
    configure_logging("info", "text", stream=log)

    try:
        raise RuntimeError("x\nforged")
    except RuntimeError:
        structlog.get_logger("portal").exception("it broke")

    first, *rest = log.getvalue().splitlines()
    assert first.endswith("error portal: it broke")
    assert rest
    assert all(line.startswith("    ") for line in rest)
