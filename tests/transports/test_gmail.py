"""The way out over the Gmail API, against a stand-in that is as strict as Google, and a server that is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from typing import Any, Protocol

import pytest

from portal.mail.message import Attachment
from portal.network.https import HTTPS, HTTPSSettings
from portal.transports import (
    Abandoned,
    ConnectionFault,
    OutgoingMessage,
    PermanentError,
    QuotaReached,
    RecipientResult,
    Step,
    TransientError,
    TransportError,
    Verdict,
)
from portal.transports.gmail import LARGEST_MESSAGE, GmailTransport
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.google import EMAIL, SEND, GoogleServer, refused
from tests.outside.https_server import HTTPSServer
from tests.transports.api_connections import NOW, Tokens, composed
from tests.transports.conftest import always

CLIENT = "861228239640-portal.apps.googleusercontent.com"
PORTAL = "portal@contoso.test"
MESSAGE = composed()


class MakeTransport(Protocol):
    def __call__(self, **changes: Any) -> GmailTransport: ...


@pytest.fixture(scope="module")
def https(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPS]:
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    bundle.write_text(authority.pem)
    with HTTPS(HTTPSSettings(ca_bundle=bundle)) as https:
        yield https


@pytest.fixture
def google(certificate: ServerCertificate) -> Iterator[GoogleServer]:
    """An account, and a client that it may consent to."""
    with GoogleServer(certificate=certificate, clock=lambda: NOW) as google:
        google.add_client(CLIENT, "secret", redirect_uris=["https://portal.contoso.test/callback"])
        google.add_account(PORTAL)
        yield google


@pytest.fixture
def transport_to(google: GoogleServer, https: HTTPS) -> MakeTransport:
    """As the account, with the permission to send, unless changed."""

    def make(**changes: Any) -> GmailTransport:
        token = changes.get("access_token") or Tokens(google.grant(CLIENT, PORTAL, SEND).access_token)
        usual: dict[str, Any] = {"api_url": google.endpoints["api_url"], "access_token": token, "clock": lambda: NOW}
        return GmailTransport(https, **(usual | changes))

    return make


def results(transport: GmailTransport, message: OutgoingMessage = MESSAGE) -> list[RecipientResult]:
    return list(transport.send(message, may_proceed=always).recipients)


def refusal_of(transport: GmailTransport, message: OutgoingMessage = MESSAGE) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.send(message, may_proceed=always)
    return caught.value


# Sending


def test_a_message_is_uploaded_as_it_was_built(google: GoogleServer, transport_to: MakeTransport) -> None:
    [sent] = results(transport_to())

    [received] = google.wait_for_messages(1)
    assert received.content == MESSAGE.content
    assert (received.how, received.account, received.rcpt_to) == ("upload", PORTAL, ("ada@contoso.test",))
    assert (sent.verdict, sent.reply.code, sent.reply.text) == (Verdict.SENT, 200, f"id {received.id}")


def test_hidden_recipients_get_the_message_too(google: GoogleServer, transport_to: MakeTransport) -> None:
    message = composed("ada@contoso.test", "audit@contoso.test")

    sent = results(transport_to(), message)

    assert [one.address for one in sent] == ["ada@contoso.test", "audit@contoso.test"]
    assert google.wait_for_messages(1)[0].rcpt_to == ("ada@contoso.test", "audit@contoso.test")


def test_who_is_not_due_gets_no_second_message(google: GoogleServer, transport_to: MakeTransport) -> None:
    message = composed("bob@fabrikam.test", to=("ada@contoso.test", "bob@fabrikam.test"))

    results(transport_to(), message)

    [received] = google.wait_for_messages(1)
    assert received.rcpt_to == ("bob@fabrikam.test",)
    assert message_from_bytes(received.content)["X-Addressed-To"] == "ada@contoso.test, bob@fabrikam.test"


def test_a_message_without_visible_recipients_is_taken(google: GoogleServer, transport_to: MakeTransport) -> None:
    [sent] = results(transport_to(), composed("ada@contoso.test", to=()))

    assert sent.verdict is Verdict.SENT
    assert google.wait_for_messages(1)[0].rcpt_to == ("ada@contoso.test",)


def test_a_large_message_goes_in_one_piece(google: GoogleServer, transport_to: MakeTransport) -> None:
    message = composed(attachments=[Attachment("film.mp4", "video/mp4", bytes(20_000_000))])

    [sent] = results(transport_to(), message)

    assert sent.verdict is Verdict.SENT
    assert len(google.wait_for_messages(1)[0].content) == len(message.content)


def test_a_message_beyond_the_limit_is_refused_before_anything_is_said(
    google: GoogleServer, transport_to: MakeTransport
) -> None:
    message = OutgoingMessage(PORTAL, ("ada@contoso.test",), MESSAGE.content + b"x" * LARGEST_MESSAGE)

    error = refusal_of(transport_to(), message)

    assert (type(error), error.step, error.code) == (PermanentError, Step.CONTENT, "gmail.message_too_large")
    assert google.requests == []


# The access token


def test_a_token_that_is_refused_is_renewed_once(google: GoogleServer, transport_to: MakeTransport) -> None:
    tokens = Tokens("worn-out", google.grant(CLIENT, PORTAL, SEND).access_token)

    [sent] = results(transport_to(access_token=tokens))

    assert sent.verdict is Verdict.SENT
    assert tokens.asked == [False, True]


def test_a_new_token_that_is_refused_too_is_the_way_outs_fault(
    google: GoogleServer, transport_to: MakeTransport
) -> None:
    tokens = Tokens("worn-out", "worn-out-too")

    error = refusal_of(transport_to(access_token=tokens))

    assert (type(error), error.step, error.code) == (ConnectionFault, Step.TOKEN, "gmail.token_refused")
    assert tokens.asked == [False, True]
    assert "worn-out" not in f"{error} {error.reply}"


def test_a_token_without_the_permission_to_send_asks_for_a_new_consent(
    google: GoogleServer, transport_to: MakeTransport
) -> None:
    token = Tokens(google.grant(CLIENT, PORTAL, EMAIL).access_token)

    error = refusal_of(transport_to(access_token=token))

    assert (type(error), error.step, error.code) == (ConnectionFault, Step.PERMISSIONS, "google.scope_missing")


# Refusals


@pytest.mark.parametrize(
    ("reason", "message", "kind", "step", "code"),
    [
        ("accessNotConfigured", "", ConnectionFault, Step.PERMISSIONS, "gmail.api_disabled"),
        ("domainPolicy", "", ConnectionFault, Step.PERMISSIONS, "gmail.domain_policy"),
        ("forbidden", "", ConnectionFault, Step.PERMISSIONS, "gmail.refused"),
        ("failedPrecondition", "", ConnectionFault, Step.MAILBOX, "gmail.mail_not_enabled"),
        ("failedPrecondition", "Precondition check failed.", ConnectionFault, Step.MAILBOX, "gmail.mail_not_enabled"),
        ("invalidArgument", "Invalid To header", PermanentError, Step.RECIPIENT, "gmail.recipients_refused"),
        ("invalidArgument", "Recipient address required", PermanentError, Step.RECIPIENT, "gmail.recipients_refused"),
        ("invalidArgument", "Invalid value for ByteString", PermanentError, Step.CONTENT, "gmail.message_refused"),
        ("uploadTooLarge", "", PermanentError, Step.CONTENT, "gmail.message_too_large"),
        ("dailyLimitExceeded", "", QuotaReached, Step.CONTENT, "gmail.project_quota"),
        ("userRateLimitExceeded", "", QuotaReached, Step.CONTENT, "gmail.rate_limited"),
        ("rateLimitExceeded", "", QuotaReached, Step.CONTENT, "gmail.rate_limited"),
        ("backendError", "", TransientError, Step.CONNECT, "gmail.unavailable"),
    ],
)
def test_a_refusal_concerns_whom_it_names(
    google: GoogleServer,
    transport_to: MakeTransport,
    reason: str,
    message: str,
    kind: type[TransportError],
    step: Step,
    code: str,
) -> None:
    google.on("send", **refused(reason, message))

    error = refusal_of(transport_to())

    assert (type(error), error.step, error.code) == (kind, step, code)
    assert google.messages == []


def test_an_account_without_gmail_fails_no_message(google: GoogleServer, transport_to: MakeTransport) -> None:
    google.add_account("calendar@contoso.test", has_gmail=False)
    token = Tokens(google.grant(CLIENT, "calendar@contoso.test", SEND).access_token)

    error = refusal_of(transport_to(access_token=token))

    assert (type(error), error.code) == (ConnectionFault, "gmail.mail_not_enabled")


def test_an_internal_error_may_be_this_messages_own(google: GoogleServer, transport_to: MakeTransport) -> None:
    google.on("send", **refused("backendError", status=500))

    error = refusal_of(transport_to())

    assert (type(error), error.step, error.code) == (TransientError, Step.CONTENT, "gmail.unavailable")


def test_the_daily_limit_names_its_end(google: GoogleServer, transport_to: MakeTransport) -> None:
    google.add_account(PORTAL, messages_per_day=1)
    transport = transport_to()
    results(transport)
    google.pass_time(timedelta(hours=23, minutes=40))
    transport = transport_to(clock=lambda: google.now)

    error = refusal_of(transport)

    assert isinstance(error, QuotaReached)
    assert (error.code, error.retry_after) == ("gmail.sending_limit", timedelta(minutes=20))


def test_a_daily_limit_that_is_far_away_is_asked_again_once_an_hour(
    google: GoogleServer, transport_to: MakeTransport
) -> None:
    google.on("send", **refused("rateLimitExceeded", "User-rate limit exceeded.  (Mail sending)"))

    error = refusal_of(transport_to())

    assert isinstance(error, QuotaReached)
    assert (error.code, error.retry_after) == ("gmail.sending_limit", timedelta(hours=1))


@pytest.mark.parametrize(("headers", "seconds"), [({}, 60), ({"Retry-After": "7"}, 7), ({"Retry-After": "x"}, 60)])
def test_a_quota_of_the_minute_is_waited_for(
    google: GoogleServer, transport_to: MakeTransport, headers: dict[str, str], seconds: int
) -> None:
    google.on("send", **(refused("userRateLimitExceeded") | {"headers": headers}))

    error = refusal_of(transport_to())

    assert isinstance(error, QuotaReached)
    assert error.retry_after == timedelta(seconds=seconds)


# What is not known, and what comes between


@pytest.mark.parametrize("drop", ["before", "after"])
def test_an_answer_that_does_not_come_leaves_it_uncertain(
    google: GoogleServer, transport_to: MakeTransport, drop: str
) -> None:
    google.on("send", drop=drop)

    [lost] = results(transport_to())

    assert (lost.verdict, lost.code) == (Verdict.UNCERTAIN, "http.reply_lost")


@pytest.mark.parametrize(
    "body", [b"", {}, [], {"id": 5}, {"id": ""}, b'{"id": "1"', b"[" * 100_000, b'{"id": NaN}', b"\xff\xfe"]
)
def test_a_success_without_a_number_leaves_it_uncertain(
    google: GoogleServer, transport_to: MakeTransport, body: object
) -> None:
    google.on("send", status=200, body=body)

    [odd] = results(transport_to())

    assert (odd.verdict, odd.code) == (Verdict.UNCERTAIN, "http.reply_lost")


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_without_an_answer_leaves_it_uncertain(
    google: GoogleServer, transport_to: MakeTransport, status: int
) -> None:
    google.on("send", status=status, body="<h1>That’s an error</h1>")

    [lost] = results(transport_to())

    assert (lost.verdict, lost.code) == (Verdict.UNCERTAIN, "http.gateway_failed")


@pytest.mark.parametrize("status", [200, 400, 403, 404])
def test_a_page_of_something_in_between_fails_no_message(
    google: GoogleServer, transport_to: MakeTransport, status: int
) -> None:
    google.on("send", status=status, body="<h1>Sign in to the network</h1>")

    error = refusal_of(transport_to())

    assert (type(error), error.code) == (TransientError, "http.unexpected_answer")


def test_a_redirect_is_not_followed_with_the_token(certificate: ServerCertificate, https: HTTPS) -> None:
    with HTTPSServer(certificate) as server, HTTPSServer(certificate) as elsewhere:
        path = "/upload/gmail/v1/users/me/messages/send"
        server.on(path, status=302, headers={"Location": elsewhere.url("/")})

        error = refusal_of(GmailTransport(https, api_url=server.url(""), access_token=Tokens("token")))

        assert (type(error), error.code) == (ConnectionFault, "http.redirected")
        assert elsewhere.requests == []


def test_nothing_leaves_when_it_may_not_proceed(google: GoogleServer, transport_to: MakeTransport) -> None:
    transport = transport_to()

    with pytest.raises(Abandoned):
        transport.send(MESSAGE, may_proceed=lambda: False)

    assert google.messages == []
    transport.close()
