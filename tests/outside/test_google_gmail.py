"""The stand-in's Gmail API: what is taken, what is refused and in which words."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.outside.certificates import ServerCertificate
from tests.outside.google import FULL_MAIL, SEND, GoogleServer, refused
from tests.outside.google_application import CLIENT_ID, PORTAL, Application

SETTINGS = "https://www.googleapis.com/auth/gmail.settings.basic"
READ = "https://www.googleapis.com/auth/gmail.readonly"
CONTENT = (
    b"From: Portal <portal@contoso.test>\r\nTo: Ada <ada@contoso.test>, bob@fabrikam.test\r\n"
    b"Cc: carl@fabrikam.test\r\nBcc: dora@fabrikam.test\r\nSubject: Hello\r\n\r\nGood morning \xc3\xa4\xff.\r\n"
)


class Mailbox:
    """The Gmail API with one access token."""

    def __init__(self, application: Application, *scopes: str, address: str = PORTAL) -> None:
        self.url = application.google.endpoints["api_url"]
        self.session = application.plain()
        token = application.google.grant(CLIENT_ID, address, *scopes).access_token
        self.session.headers["Authorization"] = f"Bearer {token}"

    def upload(
        self, content: bytes | Iterator[bytes] = CONTENT, *, user: str = "me", **changes: Any
    ) -> requests.Response:
        url = f"{self.url}/upload/gmail/v1/users/{user}/messages/send"
        arguments: dict[str, Any] = {"params": {"uploadType": "media"}, "headers": {"Content-Type": "message/rfc822"}}
        return self.session.post(url, data=content, **(arguments | changes))

    def send(self, asked: object) -> requests.Response:
        return self.session.post(f"{self.url}/gmail/v1/users/me/messages/send", json=asked)

    def addresses(self) -> requests.Response:
        return self.session.get(f"{self.url}/gmail/v1/users/me/settings/sendAs")


@pytest.fixture
def mailbox(application: Application) -> Mailbox:
    return Mailbox(application, SEND)


def reason_of(answer: requests.Response) -> str:
    return str(answer.json()["error"]["errors"][0]["reason"])


def message_of(answer: requests.Response) -> str:
    return str(answer.json()["error"]["message"])


def test_an_upload_is_kept_byte_for_byte(google: GoogleServer, mailbox: Mailbox) -> None:
    answer = mailbox.upload()

    [message] = google.wait_for_messages(1)
    assert answer.status_code == 200
    assert answer.json() == {"id": message.id, "threadId": message.id, "labelIds": ["SENT"]}
    assert message.content == CONTENT
    assert message.how == "upload"
    assert message.rcpt_to == ("ada@contoso.test", "bob@fabrikam.test", "carl@fabrikam.test", "dora@fabrikam.test")


@pytest.mark.parametrize("padding", ["", "="], ids=["bare", "padded"])
def test_a_raw_message_is_kept_byte_for_byte(google: GoogleServer, mailbox: Mailbox, padding: str) -> None:
    content = CONTENT + b"!" * (2 - len(CONTENT) % 3)
    raw = urlsafe_b64encode(content).decode().rstrip("=") + padding

    answer = mailbox.send({"raw": raw, "threadId": "thread-1"})

    [message] = google.wait_for_messages(1)
    assert answer.json() == {"id": message.id, "threadId": "thread-1", "labelIds": ["SENT"]}
    assert message.content == content
    assert message.how == "json"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"raw": "a+/b"}, "Invalid value for ByteString"),
        ({"raw": "abcde"}, "Invalid value for ByteString"),
        ({"raw": ""}, "'raw' RFC822 payload message string or uploading message via /upload/* URL required"),
        ({}, "'raw' RFC822 payload message string or uploading message via /upload/* URL required"),
        ([], "'raw' RFC822 payload message string or uploading message via /upload/* URL required"),
    ],
)
def test_what_is_no_raw_message_is_refused(mailbox: Mailbox, asked: object, message: str) -> None:
    answer = mailbox.send(asked)

    assert (answer.status_code, reason_of(answer), message_of(answer)) == (400, "invalidArgument", message)


def test_what_is_no_json_is_refused(mailbox: Mailbox) -> None:
    answer = mailbox.session.post(f"{mailbox.url}/gmail/v1/users/me/messages/send", data=b"{")

    assert (answer.status_code, reason_of(answer)) == (400, "invalidArgument")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Subject: to nobody\r\n\r\n", "Recipient address required"),
        (b"", "Recipient address required"),
        (b"To: nobody\r\n\r\n", "Invalid To header"),
        (b"To: ada@contoso.test\r\nCc: @contoso.test\r\n\r\n", "Invalid Cc header"),
        (b"Bcc: ada@\r\n\r\n", "Invalid Bcc header"),
    ],
)
def test_a_message_without_good_recipients_is_refused(
    google: GoogleServer, mailbox: Mailbox, content: bytes, message: str
) -> None:
    answer = mailbox.upload(content)

    assert answer.json() == {
        "error": {
            "code": 400,
            "message": message,
            "errors": [{"message": message, "domain": "global", "reason": "invalidArgument"}],
            "status": "INVALID_ARGUMENT",
        }
    }
    assert google.messages == []


@pytest.mark.parametrize(
    "changes",
    [{"params": {}}, {"params": {"uploadType": "resumable"}}, {"headers": {"Content-Type": "text/plain"}}],
    ids=["no type", "resumable", "plain text"],
)
def test_only_a_simple_upload_of_a_message_is_taken(mailbox: Mailbox, changes: dict[str, Any]) -> None:
    assert mailbox.upload(**changes).status_code == 400


def test_a_body_that_comes_in_pieces_is_put_together(google: GoogleServer, mailbox: Mailbox) -> None:
    answers = [mailbox.upload(iter([CONTENT[:20], CONTENT[20:]])), mailbox.upload()]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [message.content for message in google.messages] == [CONTENT, CONTENT]


def test_sizes_end_at_what_google_takes(mailbox: Mailbox) -> None:
    largest = CONTENT.ljust(36_700_160, b"x")

    taken, too_large = mailbox.upload(largest), mailbox.upload(largest + b"x")
    too_large_in_json = mailbox.send({"raw": "A" * 5 * 1024 * 1024})

    assert [answer.status_code for answer in (taken, too_large, too_large_in_json)] == [200, 413, 413]
    assert reason_of(too_large) == "uploadTooLarge"


def test_a_token_that_is_not_good_is_refused_as_google_words_it(google: GoogleServer, mailbox: Mailbox) -> None:
    google.pass_time(timedelta(hours=1))

    expired = mailbox.upload()
    mailbox.session.headers["Authorization"] = "Bearer made-up"
    unknown = mailbox.upload()
    del mailbox.session.headers["Authorization"]
    missing = mailbox.upload()

    assert [answer.status_code for answer in (expired, unknown, missing)] == [401, 401, 401]
    assert expired.json()["error"]["status"] == "UNAUTHENTICATED"
    assert expired.json()["error"]["errors"] == [
        {
            "message": "Invalid Credentials",
            "domain": "global",
            "reason": "authError",
            "location": "Authorization",
            "locationType": "header",
        }
    ]
    assert expired.headers["WWW-Authenticate"].startswith("Bearer ")
    assert google.messages == []


@pytest.mark.parametrize("scope", [SEND, FULL_MAIL])
def test_either_scope_may_send(application: Application, scope: str) -> None:
    assert Mailbox(application, scope).upload().status_code == 200


def test_a_token_without_a_scope_for_sending_is_refused(google: GoogleServer, application: Application) -> None:
    answer = Mailbox(application, "openid", "email", READ).upload()

    assert answer.status_code == 403
    assert answer.json() == {
        "error": {
            "code": 403,
            "message": "Request had insufficient authentication scopes.",
            "errors": [{"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}],
            "status": "PERMISSION_DENIED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                    "domain": "googleapis.com",
                    "metadata": {"service": "gmail.googleapis.com"},
                }
            ],
        }
    }
    assert google.messages == []


def test_a_mailbox_may_be_named_but_only_ones_own(mailbox: Mailbox) -> None:
    own, of_another = mailbox.upload(user=PORTAL), mailbox.upload(user="ada@contoso.test")

    assert (own.status_code, of_another.status_code) == (200, 403)
    assert message_of(of_another) == "Delegation denied for portal@contoso.test"


def test_an_account_without_gmail_cannot_send(google: GoogleServer, application: Application) -> None:
    google.add_account("nobox@contoso.test", has_gmail=False)

    answer = Mailbox(application, SEND, address="nobox@contoso.test").upload()

    assert (answer.status_code, reason_of(answer)) == (400, "failedPrecondition")
    assert message_of(answer) == "Mail service not enabled"


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        (b"From: Portal <portal@contoso.test>\r\n", "portal@contoso.test"),
        (b"From: News@contoso.test\r\n", "News@contoso.test"),
        (b"From: ceo@contoso.test\r\n", "portal@contoso.test"),
        (b"From: portal@contoso.test, ceo@contoso.test\r\n", "portal@contoso.test"),
        (b"", "portal@contoso.test"),
    ],
)
def test_recipients_see_a_from_address_of_the_account(
    google: GoogleServer, application: Application, asked: bytes, seen: str
) -> None:
    google.add_account(PORTAL, aliases=["news@contoso.test"])

    Mailbox(application, SEND).upload(asked + b"To: ada@contoso.test\r\n\r\n")

    assert google.messages[0].from_address == seen


def test_the_addresses_of_an_account_need_a_scope_of_their_own(google: GoogleServer, application: Application) -> None:
    google.add_account(PORTAL, aliases=["news@contoso.test"], unconfirmed_aliases=["shop@contoso.test"])

    refused_answer = Mailbox(application, SEND).addresses()
    answer = Mailbox(application, SETTINGS).addresses()

    assert (refused_answer.status_code, reason_of(refused_answer)) == (403, "insufficientPermissions")
    assert [(one["sendAsEmail"], one.get("verificationStatus")) for one in answer.json()["sendAs"]] == [
        ("portal@contoso.test", None),
        ("news@contoso.test", "accepted"),
        ("shop@contoso.test", "pending"),
    ]
    assert answer.json()["sendAs"][0]["isPrimary"] is True


def test_beyond_the_days_limit_it_says_when_to_try_again(certificate: ServerCertificate, ca_file: Path) -> None:
    began = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
    with GoogleServer(certificate=certificate, clock=lambda: began) as google:
        google.add_account(PORTAL, messages_per_day=2)
        application = Application(google, ca_file)
        mailbox = Mailbox(application, SEND)

        answers = [mailbox.upload() for _ in range(3)]
        google.pass_time(timedelta(hours=24))
        next_day = Mailbox(application, SEND).upload()

    assert [answer.status_code for answer in (*answers, next_day)] == [200, 200, 429, 200]
    assert (reason_of(answers[2]), answers[2].json()["error"]["status"]) == ("rateLimitExceeded", "RESOURCE_EXHAUSTED")
    assert message_of(answers[2]) == "User-rate limit exceeded.  Retry after 2026-11-22T08:30:00.000Z (Mail sending)"


def test_a_limit_that_is_noticed_late_loses_messages_after_a_200(
    google: GoogleServer, application: Application
) -> None:
    google.add_account(PORTAL, messages_per_day=1, noticed_late=2)
    mailbox = Mailbox(application, SEND)

    answers = [mailbox.upload() for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [one.id for one in google.messages] == [answers[0].json()["id"]]
    assert [one.id for one in google.lost_messages] == [answer.json()["id"] for answer in answers[1:3]]


@pytest.mark.parametrize(
    ("reason", "status", "name"),
    [
        ("userRateLimitExceeded", 403, "PERMISSION_DENIED"),
        ("rateLimitExceeded", 429, "RESOURCE_EXHAUSTED"),
        ("dailyLimitExceeded", 403, "PERMISSION_DENIED"),
        ("accessNotConfigured", 403, "PERMISSION_DENIED"),
        ("domainPolicy", 403, "PERMISSION_DENIED"),
        ("failedPrecondition", 400, "FAILED_PRECONDITION"),
        ("backendError", 503, "UNAVAILABLE"),
    ],
)
def test_every_refusal_can_be_scripted_by_its_reason(
    google: GoogleServer, mailbox: Mailbox, reason: str, status: int, name: str
) -> None:
    google.on("send", **refused(reason))

    answer = mailbox.upload()

    error = answer.json()["error"]
    assert (answer.status_code, reason_of(answer)) == (status, reason)
    assert (error["code"], error["status"]) == (status, name)
    assert error["errors"][0]["message"] == error["message"]
    assert google.messages == []


def test_a_switched_off_api_names_where_to_switch_it_on(google: GoogleServer, mailbox: Mailbox) -> None:
    google.on("send", **refused("accessNotConfigured"))

    error = mailbox.upload().json()["error"]

    assert error["details"][0]["reason"] == "SERVICE_DISABLED"
    assert "https://console.developers.google.com/apis/api/gmail.googleapis.com/overview?project=" in error["message"]


def test_a_refusal_can_have_other_words_and_another_status(google: GoogleServer, mailbox: Mailbox) -> None:
    google.on(
        "send", **(refused("userRateLimitExceeded", "Slow down", status=429) | {"headers": {"Retry-After": "30"}})
    )

    answer = mailbox.upload()

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert message_of(answer) == "Slow down"


def test_a_message_may_be_taken_and_its_answer_lost(google: GoogleServer, mailbox: Mailbox) -> None:
    google.on("send", drop="after", times=1)
    google.on("send", drop="before", times=1)

    with pytest.raises(requests.ConnectionError):
        mailbox.upload()
    before = len(google.messages)
    with pytest.raises(requests.ConnectionError):
        mailbox.upload()

    assert (before, len(google.messages)) == (0, 1)


def test_waiting_for_messages_that_do_not_come_ends(google: GoogleServer, mailbox: Mailbox) -> None:
    mailbox.upload()

    with pytest.raises(AssertionError, match="1 of 2 messages came"):
        google.wait_for_messages(2, timeout=0.05)
