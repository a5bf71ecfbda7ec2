"""Large messages over Microsoft Graph: a draft whose attachments are uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import SMTP

import pytest

from portal.mail.message import Attachment
from portal.network.https import HTTPS, HTTPSSettings
from portal.transports import (
    Abandoned,
    ConnectionFault,
    OutgoingMessage,
    PermanentError,
    QuotaReached,
    TransientError,
    TransportError,
    Verdict,
)
from portal.transports.graph import GraphTransport
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.microsoft import MicrosoftServer
from tests.transports.api_connections import NOW, Tokens, composed
from tests.transports.conftest import always

TENANT = "11111111-1111-4111-8111-111111111111"
CLIENT = "22222222-2222-4222-8222-222222222222"
PORTAL = "portal@contoso.test"
FILM = Attachment("Räume.mp4", "video/mp4", bytes(range(256)) * 15_000)  # 3.8 MB: uploaded in two pieces
PLAN = Attachment("plan.pdf", "application/pdf", b"%PDF" * 600_000)  # 2.4 MB: in one request
NOTE = Attachment("note.txt", "text/plain", b"Zo\xc3\xab")
LARGE = composed("ada@contoso.test", "audit@contoso.test", attachments=[FILM, NOTE, PLAN])
NAMED = {
    "toRecipients": [{"emailAddress": {"address": "Ada@contoso.test"}}],
    "bccRecipients": [{"emailAddress": {"address": "audit@contoso.test"}}],
}


@pytest.fixture(scope="module")
def https(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPS]:
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    bundle.write_text(authority.pem)
    with HTTPS(HTTPSSettings(ca_bundle=bundle)) as https:
        yield https


@pytest.fixture
def microsoft(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    """A mailbox whose drafts the application may write, too; a draft says whom it is for, as Graph's do."""
    with MicrosoftServer(certificate=certificate) as microsoft:
        microsoft.add_tenant(TENANT, domains=["contoso.test"])
        microsoft.add_app(TENANT, CLIENT, application=["Mail.Send", "Mail.ReadWrite"])
        microsoft.add_mailbox(TENANT, PORTAL)
        microsoft.on("draft", about="/messages {}", changes=NAMED)
        yield microsoft


@pytest.fixture
def transport(microsoft: MicrosoftServer, https: HTTPS) -> GraphTransport:
    return make(microsoft, https, microsoft.app_token(CLIENT))


def make(
    microsoft: MicrosoftServer, https: HTTPS, token: str, may_upload: Callable[[], bool] = lambda: True
) -> GraphTransport:
    return GraphTransport(
        https,
        graph_url=microsoft.graph_url,
        mailbox=PORTAL,
        access_token=Tokens(token),
        may_upload=may_upload,
        clock=lambda: NOW,
    )


def refused(transport: GraphTransport, message: OutgoingMessage = LARGE) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.send(message, may_proceed=always)
    return caught.value


def methods(microsoft: MicrosoftServer) -> list[str]:
    return [f"{one.method} {one.path.rpartition('/')[2][:20]}" for one in microsoft.requests]


def test_everything_arrives(microsoft: MicrosoftServer, transport: GraphTransport) -> None:
    report = transport.send(LARGE, may_proceed=always)

    [received] = microsoft.wait_for_messages(1)
    message = message_from_bytes(received.content, policy=SMTP)
    files = {part.get_filename(): part.get_payload(decode=True) for part in message.iter_attachments()}
    text = message.get_body(("plain",))
    assert {one.verdict for one in report.recipients} == {Verdict.SENT}
    assert (received.how, received.recipients) == ("draft", ("ada@contoso.test", "audit@contoso.test"))
    assert files == {"Räume.mp4": FILM.content, "note.txt": NOTE.content, "plan.pdf": PLAN.content}
    assert text is not None
    assert text.get_content() == "Good morning, Zoë.\r\n"
    assert (message["Message-ID"], message["Subject"]) == ("<1@contoso.test>", "Grüße")


def test_the_access_token_does_not_go_to_where_files_are_uploaded(
    microsoft: MicrosoftServer, transport: GraphTransport
) -> None:
    transport.send(LARGE, may_proceed=always)

    uploads = [one for one in microsoft.requests if one.method == "PUT"]
    assert [one.headers["Authorization"] for one in uploads] == [None, None]
    assert [one.headers["Content-Range"] for one in uploads] == [
        "bytes 0-3276799/3840000",
        "bytes 3276800-3839999/3840000",
    ]


def test_a_message_that_fits_takes_the_short_way(microsoft: MicrosoftServer, transport: GraphTransport) -> None:
    transport.send(composed(), may_proceed=always)

    assert microsoft.wait_for_messages(1)[0].how == "mime"


def test_a_message_that_cannot_be_parted_is_too_large(microsoft: MicrosoftServer, transport: GraphTransport) -> None:
    content = LARGE.content.replace(b"Content-Type: multipart/mixed", b"Content-Type: multipart/signed")

    error = refused(transport, OutgoingMessage(PORTAL, LARGE.rcpt_to, content))

    assert (type(error), error.code) == (PermanentError, "graph.message_too_large")
    assert microsoft.requests == []


def test_without_the_right_to_keep_drafts_only_the_large_message_fails(
    microsoft: MicrosoftServer, https: HTTPS
) -> None:
    microsoft.add_app(TENANT, "sends-alone", application=["Mail.Send"])
    transport = make(microsoft, https, microsoft.app_token("sends-alone"))

    error = refused(transport)
    small = transport.send(composed(), may_proceed=always)

    assert (type(error), error.code) == (PermanentError, "graph.message_too_large")
    assert small.recipients[0].verdict is Verdict.SENT


