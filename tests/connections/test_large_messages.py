"""Messages beyond what a provider takes at once: uploaded where that was granted, else refused before they are queued.

From the one door for mail to the mailbox: the consents, tokens and hand-overs are real, the providers are servers on
loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from portal import mail_service, outbox
from portal.connections.permissions import explained, may_upload
from portal.connections.provider_values import ProviderValues
from portal.connections.values import Method, Role
from portal.mail.addresses import Mailbox
from portal.mail.message import Attachment, complete, compose
from portal.outbox.models import Attempt, Message
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.transaction import unit_of_work
from portal.transports.gmail import LARGEST_MESSAGE as LARGEST_AT_GMAIL
from tests.connections.making import create, smtp_values
from tests.connections.provider_world import (
    APP,
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    by_smtp,
    provider_world,
)
from tests.outside.microsoft_application import CLIENT_ID, PORTAL, registered
from tests.outside.smtp_server import SMTPServer

UPLOADING = replace(PERSON_AT_MICROSOFT, scope="Mail.Send User.Read Mail.ReadWrite")
FILM = Attachment("Räume.mp4", "video/mp4", bytes(range(256)) * 14_400)  # 3.7 MB, as an attachment of 5 MB
PLAN = Attachment("plan.pdf", "application/pdf", b"%PDF" * 30_000)
LIMIT = 3_000_000


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


def composed(text: str = "Good morning, Zoë.", attachments: tuple[Attachment, ...] = (FILM, PLAN)) -> bytes:
    return compose(
        to=[Mailbox("ada@contoso.test")],
        subject="Grüße",
        text=text,
        message_id="<1@contoso.test>",
        date=datetime.now(UTC),
        auto_submitted=True,
        attachments=attachments,
    )


def ready(content: bytes, **changes: Any) -> PreparedMessage:
    """A message that somebody else built, as an application hands it in."""
    now = datetime.now(UTC)
    message = PreparedMessage(
        id=uuid4(),
        kind="password_changed",
        is_secret=False,
        lane=Lane.NORMAL,
        schedule=Schedule.NORMAL,
        route="default",
        from_mailbox=None,
        mail_from=None,
        rcpt_to=("ada@contoso.test", "audit@contoso.test"),
        subject="Grüße",
        message_id=f"<{uuid4()}@contoso.test>",
        content=content,
        created_at=now,
        expires_at=now + timedelta(days=3),
    )
    return replace(message, **changes)


def hand_in(world: ProviderWorld, message: PreparedMessage) -> None:
    """By the one door into the outbox."""
    with world.app.app_context(), unit_of_work() as session:
        outbox.add(session, mail_service.admit(message, session=session), box=world.installation.box)


def refusal(world: ProviderWorld, message: PreparedMessage) -> str:
    """Why the door takes no such message; nothing of it is stored."""
    before = queued(world)
    with pytest.raises(mail_service.NotAccepted) as refused:
        hand_in(world, message)
    assert queued(world) == before
    return str(refused.value)


def queued(world: ProviderWorld) -> int:
    with world.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(Message)) or 0


def last_attempt(world: ProviderWorld) -> tuple[str, str]:
    """The code of its diagnosis, and what was seen."""
    with world.engine.connect() as connection:
        row = connection.execute(select(Attempt.code, Attempt.reply_text).order_by(Attempt.id.desc()).limit(1)).one()
    return row.code, row.reply_text


def received(world: ProviderWorld) -> tuple[str, EmailMessage]:
    """How the one message was handed over, and what it is."""
    [message] = world.microsoft.wait_for_messages(1)
    assert message.recipients == ("ada@contoso.test", "audit@contoso.test")
    return message.how, message_from_bytes(message.content, policy=SMTP)


def files(message: EmailMessage) -> dict[str, bytes]:
    return {cast("str", part.get_filename()): part.get_payload(decode=True) for part in message.iter_attachments()}


def person(world: ProviderWorld, own: ProviderValues = PERSON_AT_MICROSOFT, **common: Any) -> UUID:
    """A connection by a person's consent, in an organisation that lets people consent to uploading."""
    world.microsoft.consent_for_everybody(CLIENT_ID, "Mail.ReadWrite")
    return world.connect(Method.MICROSOFT, own, **common)


def application(world: ProviderWorld, *permissions: str, **settings: Any) -> UUID:
    """A connection of an application with these permissions."""
    registered(world.microsoft, application=list(permissions), **settings)
    return world.connect(Method.MICROSOFT_APP, APP)


