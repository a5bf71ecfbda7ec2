"""The way out over Microsoft Graph, against a stand-in that is as strict as Microsoft, and a server that is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.utils import format_datetime
from pathlib import Path
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
    SenderRefused,
    Step,
    TransientError,
    TransportError,
    Verdict,
)
from portal.transports.graph import GraphTransport
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.https_server import HTTPSServer
from tests.outside.microsoft import MicrosoftServer
from tests.transports.api_connections import NOW, Tokens, composed
from tests.transports.conftest import always

TENANT = "11111111-1111-4111-8111-111111111111"
CLIENT = "22222222-2222-4222-8222-222222222222"
PORTAL = "portal@contoso.test"
MESSAGE = composed()


class MakeTransport(Protocol):
    def __call__(self, **changes: Any) -> GraphTransport: ...


@pytest.fixture(scope="module")
def https(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPS]:
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    bundle.write_text(authority.pem)
    with HTTPS(HTTPSSettings(ca_bundle=bundle)) as https:
        yield https


@pytest.fixture
def microsoft(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    """Two mailboxes and an application that may send as both."""
    with MicrosoftServer(certificate=certificate) as microsoft:
        microsoft.add_tenant(TENANT, domains=["contoso.test"])
        microsoft.add_app(
            TENANT, CLIENT, application=["Mail.Send"], delegated=["User.Read", "Mail.Send", "Mail.ReadWrite"]
        )
        microsoft.add_mailbox(TENANT, PORTAL)
        microsoft.add_mailbox(TENANT, "ada@contoso.test")
        yield microsoft


@pytest.fixture
def transport_to(microsoft: MicrosoftServer, https: HTTPS) -> MakeTransport:
    """The application sends as the portal's mailbox, unless changed."""

    def make(**changes: Any) -> GraphTransport:
        token = changes.get("access_token") or Tokens(microsoft.app_token(CLIENT))
        usual: dict[str, Any] = {
            "graph_url": microsoft.graph_url,
            "mailbox": PORTAL,
            "access_token": token,
            "clock": lambda: NOW,
        }
        return GraphTransport(https, **(usual | changes))

    return make


@pytest.fixture
def server(certificate: ServerCertificate) -> Iterator[HTTPSServer]:
    with HTTPSServer(certificate) as server:
        yield server


def results(transport: GraphTransport, message: OutgoingMessage = MESSAGE) -> list[RecipientResult]:
    return list(transport.send(message, may_proceed=always).recipients)


def only_result(transport: GraphTransport) -> RecipientResult:
    [result] = results(transport)
    return result


def refused(transport: GraphTransport, message: OutgoingMessage = MESSAGE) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.send(message, may_proceed=always)
    return caught.value


# Sending


