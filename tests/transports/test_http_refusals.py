"""Answers of HTTP are read whatever they hold, and faults of the way there are judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from portal.network.https import HTTPSError
from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.transports.diagnosis import all_codes, api_target, diagnose
from portal.transports.http_refusals import as_transport_error, read_problem, retry_after
from tests.transports.api_connections import NOW


@dataclass(frozen=True)
class Said:
    """An answer as it could come over the wire."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.content)


def names_in(body: object) -> tuple[str, ...]:
    return read_problem(Said(400, json.dumps(body).encode()), now=NOW).names


def test_names_are_found_wherever_services_put_them() -> None:
    graph = {"error": {"code": "Outer", "innerError": {"code": "Inner", "innererror": {"code": "Innermost"}}}}
    google = {
        "error": {
            "code": 403,
            "status": "PERMISSION_DENIED",
            "errors": [{"reason": "accessNotConfigured"}],
            "details": [{"reason": "SERVICE_DISABLED", "metadata": {"service": "gmail.googleapis.com"}}],
        }
    }

    assert names_in(graph) == ("outer", "inner", "innermost")
    assert names_in(google) == ("permission_denied", "accessnotconfigured", "service_disabled")
    assert names_in({"error": "invalid_token", "error_description": "Expired"}) == ("invalid_token",)


def test_a_challenge_in_the_header_counts_as_a_name() -> None:
    headers = {"WWW-Authenticate": 'Bearer realm="", error="insufficient_claims", claims="eyJ"'}

    assert read_problem(Said(401, b"", headers), now=NOW).names == ("insufficient_claims",)


def nested(depth: int) -> bytes:
    return b'{"error":' * depth + b'{"code":"Deep"}' + b"}" * depth


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"5",
        b"[]",
        b'"text"',
        b"{}",
        b'{"error": null}',
        b'{"error": {"code": ["x"], "message": {"a": 1}}}',
        b'{"error": {"code": 1e999, "message": NaN}}',
        b"\xff\xfe\x00",
        nested(20),
        nested(100_000),
    ],
)
def test_an_answer_of_any_form_is_read(content: bytes) -> None:
    problem = read_problem(Said(400, content), now=NOW)

    assert (problem.status, problem.names) == (400, ())
    assert problem.text == "an answer without an error's name (no content type)"


def test_too_many_and_too_long_names_are_cut() -> None:
    body = {"error": {"errors": [{"reason": "x" * 5000}] * 500, "message": "y" * 5000}}

    problem = read_problem(Said(400, json.dumps(body).encode()), now=NOW)

    assert len(problem.names) == 20
    assert max(map(len, problem.names)) == 100
    assert len(problem.text) == 1000


def test_words_are_one_line_without_secrets_and_halves_of_letters() -> None:
    body = (
        b'{"error": {"code": "Bad", "message": "line\\r\\nnext \\u202e\\ud800 eyJhbGciOiJub25lIn0.secret.token-part"}}'
    )

    problem = read_problem(Said(400, body), now=NOW, secrets=("eyJhbGciOiJub25lIn0.secret.token-part",))

    assert problem.text == "Bad: line  next  ? ********"


def test_the_time_in_a_sentence_comes_before_the_header() -> None:
    body = {"error": {"message": "User-rate limit exceeded.  Retry after 2026-11-21T10:05:00.500Z (Mail sending)"}}

    problem = read_problem(Said(429, json.dumps(body).encode(), {"Retry-After": "3"}), now=NOW)

    assert problem.retry_after == timedelta(minutes=5, milliseconds=500)


def test_a_time_that_does_not_exist_leaves_it_to_the_header() -> None:
    body = b'{"error": {"message": "Retry after 2026-13-32T99:05:00Z (Mail sending)"}}'

    assert read_problem(Said(429, body, {"Retry-After": "3"}), now=NOW).retry_after == timedelta(seconds=3)


@pytest.mark.parametrize("value", ["", "soon", "1e3", "inf", "0x10", "٣", "Sat, 31 Feb 2026 10:00:00 GMT", "9" * 400])
def test_a_retry_after_that_says_nothing_is_none(value: str) -> None:
    assert retry_after(value, now=NOW) is None


@pytest.mark.parametrize(
    ("code", "kind", "step"),
    [
        ("network.name_not_found", ConnectionFault, Step.RESOLVE),
        ("network.resolve_failed", TransientError, Step.RESOLVE),
        ("network.address_refused", ConnectionFault, Step.CONNECT),
        ("network.connection_refused", TransientError, Step.CONNECT),
        ("network.connect_timeout", TransientError, Step.CONNECT),
        ("network.unreachable", TransientError, Step.CONNECT),
        ("network.connection_lost", TransientError, Step.CONNECT),
        ("network.too_slow", TransientError, Step.CONNECT),
        ("network.proxy_sign_in_needed", ConnectionFault, Step.CONNECT),
        ("tls.handshake_failed", TransientError, Step.TLS),
        ("tls.unknown_ca", ConnectionFault, Step.TLS),
        ("tls.expired_certificate", ConnectionFault, Step.TLS),
        ("tls.protocol_too_old", ConnectionFault, Step.TLS),
        ("http.redirected", ConnectionFault, Step.CONNECT),
        ("http.unreadable_answer", TransientError, Step.CONNECT),
    ],
)
def test_a_fault_on_the_way_is_the_way_outs_where_somebody_must_act(
    code: str, kind: type[TransportError], step: Step
) -> None:
    error = as_transport_error(HTTPSError(code, "what was seen", was_handed_over=False))

    assert (type(error), error.step, error.code, error.seen) == (kind, step, code, "what was seen")
    assert code in dict(all_codes())


@pytest.mark.parametrize(
    "code",
    [
        *("network.name_not_found", "network.connection_refused", "network.connect_timeout", "network.connection_lost"),
        *("network.too_slow", "tls.unknown_ca", "tls.expired_certificate", "tls.handshake_failed"),
    ],
)
def test_advice_on_a_provider_speaks_of_no_mail_server(code: str) -> None:
    target = api_target("https://graph.microsoft.com", mailbox="portal@contoso.test")

    diagnosis = diagnose(Step.CONNECT, code=code, target=target)

    words = f"{diagnosis.cause} {diagnosis.who} {diagnosis.remedy}"
    assert "graph.microsoft.com" in words
    assert not any(odd in words for odd in ("587", "465", "STARTTLS", "mail server", "administrator of graph"))