def test_a_large_message_arrives_whole_by_the_consent_to_uploading(world: ProviderWorld) -> None:
    person(world, UPLOADING)

    hand_in(world, ready(composed()))
    world.send()

    how, message = received(world)
    assert world.states() == ["sent"]
    assert how == "draft"
    assert files(message) == {"Räume.mp4": FILM.content, "plan.pdf": PLAN.content}
    assert message["Subject"] == "Grüße"
    assert any("/upload/" in one.path for one in world.microsoft.requests)


def test_a_large_message_arrives_whole_by_an_application_that_may_upload(world: ProviderWorld) -> None:
    application(world, "Mail.Send", "Mail.ReadWrite")
    hand_in(world, ready(composed()))
    world.send()
    assert received(world)[0] == "draft"

    hand_in(world, ready(composed()))
    world.send()

    assert world.states() == ["sent", "sent"], "also once its permissions are known"


def test_without_the_consent_to_uploading_a_large_message_is_refused_before_it_is_queued(world: ProviderWorld) -> None:
    person(world)
    content = composed()
    size = len(complete(content, from_mailbox=Mailbox(PORTAL))) + len(b"Bcc: audit@contoso.test\r\n")

    said = refusal(world, ready(content))

    assert said == (
        f"The message is too large: it has {size:,} bytes, and Microsoft Graph, by the connection Main, takes "
        "3,000,000 without the permission Mail.ReadWrite. An administrator can give the connection that permission, "
        "or let it send through SMTP, under Connections. Or send smaller attachments."
    )


def test_an_application_without_the_permission_is_known_by_its_access_token(world: ProviderWorld) -> None:
    application(world, "Mail.Send")
    world.queue()
    world.send()

    said = refusal(world, ready(composed()))

    assert "without the permission Mail.ReadWrite" in said
    assert world.states() == ["sent"]


def test_an_application_whose_token_nobody_has_seen_is_refused_when_it_sends(world: ProviderWorld) -> None:
    application(world, "Mail.Send")

    hand_in(world, ready(composed()))
    world.send()

    code, said = last_attempt(world)
    assert (world.states(), code) == (["failed"], "graph.message_too_large")
    assert said.endswith("Microsoft Graph takes 3000000 at once, without Mail.ReadWrite")
    assert world.microsoft.messages == []


def test_what_a_former_token_did_not_name_is_no_reason_to_refuse(world: ProviderWorld) -> None:
    """An administrator may have given the permission since; the next token tells."""
    connection_id = application(world, "Mail.Send")
    world.queue()
    world.send()
    registered(world.microsoft, application=["Mail.Send", "Mail.ReadWrite"])
    large = ready(composed())
    later = datetime.now(UTC) + timedelta(hours=2)
    assert refusal(world, large)

    hand_in(world, replace(large, id=uuid4(), created_at=later, expires_at=later + timedelta(days=1)))
    world.change(connection_id, world.values(Method.MICROSOFT_APP, APP, display_name="Contoso"))
    hand_in(world, large)

    assert queued(world) == 3


def test_permissions_that_an_application_has_in_exchange_are_tried(world: ProviderWorld) -> None:
    """They are in no token: where the right to send is named nowhere, that to upload need not be."""
    application(world, scoped_mailboxes=[PORTAL])
    world.queue()
    world.send()

    hand_in(world, ready(composed()))
    world.send()

    assert world.states() == ["sent", "failed"]
    assert last_attempt(world)[0] == "graph.message_too_large"
    assert [one.method for one in world.microsoft.requests if one.path.endswith("/messages")] == ["POST"]


def test_a_consent_that_lost_the_permission_meanwhile_is_refused_when_it_sends(world: ProviderWorld) -> None:
    connection_id = person(world, UPLOADING)
    hand_in(world, ready(composed()))
    narrow = world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.change(connection_id, narrow)
    world.consent_anew(connection_id, narrow)

    world.send()

    code, said = last_attempt(world)
    assert (world.states(), code) == (["failed"], "graph.message_too_large")
    assert said.endswith("at once, without Mail.ReadWrite")
    assert world.microsoft.messages == []


def test_a_signed_message_is_refused_even_where_attachments_are_uploaded(world: ProviderWorld) -> None:
    person(world, UPLOADING)
    signed = composed().replace(b"Content-Type: multipart/mixed", b"Content-Type: multipart/signed")

    said = refusal(world, ready(signed))

    assert "takes 3,000,000 besides attachments that can be uploaded" in said
    assert "signed or encrypted" in said


