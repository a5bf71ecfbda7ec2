"""Whatever the API of a mail service answers: a report, or a fault with a name, and never the token."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.mail.message import Attachment
from portal.network.https import HTTPS, Answer, HTTPSSettings
from portal.transports import SendReport, StepStatus, Transport, TransportError, gmail, gmail_check, graph, graph_check
from portal.transports.diagnosis import all_codes, api_target
from portal.transports.http_refusals import LONGEST_REST, SHORTEST_REST, read_problem, refusal, retry_after
from portal.transports.oauth_errors import code_of_aadsts, code_of_google
from tests.outside.https_server import HTTPSServer, ReceivedRequest, Reply
from tests.strangers import ANY_TEXT, json_objects, json_texts, json_values, outcome_of, texts_with
from tests.transports.api_connections import FROM, NOW, Tokens, composed
from tests.transports.conftest import always

CODES = {code for code, _ in all_codes()}
TOKEN = "ya29.a0AfH6SMBx-" + "kX7vT2pQ9sZ4" * 4
NOTE = Attachment("note.txt", "text/plain", b"Zo\xc3\xab" * 1000)
TARGET = api_target("https://graph.microsoft.com", mailbox=FROM)
WORDS = (
    *("ErrorSendAsDenied", "insufficientPermissions", "TooManyRequests", "RATE_LIMIT_EXCEEDED", "quotaExceeded", TOKEN),
    *("retry after 2026-11-21T12:00:00.000Z", "retry after 9999-12-31T23:59:59Z", FROM, "ada@contoso.test", "\u0000"),
    *(
        "x" * 3000,
        "quota: retry after 2026-11-21T10:00:00Z",
        "https://127.0.0.1:1/upload",
        "http://[x",
        "https://graph.microsoft.com/x y",
        "AAMkAG=",
        "\ud800",
    ),
)
OBJECTS = json_objects(
    *("error", "code", "message", "reason", "status", "errors", "details", "error_description", "innerError", "id"),
    *("uploadUrl", "toRecipients", "ccRecipients", "mail", "userPrincipalName", "email", "aud", "scp", "roles"),
    words=WORDS,
)
PROBLEMS = st.builds(
    lambda name, message, further: {"error": {"code": name, "message": message} | further},
    json_values(*WORDS),
    json_values(*WORDS),
    OBJECTS,
)
CONTENTS = (
    json_texts(PROBLEMS | OBJECTS | json_values(*WORDS)).map(lambda text: text.encode("utf-8", "replace")) | st.binary()
)
TIMES = texts_with(
    *(
        "Sat",
        "21",
        "Nov",
        "Nov-",
        "2026",
        "99",
        "99999999999",
        "12:00:00",
        "12.5.0",
        "-1",
        "+9999",
        "-0000",
        "GMT",
        "EST",
    ),
    *(" ", ",", ":", "-", "+", ".", "(", "٣"),
)
MOMENTS = st.builds(
    "{:%a, %d %b %Y %H:%M:%S} {}".format,
    st.datetimes(),
    st.sampled_from(["GMT", "+0000", "-0000", "EST", "+9999", "-9960", ""]),
)
TIMES |= MOMENTS | st.integers(-(10**13), 10**13).map(str) | st.sampled_from(["1e9", "0.5", "99999999999.9", "-1"])
HEADER_VALUES = TIMES | st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n"), max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "WWW-Authenticate", "Content-Type", "request-id"]),
    HEADER_VALUES | st.sampled_from(['Bearer error="invalid_token"', "text/html", "application/json", "120"]),
)
REFUSING = st.sampled_from([400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 504]) | st.integers(400, 999)


@given(status=REFUSING, headers=HEADERS, content=CONTENTS, rules=st.sampled_from([gmail.RULES, graph.RULES]))
def test_any_refusal_is_a_fault_with_a_name_that_reads_well(
    status: int, headers: dict[str, str], content: bytes, rules: Any
) -> None:
    problem = read_problem(Answer(status, headers, content), now=NOW, secrets=(TOKEN,))

    error = refusal(problem, rules)

    assert error.code in CODES
    assert error.reply is not None
    assert 0 < len(error.reply.text) <= 1000
    assert error.reply.text.isprintable()
    assert TOKEN not in error.reply.text
    rest = getattr(error, "retry_after", SHORTEST_REST)
    assert SHORTEST_REST <= rest <= LONGEST_REST


@given(TIMES, st.datetimes(timezones=st.just(UTC)))
def test_any_retry_after_is_a_time_within_an_hour_or_says_nothing(value: str, now: datetime) -> None:
    rest = retry_after(value, now=now)

    assert rest is None or SHORTEST_REST <= rest <= LONGEST_REST


@given(st.integers(0, 10**6))
def test_seconds_and_the_date_that_they_lead_to_say_the_same(seconds: int) -> None:
    at = NOW + timedelta(seconds=seconds)

    assert retry_after(f"{at:%a, %d %b %Y %H:%M:%S} GMT", now=NOW) == retry_after(str(seconds), now=NOW)


OAUTH_WORDS = texts_with(
    *("invalid_grant", "AADSTS", "AADSTS700082", "AADSTS٧٠٠٠٨٢", "99999999", "access_denied", "server_error", "rapt"),
    *("account", "deleted", "test user", "OAuth 2.0 policy", " ", ":", "."),
)


@given(st.lists(st.integers()), OAUTH_WORDS | ANY_TEXT, OAUTH_WORDS | ANY_TEXT, OAUTH_WORDS | ANY_TEXT)
def test_any_words_of_a_sign_in_have_a_known_code_or_none(
    numbers: list[int], error: str, description: str, subtype: str
) -> None:
    found = {code_of_aadsts(numbers, f"{error} {description}"), code_of_google(error, description, subtype)}

    assert found <= CODES | {None}


@pytest.fixture(scope="module")
def service() -> Iterator[HTTPSServer]:
    with HTTPSServer() as server:
        yield server


@pytest.fixture(scope="module")
def https() -> Iterator[HTTPS]:
    with HTTPS(HTTPSSettings()) as https:
        yield https


class Answering:
    """Answers what is asked with one after the other, and the last one for ever."""

    def __init__(self, *answers: Reply) -> None:
        self._answers = list(answers)

    def __call__(self, request: ReceivedRequest) -> Reply:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


ANSWERS = st.builds(
    lambda status, body, number: Reply.of_json(body | {"id": number}, status=status),
    st.sampled_from([200, 201, 202]),
    OBJECTS,
    json_values(*WORDS),
) | st.builds(Reply, st.sampled_from([200, 201, 202, 204]) | REFUSING, CONTENTS, st.just({}))
GRAPH_USER = f"/v1.0/users/{FROM}"


@given(st.lists(ANSWERS, min_size=1, max_size=2))
def test_whatever_gmail_answers_sending_ends_with_a_report_or_a_fault(
    service: HTTPSServer, https: HTTPS, answers: list[Reply]
) -> None:
    service.on("/upload/gmail/v1/users/me/messages/send", answer=Answering(*answers))

    assert_ends_well(gmail.GmailTransport(https, api_url=service.url(""), access_token=Tokens(TOKEN)))


@given(st.lists(ANSWERS, min_size=1, max_size=2))
def test_whatever_graph_answers_sending_ends_with_a_report_or_a_fault(
    service: HTTPSServer, https: HTTPS, answers: list[Reply]
) -> None:
    service.on(f"{GRAPH_USER}/sendMail", answer=Answering(*answers))

    assert_ends_well(graph_transport(service, https, largest=graph.LARGEST_MESSAGE))


NAMED = {"toRecipients": [{"emailAddress": {"address": "ada@contoso.test"}}]}


@given(
    draft=OBJECTS.filter(lambda draft: "toRecipients" not in draft),
    draft_id=st.just("x") | json_values(*WORDS),
    session=OBJECTS,
    others=ANSWERS,
)
def test_whatever_graph_answers_about_a_draft_sending_ends_with_a_report_or_a_fault(
    service: HTTPSServer, https: HTTPS, draft: dict[str, Any], draft_id: Any, session: dict[str, Any], others: Reply
) -> None:
    answer_about_a_draft(service, draft | NAMED | {"id": draft_id})
    for path in ("attachments", "attachments/createUploadSession", "send"):
        service.on(f"{GRAPH_USER}/messages/x/{path}", answer=Answering(Reply.of_json(session), others))

    assert_ends_well(graph_transport(service, https, largest=1000), NOTE)


@pytest.mark.parametrize("oddity", [{"toRecipients": 5}, {"toRecipients": "all"}, {"id": "\ud800"}, {"id": 5}])
def test_a_draft_that_is_described_oddly_is_not_sent(
    service: HTTPSServer, https: HTTPS, oddity: dict[str, Any]
) -> None:
    answer_about_a_draft(service, {"id": "x", "ccRecipients": [], **NAMED, **oddity})
    service.on(f"{GRAPH_USER}/messages/x/attachments", status=201, json={})
    service.on(f"{GRAPH_USER}/messages/x/send", status=503)

    with pytest.raises(TransportError) as caught:
        graph_transport(service, https, largest=1000).send(composed(attachments=[NOTE]), may_proceed=always)

    assert caught.value.code in {"graph.message_too_large", "graph.mailbox_not_found", "http.unexpected_answer"}


def answer_about_a_draft(service: HTTPSServer, described: dict[str, Any]) -> None:
    service.on(f"{GRAPH_USER}/messages", answer=Answering(Reply.of_json(described, status=201)))


def graph_transport(service: HTTPSServer, https: HTTPS, *, largest: int) -> graph.GraphTransport:
    return graph.GraphTransport(
        https,
        graph_url=service.url(""),
        mailbox=FROM,
        access_token=Tokens(TOKEN),
        largest_message=largest,
        may_upload=lambda: True,
        clock=lambda: NOW,
    )


def assert_ends_well(transport: Transport, *attachments: Any) -> None:
    report = outcome_of(lambda: transport.send(composed(attachments=attachments), may_proceed=always), TransportError)
    if isinstance(report, TransportError):
        assert report.code in CODES
        assert str(report).isprintable()
        assert TOKEN not in f"{report} {report.seen}"
        return
    assert isinstance(report, SendReport)
    assert [result.address for result in report.recipients] == ["ada@contoso.test"]
    assert all(result.reply.text.isprintable() for result in report.recipients)


@given(user=CONTENTS, claims=OBJECTS, is_app_only=st.booleans())
def test_whatever_is_looked_at_a_check_finds_something_or_a_fault(
    service: HTTPSServer, https: HTTPS, user: bytes, claims: dict[str, Any], is_app_only: bool
) -> None:
    service.on(GRAPH_USER, answer=Answering(Reply(200, user)))
    service.on("/userinfo", answer=Answering(Reply(200, user)))
    looks = (
        graph_check.look_at_permissions(graph_url=service.url(""), is_app_only=is_app_only, target=TARGET),
        graph_check.look_at_mailbox(https, graph_url=service.url(""), mailbox=FROM, target=TARGET),
        gmail_check.look_at_mailbox(
            https,
            userinfo_url=service.url("/userinfo"),
            api_url=service.url(""),
            granted=frozenset({"email"}),
            target=TARGET,
        ),
    )
    token = f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"

    for look in looks:
        finding = outcome_of(partial(look, token), TransportError)
        if isinstance(finding, TransportError):
            assert finding.code in CODES
        else:
            assert finding.status in StepStatus
            assert str(finding.seen).isprintable()