def test_a_message_arrives_as_it_was_built(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    transport_to().send(MESSAGE, may_proceed=always)

    [received] = microsoft.wait_for_messages(1)
    assert received.content == MESSAGE.content
    assert (received.how, received.mailbox, received.recipients) == ("mime", PORTAL, ("ada@contoso.test",))


def test_every_recipient_is_sent_with_the_number_that_support_asks_for(transport_to: MakeTransport) -> None:
    message = composed("ada@contoso.test", "bob@fabrikam.test", "audit@contoso.test", cc=("bob@fabrikam.test",))

    sent = results(transport_to(), message)

    assert [one.address for one in sent] == ["ada@contoso.test", "bob@fabrikam.test", "audit@contoso.test"]
    assert {(one.verdict, one.reply.code, one.code) for one in sent} == {(Verdict.SENT, 202, "")}
    assert all(one.reply.text.startswith("request-id ") for one in sent)


def test_hidden_recipients_get_the_message_too(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    transport_to().send(composed("ada@contoso.test", "audit@contoso.test"), may_proceed=always)

    [received] = microsoft.wait_for_messages(1)
    assert received.recipients == ("ada@contoso.test", "audit@contoso.test")


def test_who_is_not_due_gets_no_second_message(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    message = composed("bob@fabrikam.test", to=("ada@contoso.test", "bob@fabrikam.test"))

    transport_to().send(message, may_proceed=always)

    [received] = microsoft.wait_for_messages(1)
    assert received.recipients == ("bob@fabrikam.test",)
    shown = message_from_bytes(received.content)["X-Addressed-To"]
    assert shown == "ada@contoso.test, bob@fabrikam.test"


def test_without_a_mailbox_it_sends_as_whoever_gave_the_consent(
    microsoft: MicrosoftServer, transport_to: MakeTransport
) -> None:
    token = microsoft.grant(CLIENT, "ada@contoso.test", "Mail.Send").access_token
    transport = transport_to(mailbox="", access_token=Tokens(token))

    transport.send(composed(from_address="ada@contoso.test"), may_proceed=always)

    [received] = microsoft.wait_for_messages(1)
    assert (received.mailbox, received.signed_in_as) == ("ada@contoso.test", "ada@contoso.test")
    assert microsoft.requests[-1].path == "/graph/v1.0/me/sendMail"


def test_an_application_that_exchange_limits_sends_without_a_role_in_its_token(
    microsoft: MicrosoftServer, transport_to: MakeTransport
) -> None:
    microsoft.add_app(TENANT, "limited", scoped_mailboxes=[PORTAL])
    token = Tokens(microsoft.app_token("limited"))

    sent = only_result(transport_to(access_token=token))
    elsewhere = refused(transport_to(access_token=token, mailbox="ada@contoso.test"))

    assert sent.verdict is Verdict.SENT
    assert (type(elsewhere), elsewhere.code) == (ConnectionFault, "graph.access_denied")


def test_a_mailbox_cannot_lead_to_another_address_of_graph(server: HTTPSServer, https: HTTPS) -> None:
    transport = GraphTransport(
        https, graph_url=server.url(""), mailbox="../me?x=/é", access_token=Tokens("token-of-the-application")
    )

    refused(transport)

    assert server.requests[0].target == "/v1.0/users/..%2Fme%3Fx%3D%2F%C3%A9/sendMail"


# The access token


def test_a_token_that_is_refused_is_renewed_once(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    tokens = Tokens("worn-out", microsoft.app_token(CLIENT))

    sent = only_result(transport_to(access_token=tokens))

    assert sent.verdict is Verdict.SENT
    assert tokens.asked == [False, True]
    assert len(microsoft.wait_for_messages(1)) == 1


def test_a_new_token_that_is_refused_too_is_the_way_outs_fault(
    microsoft: MicrosoftServer, transport_to: MakeTransport
) -> None:
    tokens = Tokens("worn-out", "worn-out-too")

    error = refused(transport_to(access_token=tokens))

    assert (type(error), error.step, error.code) == (ConnectionFault, Step.TOKEN, "graph.token_refused")
    assert tokens.asked == [False, True]
    assert len(microsoft.requests) == 2


def test_a_policy_that_wants_a_new_sign_in_is_told_apart(
    microsoft: MicrosoftServer, transport_to: MakeTransport
) -> None:
    microsoft.on("sendMail", status=401, headers=microsoft.claims_challenge)

    error = refused(transport_to())

    assert (type(error), error.code) == (ConnectionFault, "graph.claims_challenge")


def test_a_challenge_that_a_new_token_meets_is_over(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    microsoft.on("sendMail", status=401, headers=microsoft.claims_challenge, times=1)

    assert only_result(transport_to()).verdict is Verdict.SENT


def test_why_there_is_no_token_comes_through(transport_to: MakeTransport) -> None:
    why = ConnectionFault(Step.TOKEN, code="microsoft.secret_expired", seen="AADSTS7000222")

    def access_token(renew: bool) -> str:
        raise why

    assert refused(transport_to(access_token=access_token)) is why


def test_the_token_stands_in_no_error(server: HTTPSServer, https: HTTPS) -> None:
    token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.c2VjcmV0LXRva2Vu.c2lnbmF0dXJl"
    body = {"error": {"code": "ErrorAccessDenied", "message": f"Authorization: Bearer {token}\r\nis not good"}}
    server.on("/v1.0/me/sendMail", status=403, json=body)

    error = refused(GraphTransport(https, graph_url=server.url(""), mailbox="", access_token=Tokens(token)))

    assert str(error.reply) == "403 ErrorAccessDenied: Authorization: Bearer ********  is not good"
    assert "c2VjcmV0" not in f"{error!r} {error.seen}"


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "kind", "step", "diagnosis"),
    [
        (403, "ErrorSendAsDenied", SenderRefused, Step.SENDER, "graph.send_as_denied"),
        (403, "ErrorAccessDenied", ConnectionFault, Step.PERMISSIONS, "graph.access_denied"),
        (403, "SomethingNew", ConnectionFault, Step.PERMISSIONS, "graph.access_denied"),
        (403, "Authorization_RequestDenied", ConnectionFault, Step.PERMISSIONS, "graph.directory_permission_missing"),
        (403, "extensionError", ConnectionFault, Step.PERMISSIONS, "graph.policy_blocks"),
        (403, "ErrorMessageSubmissionBlocked", ConnectionFault, Step.SENDER, "graph.mailbox_blocked"),
        (403, "MailboxNotEnabledForRESTAPI", ConnectionFault, Step.MAILBOX, "graph.mailbox_not_enabled"),
        (404, "MailboxNotEnabledForRESTAPI", ConnectionFault, Step.MAILBOX, "graph.mailbox_not_enabled"),
        (404, "ErrorInvalidUser", ConnectionFault, Step.MAILBOX, "graph.mailbox_not_found"),
        (404, "Request_ResourceNotFound", ConnectionFault, Step.MAILBOX, "graph.mailbox_not_found"),
        (404, "SomethingNew", ConnectionFault, Step.MAILBOX, "graph.mailbox_not_found"),
        (400, "ErrorInvalidRecipients", PermanentError, Step.RECIPIENT, "graph.recipients_refused"),
        (400, "ErrorMimeContentInvalidBase64String", PermanentError, Step.CONTENT, "graph.message_refused"),
        (413, "RequestEntityTooLarge", PermanentError, Step.CONTENT, "graph.message_too_large"),
        (400, "ErrorMessageSizeExceeded", PermanentError, Step.CONTENT, "graph.message_too_large"),
        (403, "ErrorExceededMessageLimit", QuotaReached, Step.CONTENT, "graph.sending_limit"),
        (429, "ErrorExceededMessageLimit", QuotaReached, Step.CONTENT, "graph.sending_limit"),
        (429, "ErrorQuotaExceeded", ConnectionFault, Step.MAILBOX, "graph.mailbox_full"),
        (429, "ApplicationThrottled", QuotaReached, Step.CONTENT, "graph.throttled"),
        (503, "MailboxConcurrency", QuotaReached, Step.CONTENT, "graph.throttled"),
        (503, "serviceNotAvailable", TransientError, Step.CONNECT, "graph.unavailable"),
        (500, "ErrorServerBusy", TransientError, Step.CONNECT, "graph.unavailable"),
        (500, "InternalServerError", TransientError, Step.CONTENT, "graph.unavailable"),
        (405, "Request_BadRequest", ConnectionFault, Step.PERMISSIONS, "graph.refused"),
    ],
)
def test_a_refusal_concerns_whom_it_names(
    microsoft: MicrosoftServer,
    transport_to: MakeTransport,
    status: int,
    code: str,
    kind: type[TransportError],
    step: Step,
    diagnosis: str,
) -> None:
    microsoft.on("sendMail", status=status, code=code)

    error = refused(transport_to())

    assert (type(error), error.step, error.code) == (kind, step, diagnosis)
    assert error.reply is not None
    assert str(error.reply).startswith(f"{status} {code}: ")
    assert microsoft.messages == []


@pytest.mark.parametrize("key", ["innerError", "innererror"])
def test_the_name_inside_tells_what_the_outer_one_does_not(server: HTTPSServer, https: HTTPS, key: str) -> None:
    inner = {"code": "generalException", key: {"code": "errorSendAsDenied", "request-id": "1"}}
    server.on("/v1.0/me/sendMail", status=403, json={"error": {"code": "accessDenied", "message": "No.", key: inner}})

    error = refused(GraphTransport(https, graph_url=server.url(""), mailbox="", access_token=Tokens("token")))

    assert (type(error), error.code) == (SenderRefused, "graph.send_as_denied")


def test_from_another_mailbox_without_the_right_only_that_sender_is_refused(transport_to: MakeTransport) -> None:
    error = refused(transport_to(), composed(from_address="ceo@contoso.test"))

    assert (type(error), error.code) == (SenderRefused, "graph.send_as_denied")


def test_an_unknown_mailbox_fails_no_message(transport_to: MakeTransport) -> None:
    error = refused(transport_to(mailbox="nobody@contoso.test"))

    assert (type(error), error.code) == (ConnectionFault, "graph.mailbox_not_found")


# Throttling


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("0", 1),
        ("-5", 1),
        ("1000000000", 3600),
        ("99999999999999999999", 60),
        ("0.25", 1),
        ("soon", 60),
        ("", 60),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 1),
        (format_datetime(NOW + timedelta(days=1), usegmt=True), 3600),
        ("Sat, 21 Nov 2026 25:99:00 GMT", 60),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_graph_is_left_alone_for_as_long_as_it_asks(
    microsoft: MicrosoftServer, transport_to: MakeTransport, status: int, header: str, seconds: int
) -> None:
    microsoft.on("sendMail", status=status, code="TooManyRequests", headers={"Retry-After": header})

    error = refused(transport_to())

    assert isinstance(error, QuotaReached)
    assert error.retry_after == timedelta(seconds=seconds)


def test_a_service_that_is_away_says_for_how_long(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    microsoft.on("sendMail", status=503, headers={"Retry-After": "120"})

    error = refused(transport_to())

    assert isinstance(error, QuotaReached)
    assert (error.code, error.retry_after) == ("graph.unavailable", timedelta(minutes=2))


def test_a_daily_limit_is_asked_again_once_an_hour(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    microsoft.on("sendMail", status=429, code="ErrorExceededMessageLimit")

    error = refused(transport_to())

    assert isinstance(error, QuotaReached)
    assert error.retry_after == timedelta(hours=1)


# What is not known


@pytest.mark.parametrize("drop", ["before", "after"])
def test_an_answer_that_does_not_come_leaves_it_uncertain(
    microsoft: MicrosoftServer, transport_to: MakeTransport, drop: str
) -> None:
    microsoft.on("sendMail", drop=drop)

    lost = only_result(transport_to())

    assert (lost.verdict, lost.code, lost.reply.code) == (Verdict.UNCERTAIN, "http.reply_lost", 0)
    assert lost.reply.text != ""


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_without_an_answer_leaves_it_uncertain(
    microsoft: MicrosoftServer, transport_to: MakeTransport, status: int
) -> None:
    microsoft.on("sendMail", status=status, body="<h1>Bad gateway</h1>")

    lost = only_result(transport_to())

    assert (lost.verdict, lost.code, lost.reply.code) == (Verdict.UNCERTAIN, "http.gateway_failed", status)
    assert "h1" not in lost.reply.text


@pytest.mark.parametrize(("status", "body"), [(200, {"value": "fine"}), (204, b""), (200, [float("nan")])])
def test_a_success_that_graph_does_not_know_leaves_it_uncertain(
    microsoft: MicrosoftServer, transport_to: MakeTransport, status: int, body: object
) -> None:
    microsoft.on("sendMail", status=status, body=body)

    odd = only_result(transport_to())

    assert (odd.verdict, odd.code) == (Verdict.UNCERTAIN, "http.reply_lost")


@pytest.mark.parametrize("leave", ["content", "request", "answer"])
def test_a_connection_lost_after_the_message_began_leaves_it_uncertain(
    server: HTTPSServer, https: HTTPS, leave: str
) -> None:
    server.on("/v1.0/me/sendMail", status=202, json={"value": "x" * 1000}, leave=leave)

    lost = only_result(GraphTransport(https, graph_url=server.url(""), mailbox="", access_token=Tokens("token")))

    assert (lost.verdict, lost.code) == (Verdict.UNCERTAIN, "http.reply_lost")


def test_an_endless_answer_is_cut_and_leaves_it_uncertain(server: HTTPSServer, https: HTTPS) -> None:
    server.on("/v1.0/me/sendMail", status=202, flood=b"x" * 65536)

    lost = only_result(GraphTransport(https, graph_url=server.url(""), mailbox="", access_token=Tokens("token")))

    assert (lost.verdict, lost.code) == (Verdict.UNCERTAIN, "http.reply_lost")


# What comes between


@pytest.mark.parametrize("status", [200, 400, 403, 404])
def test_a_page_of_something_in_between_fails_no_message(
    microsoft: MicrosoftServer, transport_to: MakeTransport, status: int
) -> None:
    microsoft.on("sendMail", status=status, body="<script>steal()</script> Sign in to the network")

    error = refused(transport_to())

    assert (type(error), error.step, error.code) == (TransientError, Step.CONNECT, "http.unexpected_answer")
    assert "script" not in str(error)


def test_a_redirect_is_not_followed_with_the_token(
    server: HTTPSServer, certificate: ServerCertificate, https: HTTPS
) -> None:
    with HTTPSServer(certificate) as elsewhere:
        server.on("/v1.0/me/sendMail", status=307, headers={"Location": elsewhere.url("/v1.0/me/sendMail")})

        error = refused(GraphTransport(https, graph_url=server.url(""), mailbox="", access_token=Tokens("token")))

        assert (type(error), error.code) == (ConnectionFault, "http.redirected")
        assert elsewhere.requests == []


def test_a_refused_connection_is_tried_again_later(https: HTTPS) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    error = refused(
        GraphTransport(https, graph_url=f"https://127.0.0.1:{port}", mailbox="", access_token=Tokens("token"))
    )

    assert (type(error), error.step, error.code) == (TransientError, Step.CONNECT, "network.connection_refused")


def test_a_name_that_does_not_exist_is_the_way_outs_fault(tmp_path: Path) -> None:
    def resolver(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with HTTPS(HTTPSSettings(), resolver=resolver) as https:
        url = "https://graph.contoso.test"
        error = refused(GraphTransport(https, graph_url=url, mailbox="", access_token=Tokens("token")))

    assert (type(error), error.step, error.code) == (ConnectionFault, Step.RESOLVE, "network.name_not_found")


def test_a_certificate_that_nobody_vouches_for_is_the_way_outs_fault(microsoft: MicrosoftServer) -> None:
    with HTTPS(HTTPSSettings()) as https:
        error = refused(
            GraphTransport(https, graph_url=microsoft.graph_url, mailbox=PORTAL, access_token=Tokens("token"))
        )

    assert (type(error), error.step) == (ConnectionFault, Step.TLS)
    assert error.code in {"tls.unknown_ca", "tls.self_signed_certificate"}
    assert microsoft.requests == []


# The point of no return


def test_nothing_leaves_when_it_may_not_proceed(server: HTTPSServer, https: HTTPS) -> None:
    server.on("/v1.0/me/sendMail", status=202)
    transport = GraphTransport(https, graph_url=server.url(""), mailbox="", access_token=Tokens("token"))

    with pytest.raises(Abandoned):
        transport.send(MESSAGE, may_proceed=lambda: False)

    assert [request.content for request in server.requests if request.content] == []


def test_it_is_asked_again_before_the_second_request(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    answers = iter([True, False])
    transport = transport_to(access_token=Tokens("worn-out", microsoft.app_token(CLIENT)))

    with pytest.raises(Abandoned):
        transport.send(MESSAGE, may_proceed=lambda: next(answers))

    assert microsoft.messages == []


def test_after_a_loss_the_next_message_goes_through(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    microsoft.on("sendMail", drop="before", times=1)
    transport = transport_to()

    verdicts = [only_result(transport).verdict, only_result(transport).verdict]

    assert verdicts == [Verdict.UNCERTAIN, Verdict.SENT]
    transport.close()


# Size


def test_a_message_beyond_the_limit_is_refused_before_anything_is_said(
    microsoft: MicrosoftServer, transport_to: MakeTransport
) -> None:
    error = refused(transport_to(largest_message=len(MESSAGE.content) - 1))

    assert (type(error), error.step, error.code) == (PermanentError, Step.CONTENT, "graph.message_too_large")
    assert error.seen == (
        f"the message has {len(MESSAGE.content)} bytes, Microsoft Graph takes {len(MESSAGE.content) - 1} at once,"
        " without Mail.ReadWrite"
    )
    assert microsoft.requests == []


def test_the_usual_limit_is_what_graph_takes(microsoft: MicrosoftServer, transport_to: MakeTransport) -> None:
    filler = composed(attachments=[Attachment("a.bin", "application/octet-stream", bytes(2_180_000))])
    assert 2_950_000 < len(filler.content) < 3_000_000

    sent = results(transport_to(), filler)

    assert sent[0].verdict is Verdict.SENT
    assert microsoft.wait_for_messages(1)[0].content == filler.content
