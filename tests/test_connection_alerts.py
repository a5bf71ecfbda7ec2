"""Administrators are told by mail of a paused connection: once, by another one that works, and never in circles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Row, select

from portal import audit, connections, email_settings
from portal.accounts.models import User
from portal.connection_alerts import tell_administrators
from portal.connections.provider_values import ProviderValues, SendThrough
from portal.connections.values import ConnectionValues, Method, Role, SecretChange
from portal.database import writing
from portal.email_settings import EmailSettings
from portal.outbox import Pause, bodies, pausing, worker
from portal.outbox.models import Delivery, Message, MessageBody
from portal.outbox.pauses import Cause
from portal.outbox.settings import WorkerSettings
from portal.transaction import unit_of_work
from portal.transports import (
    ConnectionFault,
    QuotaReached,
    Reply,
    SenderRefused,
    Step,
    TransientError,
    TransportError,
)
from portal.transports.smtp_settings import Security
from portal.worker_process import run_worker
from tests.connections.making import CONTOSO, create, engine_of, installation_of, queue_mail, replaced, smtp_values
from tests.outside.smtp_server import SMTPServer

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
REFUSED = SenderRefused(Step.SENDER, code="microsoft.send_as_denied", reply=Reply(550, "no", "5.7.60"))
BAD_PASSWORD = ConnectionFault(
    Step.AUTHENTICATE, code="smtp.bad_credentials", reply=Reply(535, "authentication failed", "5.7.8")
)


@pytest.fixture
def portal(app: Flask) -> Flask:
    """With two administrators at work, one who was locked out, and a person of the helpdesk."""
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, NOW)
        for name, role, is_disabled in (
            ("ada", "admin", False),
            ("bob", "admin", False),
            ("eve", "admin", True),
            ("hal", "helpdesk", False),
        ):
            email = f"{name}@contoso.test"
            session.add(
                User(email=email, email_key=email, name=name, role=role, is_disabled=is_disabled, created_at=NOW)
            )
    return app


@pytest.fixture
def broken() -> Iterator[SMTPServer]:
    """A server that refuses every sign-in."""
    with SMTPServer(accounts={"relay": "another"}) as server:
        yield server


@pytest.fixture
def sound() -> Iterator[SMTPServer]:
    with SMTPServer(accounts={"relay": "geheim"}) as server:
        yield server


def connect(app: Flask, name: str, server: SMTPServer | None = None, *, role: Role, **changes: Any) -> UUID:
    """A connection to the server, or to one that nobody will ask."""
    host, port = (server.host, server.port) if server else ("smtp.contoso.test", 587)
    smtp = replace(CONTOSO, host=host, port=port, security=Security.NONE)
    return create(app, smtp_values(name, smtp, role=role, **changes), replaced("geheim"))


def send_what_is_due(app: Flask, now: datetime) -> None:
    """One round of the worker, which tells of pauses."""
    engine, installation = engine_of(app), installation_of(app)
    worker.once(
        engine,
        box=installation.box,
        ways_out=partial(connections.ways_out, engine, installation=installation),
        open_transport=partial(connections.open_transport, engine, installation=installation),
        on_paused=partial(tell_administrators, app),
        now=now,
    )


def alerts(app: Flask) -> list[Row[Any]]:
    """Route, recipients and state of every alert, in the order of their recipients."""
    with engine_of(app).connect() as connection:
        found = connection.execute(
            select(Message.route, Message.rcpt_to, Delivery.state)
            .join(Delivery, Delivery.message_id == Message.id)
            .where(Message.kind == "connection_alert")
        )
        return sorted(found, key=lambda row: (row.rcpt_to, row.state))


def pause_of(error: TransportError = BAD_PASSWORD, *, cause: Cause = Cause.FAULT, since: datetime = NOW) -> Pause:
    said = str(error.reply or error.seen)
    return Pause(cause, error.code, error.step, said, since, since + timedelta(minutes=5))


def pause(app: Flask, connection_id: UUID, error: TransportError = BAD_PASSWORD, *, sender: str = "") -> None:
    with writing(engine_of(app)).begin() as connection:
        pausing.note_error(connection, connection_id, error, sender=sender, is_probe=False, now=NOW)


def text_of_an_alert(app: Flask) -> str:
    """What stands in the text part of one that waits."""
    with engine_of(app).connect() as connection:
        body = connection.execute(select(MessageBody.__table__)).first()
    assert body is not None
    content = bodies.unpack(body.content, body.coding, message_id=body.message_id, box=installation_of(app).box)
    assert isinstance(content, bytes)
    return text_of(content)


def text_of(content: bytes) -> str:
    part = parsed(content).get_body(("plain",))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


def parsed(content: bytes) -> EmailMessage:
    found = message_from_bytes(content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_each_administrator_is_told_what_happened_and_what_to_do_by_a_connection_that_works(
    portal: Flask, broken: SMTPServer, sound: SMTPServer
) -> None:
    main = connect(portal, "Main", broken, role=Role.DEFAULT)
    connect(portal, "Spare", sound, role=Role.AVAILABLE, from_address="spare@contoso.test")
    queue_mail(portal)

    send_what_is_due(portal, datetime.now(UTC))
    send_what_is_due(portal, datetime.now(UTC))

    messages = sorted(sound.messages, key=lambda message: message.rcpt_to)
    assert [message.rcpt_to for message in messages] == [("ada@contoso.test",), ("bob@contoso.test",)]
    mail = parsed(messages[0].content)
    sentences = " ".join(text_of(messages[0].content).split())
    assert (mail["Subject"], mail["To"]) == ("Mail through “Main” is waiting", "ada <ada@contoso.test>")
    assert mail["From"] == "spare@contoso.test"
    assert "does not accept the user name relay with this password." in sentences
    assert "Who can mend it: You. Type user name and password again." in sentences
    assert "The server said: 535 5.7.8" in sentences
    assert f"http://localhost/connections/{main}" in sentences


def test_the_worker_of_the_portal_tells_of_pauses(portal: Flask, broken: SMTPServer, sound: SMTPServer) -> None:
    connect(portal, "Main", broken, role=Role.DEFAULT)
    connect(portal, "Spare", sound, role=Role.AVAILABLE)
    queue_mail(portal)
    stop = threading.Event()
    quick = WorkerSettings(look_every=timedelta(seconds=0.05), sweep_every=timedelta(seconds=0.2))

    running = threading.Thread(target=run_worker, args=(portal, stop), kwargs={"settings": quick})
    running.start()
    try:
        messages = sound.wait_for_messages(2)
    finally:
        stop.set()
        running.join()

    assert {message.rcpt_to[0] for message in messages} == {"ada@contoso.test", "bob@contoso.test"}


def test_probes_that_fail_are_not_told(portal: Flask, broken: SMTPServer, sound: SMTPServer) -> None:
    connect(portal, "Main", broken, role=Role.DEFAULT)
    connect(portal, "Spare", sound, role=Role.AVAILABLE)
    queue_mail(portal)

    begun = datetime.now(UTC)
    for minutes in (0, 30, 60, 90):
        send_what_is_due(portal, begun + timedelta(minutes=minutes))

    assert len([command for command in broken.commands if command.startswith("AUTH")]) >= 4
    assert len(alerts(portal)) == 2


def test_an_unreachable_server_is_told_in_the_portals_own_words(portal: Flask) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    connect(portal, "Spare", role=Role.AVAILABLE)
    refused = TransientError(Step.CONNECT, code="network.connection_refused", seen="connection refused")

    tell_administrators(portal, main, pause_of(refused, cause=Cause.UNREACHABLE), NOW)

    text = " ".join(text_of_an_alert(portal).split())
    assert "nothing accepts connections on port 587" in text
    assert "The server said" not in text


def test_of_a_providers_connection_the_mailbox_is_named_that_the_reply_is_about(portal: Flask) -> None:
    own = ProviderValues(tenant_id="contoso.test", mailbox="portal@contoso.test", send_through=SendThrough.SMTP)
    values = ConnectionValues(name="Main", method=Method.MICROSOFT, role=Role.DEFAULT, microsoft=own)
    main = create(portal, values, SecretChange())
    connect(portal, "Spare", role=Role.AVAILABLE)
    said = "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."
    disabled = ConnectionFault(
        Step.AUTHENTICATE, code="microsoft.smtp_auth_disabled", reply=Reply(535, said, "5.7.139")
    )

    tell_administrators(portal, main, pause_of(disabled), NOW)

    text = " ".join(text_of_an_alert(portal).split())
    assert "Sign-in by SMTP is switched off for the mailbox portal@contoso.test" in text
    assert f"The server said: 535 5.7.139 {said}" in text


def test_what_the_table_of_diagnoses_does_not_know_is_told_in_the_words_of_the_pause(portal: Flask) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    connect(portal, "Spare", role=Role.AVAILABLE)
    unknown = ConnectionFault(Step.CONTENT, code="new.code", reply=Reply(554, "account on ice", "5.9.9"))

    tell_administrators(portal, main, pause_of(unknown), NOW)

    text = " ".join(text_of_an_alert(portal).split())
    assert "cannot send until its settings or its account are mended. It reported: 554 5.9.9 account on ice" in text
    assert "Open the connection and check it: the step that fails says what is wrong." in text


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (REFUSED, Cause.SENDER),
        (QuotaReached(Step.SENDER, code="smtp.quota", retry_after=HOUR, reply=Reply(432, "slow")), Cause.QUOTA),
    ],
    ids=["refused sender", "quota"],
)
def test_what_is_no_fault_of_the_connection_is_not_told(portal: Flask, error: TransportError, cause: Cause) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    connect(portal, "Spare", role=Role.AVAILABLE)

    tell_administrators(portal, main, pause_of(error, cause=cause), NOW)

    assert alerts(portal) == []


def test_the_default_carries_the_alert_of_another(portal: Flask) -> None:
    connect(portal, "Main", role=Role.DEFAULT)
    default = connect(portal, "Zebra", role=Role.DEFAULT)
    spare = connect(portal, "Spare", role=Role.FALLBACK, fallback_order=1)

    tell_administrators(portal, spare, pause_of(), NOW)

    assert {row.route for row in alerts(portal)} == {f"connection:{default}"}


def test_fallbacks_carry_it_in_their_order_before_the_others_by_name(portal: Flask) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    made = [
        connect(portal, "Y", role=Role.FALLBACK, fallback_order=1),
        connect(portal, "X", role=Role.FALLBACK, fallback_order=2),
        connect(portal, "A", role=Role.AVAILABLE),
        connect(portal, "B", role=Role.AVAILABLE),
    ]

    chosen = []
    for one in made:
        tell_administrators(portal, main, pause_of(), datetime.now(UTC) + timedelta(hours=2 * len(chosen)))
        chosen.append(next(row.route for row in alerts(portal) if row.state == "queued"))
        pause(portal, one)

    assert chosen == [f"connection:{one}" for one in made]


def test_a_connection_that_only_refuses_somebody_else_carries_it(portal: Flask) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    spare = connect(portal, "Spare", role=Role.AVAILABLE)
    pause(portal, spare, REFUSED, sender="boss@contoso.test")

    tell_administrators(portal, main, pause_of(), NOW)

    assert {row.route for row in alerts(portal)} == {f"connection:{spare}"}


def _draft(app: Flask) -> None:
    connect(app, "Spare", role=Role.DRAFT)


def _without_password(app: Flask) -> None:
    create(app, smtp_values("Spare", role=Role.AVAILABLE), SecretChange())


def _without_sender(app: Flask) -> None:
    connect(app, "Spare", role=Role.AVAILABLE, from_address="")


def _paused(app: Flask) -> None:
    pause(app, connect(app, "Spare", role=Role.AVAILABLE))


def _refusing_its_own_sender(app: Flask) -> None:
    pause(app, connect(app, "Spare", role=Role.AVAILABLE), REFUSED, sender="portal@contoso.test")


def _none_but_the_built_in_that_captures(app: Flask) -> None:
    """That one is there from the start."""


@pytest.mark.parametrize(
    "make_another",
    [
        _draft,
        _without_password,
        _without_sender,
        _paused,
        _refusing_its_own_sender,
        _none_but_the_built_in_that_captures,
    ],
)
def test_where_no_other_connection_works_nothing_is_queued(
    portal: Flask, make_another: Callable[[Flask], None]
) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    make_another(portal)

    tell_administrators(portal, main, pause_of(), NOW)

    assert alerts(portal) == []


def test_two_broken_connections_tell_of_each_other_once_and_then_rest(portal: Flask, broken: SMTPServer) -> None:
    connect(portal, "Main", broken, role=Role.DEFAULT)
    spare = connect(portal, "Spare", broken, role=Role.AVAILABLE)
    queue_mail(portal)

    begun = datetime.now(UTC)
    for minutes in range(0, 120, 10):
        send_what_is_due(portal, begun + timedelta(minutes=minutes))

    assert [row.route for row in alerts(portal)] == [f"connection:{spare}"] * 2


def test_a_server_that_comes_and_goes_is_told_three_times_an_hour(portal: Flask) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    connect(portal, "Spare", role=Role.AVAILABLE)

    for minutes in range(0, 59, 5):
        at = NOW + timedelta(minutes=minutes)
        tell_administrators(portal, main, pause_of(since=at), at)
    within_the_hour = len(alerts(portal))
    later = NOW + timedelta(minutes=61)
    tell_administrators(portal, main, pause_of(since=later), later)

    assert within_the_hour == 3 * 2
    assert len(alerts(portal)) == 4 * 2


def test_a_newer_alert_takes_the_place_of_one_that_still_waits(portal: Flask) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    connect(portal, "Spare", role=Role.AVAILABLE)

    for minutes in (0, 5):
        at = NOW + timedelta(minutes=minutes)
        tell_administrators(portal, main, pause_of(since=at), at)

    assert [row.state for row in alerts(portal)] == ["cancelled", "queued"] * 2


def test_while_sending_is_switched_off_nothing_is_queued(portal: Flask) -> None:
    main = connect(portal, "Main", role=Role.DEFAULT)
    connect(portal, "Spare", role=Role.AVAILABLE)
    with portal.app_context(), unit_of_work() as session:
        email_settings.save(session, EmailSettings(enabled=False), actor=audit.COMMAND_LINE, now=NOW)

    tell_administrators(portal, main, pause_of(), NOW)

    assert alerts(portal) == []


def test_a_connection_that_was_deleted_meanwhile_is_not_told(portal: Flask) -> None:
    connect(portal, "Spare", role=Role.DEFAULT)

    tell_administrators(portal, UUID(int=1), pause_of(), NOW)

    assert alerts(portal) == []