def test_permission_is_asked_for_with_each_large_message(microsoft: MicrosoftServer, https: HTTPS) -> None:
    """Consent may come and go while the way out stays open."""
    answers = iter([False, True])
    transport = make(microsoft, https, microsoft.app_token(CLIENT), may_upload=lambda: next(answers))

    transport.send(composed(), may_proceed=always)
    error = refused(transport)
    transport.send(LARGE, may_proceed=always)

    assert (type(error), error.code) == (PermanentError, "graph.message_too_large")
    assert error.seen.endswith("Microsoft Graph takes 3000000 at once, without Mail.ReadWrite")
    assert [one.how for one in microsoft.wait_for_messages(2)] == ["mime", "draft"]


def test_a_mailbox_that_is_blocked_fails_no_large_message(
    microsoft: MicrosoftServer, transport: GraphTransport
) -> None:
    microsoft.on("draft", status=403, code="ErrorMessageSubmissionBlocked")

    error = refused(transport)

    assert (type(error), error.code) == (ConnectionFault, "graph.mailbox_blocked")


def test_a_draft_that_may_not_be_sent_is_deleted(microsoft: MicrosoftServer, transport: GraphTransport) -> None:
    with pytest.raises(Abandoned):
        transport.send(LARGE, may_proceed=lambda: False)

    assert microsoft.messages == []
    assert methods(microsoft)[-1].startswith("DELETE AAMk")
    assert not any(one.path.endswith("/send") for one in microsoft.requests)


@pytest.mark.parametrize(
    ("step", "script", "kind", "code"),
    [
        ("upload", {"status": 503}, TransientError, "graph.unavailable"),
        ("upload", {"drop": "before"}, TransientError, "network.connection_lost"),
        ("upload", {"status": 401, "about": "PUT "}, TransientError, "graph.unavailable"),
        ("upload", {"drop": "before", "about": "PUT "}, TransientError, "network.connection_lost"),
        ("draft", {"status": 429, "about": "fileAttachment"}, QuotaReached, "graph.throttled"),
        ("draft", {"drop": "after", "about": "fileAttachment"}, TransientError, "network.connection_lost"),
        ("draft", {"status": 201, "body": [], "about": "fileAttachment"}, TransientError, "http.unexpected_answer"),
        ("send", {"status": 403, "code": "ErrorAccessDenied"}, ConnectionFault, "graph.access_denied"),
    ],
)
def test_what_goes_wrong_before_it_is_sent_leaves_no_draft(
    microsoft: MicrosoftServer,
    transport: GraphTransport,
    step: str,
    script: dict[str, object],
    kind: type[TransportError],
    code: str,
) -> None:
    microsoft.on(step, **script)  # type: ignore[arg-type]

    error = refused(transport)

    assert (type(error), error.code) == (kind, code)
    assert methods(microsoft)[-1].startswith("DELETE AAMk")
    assert microsoft.messages == []


def test_an_upload_address_without_encryption_is_not_used(
    microsoft: MicrosoftServer, transport: GraphTransport
) -> None:
    microsoft.on("upload", about="AttachmentItem", changes={"uploadUrl": "http://files.contoso.test/1"})

    error = refused(transport)

    assert (type(error), error.code) == (TransientError, "http.unexpected_answer")


@pytest.mark.parametrize("hidden", [[], None, [{}], ["audit@contoso.test"], [{"emailAddress": None}]])
def test_a_draft_that_misses_a_recipient_is_never_sent(
    microsoft: MicrosoftServer, transport: GraphTransport, hidden: object
) -> None:
    microsoft.on("draft", about="/messages {}", changes={**NAMED, "bccRecipients": hidden})

    error = refused(transport)

    assert isinstance(error, PermanentError)
    assert error.seen == "the draft does not name every recipient, so it was not sent"
    assert microsoft.messages == []
    assert methods(microsoft)[-1].startswith("DELETE AAMk")


def test_when_the_answer_to_sending_is_lost_it_is_uncertain(
    microsoft: MicrosoftServer, transport: GraphTransport
) -> None:
    microsoft.on("send", drop="after")

    report = transport.send(LARGE, may_proceed=always)

    assert {(one.verdict, one.code) for one in report.recipients} == {(Verdict.UNCERTAIN, "http.reply_lost")}
    assert len(microsoft.messages) == 1


@pytest.mark.parametrize("script", [{"drop": "after"}, {"changes": {"id": None}}, {"changes": {"id": ""}}])
def test_a_draft_whose_address_never_came_is_found_and_deleted(
    microsoft: MicrosoftServer, transport: GraphTransport, script: dict[str, object]
) -> None:
    microsoft.on("draft", about="/messages {}", times=1, **script)  # type: ignore[arg-type]

    error = refused(transport)

    assert isinstance(error, TransientError)
    assert [one.split()[0] for one in methods(microsoft)] == ["POST", "GET", "DELETE"]
    transport.send(LARGE, may_proceed=always)
    assert len(microsoft.messages) == 1


def test_the_draft_of_another_part_of_the_message_is_left_alone(
    microsoft: MicrosoftServer, transport: GraphTransport
) -> None:
    """What is under way to others has the same Message-ID."""
    microsoft.on("draft", about="/messages {}", drop="after", times=1)
    listed = {"value": [{"id": "theirs", "toRecipients": [{"emailAddress": {"address": "bob@contoso.test"}}]}]}
    microsoft.on("drafts", body=listed)

    refused(transport)

    assert [one.split()[0] for one in methods(microsoft)] == ["POST", "GET"]


def test_a_service_that_is_not_reached_is_not_asked_for_drafts(
    microsoft: MicrosoftServer, transport: GraphTransport
) -> None:
    microsoft.on("draft", about="/messages {}", status=503)

    refused(transport)

    assert [one.split()[0] for one in methods(microsoft)] == ["POST"]