def test_the_limit_counts_what_leaves_to_the_last_byte(world: ProviderWorld) -> None:
    person(world)
    added = len(b"From: portal@contoso.test\r\n") + len(b"Bcc: audit@contoso.test\r\n")
    head = b"To: ada@contoso.test\r\nSubject: x\r\n\r\n"
    fitting = head + b"x" * (LIMIT - added - len(head))

    said = refusal(world, ready(fitting + b"x"))
    hand_in(world, ready(fitting))
    world.send()

    [message] = world.microsoft.wait_for_messages(1)
    assert "it has 3,000,001 bytes" in said
    assert (message.how, len(message.content)) == ("mime", LIMIT)


def test_a_message_that_names_its_connection_has_that_ones_limit(world: ProviderWorld) -> None:
    large_for = person(world, name="Second", role=Role.AVAILABLE)
    person(world, UPLOADING)

    said = refusal(world, ready(composed(), route=f"connection:{large_for}"))
    hand_in(world, ready(composed()))

    assert "by the connection Second" in said


def test_every_form_goes_by_the_same_door(world: ProviderWorld) -> None:
    connection_id = person(world, UPLOADING)
    values = {"name": "Ada", "portal_url": "http://localhost", "changed_at": "today", "contact": "Zoë " * 600_000}
    usual: dict[str, Any] = {"to": Mailbox("ada@contoso.test"), "now": datetime.now(UTC)}

    with world.app.app_context(), unit_of_work() as session:
        prepare = world.app.extensions["account_mail"].prepare
        with pytest.raises(mail_service.NotAccepted, match="too large"):
            prepare("password_changed", values=values, session=session, **usual)
        with pytest.raises(mail_service.NotAccepted, match="too large"):
            mail_service.prepare_test(
                connection_id=connection_id,
                values=values,
                session=session,
                message_id_domain="contoso.test",
                requested_by=None,
                wording="password_changed",
                **usual,
            )


def test_gmail_has_its_own_limit(world: ProviderWorld) -> None:
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    head = b"To: ada@contoso.test\r\nSubject: x\r\n\r\n"

    said = refusal(world, ready(head + bytes(LARGEST_AT_GMAIL)))
    hand_in(world, ready(composed()))

    assert "and Gmail, by the connection Main, takes 36,700,160." in said
    assert queued(world) == 1


def test_where_mail_leaves_by_smtp_no_limit_is_known_before(world: ProviderWorld) -> None:
    with SMTPServer(dialect="exchange") as server:
        person(world, by_smtp(PERSON_AT_MICROSOFT, server))
        hand_in(world, ready(composed()))
    create(world.app, smtp_values("Other", role=Role.DEFAULT))
    hand_in(world, ready(composed()))

    assert queued(world) == 2


def test_a_limit_of_a_fallback_is_none_of_the_route(world: ProviderWorld) -> None:
    person(world, name="Second", role=Role.FALLBACK, fallback_order=1)
    create(world.app, smtp_values("First", role=Role.DEFAULT))

    hand_in(world, ready(composed()))

    assert queued(world) == 1


def test_without_any_way_out_size_is_no_reason_to_refuse(world: ProviderWorld) -> None:
    hand_in(world, ready(composed()))

    assert queued(world) == 1


@pytest.mark.parametrize(
    ("method", "granted", "expected"),
    [
        (Method.MICROSOFT, "mail.send mail.readwrite", True),
        (Method.MICROSOFT, "https://graph.microsoft.us/Mail.Send https://graph.microsoft.us/Mail.ReadWrite", True),
        (Method.MICROSOFT, "Mail.Send Mail.ReadWrite.Shared Mail.Read", False),
        (Method.MICROSOFT, "", False),
        (Method.MICROSOFT_APP, "https://graph.microsoft.com/.default Mail.Send", False),
        (Method.MICROSOFT_APP, "https://graph.microsoft.com/.default User.Read.All", True),
    ],
)
def test_the_permission_is_known_in_whatever_spelling(method: Method, granted: str, expected: bool) -> None:
    assert may_upload(method, frozenset(granted.split())) is expected


def test_who_is_asked_to_let_attachments_be_uploaded_is_told_what_that_means() -> None:
    [permission] = explained(("https://graph.microsoft.com/Mail.ReadWrite",))

    assert "drafts of messages over 3 MB" in str(permission.meaning)
