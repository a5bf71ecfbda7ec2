"""What the worker is told: the ways of a route, and the transport of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from portal import audit, email_settings
from portal.connections.announcing import banners, mail_status
from portal.connections.states import MailState, mail_state_of
from portal.connections.values import ConnectionValues, Method, Role, SecretChange
from portal.connections.ways_out import AskedWay, open_transport, ways_asked_for, ways_out
from portal.doctor import examine
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.mail.addresses import Mailbox
from portal.outbox.prepared import WaysOut
from portal.secret_box import SecretBox
from portal.transaction import unit_of_work
from portal.transports import ConnectionFault, OutgoingMessage, Verdict
from portal.transports.smtp_settings import Auth, Security
from tests.connections.making import (
    CONTOSO,
    NOW,
    change,
    create,
    engine_of,
    installation_of,
    queue_mail,
    replaced,
    send_what_is_due,
    smtp_values,
    stored,
)
from tests.outside.smtp_server import SMTPServer

MESSAGE = OutgoingMessage("portal@contoso.test", ("ada@contoso.test",), b"Subject: Hello\r\n\r\nHello\r\n")


def ask(app: Flask, route: str = "default") -> WaysOut:
    return ways_out(engine_of(app), route, installation=installation_of(app))


def organisation(app: Flask, **settings: object) -> None:
    with app.app_context(), unit_of_work() as session:
        wanted = EmailSettings(**settings)  # type: ignore[arg-type]
        email_settings.save(session, wanted, actor=audit.COMMAND_LINE, now=NOW)


def test_the_default_route_leads_to_the_default_connection(portal: Flask) -> None:
    create(portal, smtp_values(role=Role.DEFAULT, display_name="Contoso", messages_per_minute=30, max_connections=2))

    [way] = ask(portal).ways

    assert way.name == "Main"
    assert way.from_mailbox == Mailbox("portal@contoso.test", "Contoso")
    assert way.envelope_from == "portal@contoso.test"
    assert way.messages_per_minute == 30
    assert way.max_connections == 2


def test_a_changed_default_acts_at_once(portal: Flask) -> None:
    create(portal, smtp_values("First", role=Role.DEFAULT))
    assert [way.name for way in ask(portal).ways] == ["First"]

    create(portal, smtp_values("Second", role=Role.DEFAULT))

    assert [way.name for way in ask(portal).ways] == ["Second"]


def test_what_the_connection_leaves_empty_is_inherited_field_by_field(portal: Flask) -> None:
    organisation(portal, from_address="org@contoso.test", display_name="Organisation")
    create(portal, smtp_values(role=Role.DEFAULT, from_address="own@contoso.test", envelope_from="bounce@contoso.test"))

    [way] = ask(portal).ways

    assert way.from_mailbox == Mailbox("own@contoso.test", "Organisation")
    assert way.envelope_from == "bounce@contoso.test"


def test_a_fresh_portal_captures_with_a_sender_of_its_own(portal: Flask) -> None:
    [way] = ask(portal).ways

    assert way.name == "built-in"
    assert way.from_mailbox == Mailbox("portal@mail-portal.internal", "Mail Portal")


def test_fallbacks_follow_in_their_order_and_nobody_else(portal: Flask) -> None:
    create(portal, smtp_values("Third", role=Role.FALLBACK, fallback_order=2))
    create(portal, smtp_values("Second", role=Role.FALLBACK, fallback_order=1))
    create(portal, smtp_values("First", role=Role.DEFAULT))
    create(portal, smtp_values("Draft", role=Role.DRAFT))

    assert [way.name for way in ask(portal).ways] == ["First", "Second", "Third"]


def test_fallbacks_are_told_from_the_default(portal: Flask) -> None:
    create(portal, smtp_values("Second", role=Role.FALLBACK, fallback_order=1))
    create(portal, smtp_values("First", role=Role.DEFAULT))

    assert [way.is_fallback for way in ask(portal).ways] == [False, True]


def test_of_what_a_server_asks_for_the_first_stands_in_for_nobody_and_the_others_do(portal: Flask) -> None:
    """Whatever each connection is for elsewhere."""
    spare = create(portal, smtp_values("Spare", role=Role.FALLBACK, fallback_order=1))
    other = create(portal, smtp_values("Other", role=Role.AVAILABLE))
    asked = AskedWay(connection_id=spare, fallback_ids=(other,))

    with portal.app_context():
        ways = ways_asked_for(db.session(), asked, installation=installation_of(portal)).ways

    assert [(way.name, way.is_fallback) for way in ways] == [("Spare", False), ("Other", True)]


def test_a_fallback_without_its_password_is_left_out(portal: Flask) -> None:
    create(portal, smtp_values("Third", role=Role.FALLBACK, fallback_order=2))
    create(portal, smtp_values("Second", role=Role.FALLBACK, fallback_order=1), SecretChange())
    create(portal, smtp_values("First", role=Role.DEFAULT))

    assert [way.name for way in ask(portal).ways] == ["First", "Third"]


def told(app: Flask) -> tuple[str, list[str], MailState, str]:
    """What people see of mail: the pill, the banners, the state that decides on secret kinds, and the doctor's line."""
    with app.app_context():
        session, installation = db.session(), installation_of(app)
        pill = str(mail_status(session, installation=installation).label)
        texts = [str(banner.text) for banner in banners(session, installation=installation)]
        state = mail_state_of(session, installation=installation)
        [line] = [finding.text for finding in examine(app, NOW) if finding.about == "mail"]
    return pill, texts, state, line


@pytest.fixture
def broken() -> Iterator[SMTPServer]:
    """A server that refuses every sign-in."""
    with SMTPServer(accounts={"relay": "another"}) as server:
        yield server


def by(server: SMTPServer, name: str, **changes: Any) -> ConnectionValues:
    return smtp_values(name, replace(CONTOSO, host=server.host, port=server.port, security=Security.NONE), **changes)


def test_mail_leaves_by_the_fallback_while_the_default_is_paused_and_people_are_told(
    portal: Flask, broken: SMTPServer, server: SMTPServer
) -> None:
    create(portal, by(server, "Second", role=Role.FALLBACK, fallback_order=1, from_address="desk@contoso.test"))
    default = create(portal, by(broken, "First", role=Role.DEFAULT))
    queue_mail(portal, "password_reset")

    send_what_is_due(portal)
    pill, texts, state, line = told(portal)

    [message] = server.wait_for_messages(1)
    assert message.mail_from == "desk@contoso.test"
    assert b"From: desk@contoso.test\r\n" in message.content
    assert pill == "Mail leaves by a fallback"
    assert "Mail leaves by Second while First is paused." in texts
    assert state is MailState.READY
    assert line == "leaves by the fallback Second while First cannot send"

    change(portal, default, by(server, "First", role=Role.DEFAULT), replaced())
    assert told(portal)[:2] == ("Mail leaves", [])


def test_mail_leaves_by_the_fallback_while_the_default_lacks_its_password(portal: Flask, server: SMTPServer) -> None:
    create(portal, by(server, "Second", role=Role.FALLBACK, fallback_order=1))
    create(portal, by(server, "First", role=Role.DEFAULT), SecretChange())
    queue_mail(portal, "password_reset")

    send_what_is_due(portal)
    pill, texts, state, _ = told(portal)

    assert len(server.wait_for_messages(1)) == 1
    assert pill == "Mail leaves by a fallback"
    assert "Mail leaves by Second while First cannot send." in texts
    assert state is MailState.READY


def test_while_the_default_sends_nobody_is_told_of_fallbacks(portal: Flask, server: SMTPServer) -> None:
    create(portal, by(server, "Second", role=Role.FALLBACK, fallback_order=1))
    create(portal, by(server, "First", role=Role.DEFAULT))

    assert told(portal) == ("Mail leaves", [], MailState.READY, "leaves by the default connection")


def test_a_fallback_without_a_default_is_no_way_out(app: Flask, server: SMTPServer) -> None:
    create(app, by(server, "Second", role=Role.FALLBACK, fallback_order=1))

    assert told(app)[2] is MailState.NO_WAY_OUT


def test_where_the_fallback_is_paused_too_nobody_is_told_that_mail_leaves(portal: Flask, broken: SMTPServer) -> None:
    create(portal, by(broken, "Second", role=Role.FALLBACK, fallback_order=1))
    create(portal, by(broken, "First", role=Role.DEFAULT))
    queue_mail(portal)

    send_what_is_due(portal)
    pill, texts, state, _ = told(portal)

    assert pill == "Mail is paused"
    assert not any("leaves by" in text for text in texts)
    assert state is MailState.READY, "it waits for either"


def test_switched_off_mail_has_no_way_and_says_why(portal: Flask) -> None:
    organisation(portal, enabled=False)

    answer = ask(portal)

    assert answer.ways == ()
    assert answer.is_switched_off
    assert answer.code == "email.switched_off"


def test_a_test_message_leaves_by_a_draft_even_while_sending_is_off(portal: Flask) -> None:
    organisation(portal, enabled=False)
    connection_id = create(portal, smtp_values(role=Role.DRAFT))

    assert [way.name for way in ask(portal, f"connection:{connection_id}").ways] == ["Main"]


def test_without_a_default_there_is_no_way(app: Flask) -> None:
    create(app, smtp_values(role=Role.DRAFT))

    assert ask(app).code == "connections.no_default"


def test_a_default_without_its_password_is_no_way(portal: Flask) -> None:
    create(portal, smtp_values(role=Role.DEFAULT), SecretChange())

    assert ask(portal).code == "connections.needs_secret"


def test_a_route_to_a_deleted_connection_says_so(app: Flask) -> None:
    assert ask(app, "connection:00000000-0000-0000-0000-000000000001").code == "connections.deleted"


def test_the_transport_signs_in_with_the_stored_password(portal: Flask, server: SMTPServer) -> None:
    smtp = replace(CONTOSO, host=server.host, port=server.port, security=Security.NONE)
    create(portal, smtp_values(smtp=smtp, role=Role.DEFAULT))
    [way] = ask(portal).ways

    transport = open_transport(engine_of(portal), way, installation=installation_of(portal))
    report = transport.send(MESSAGE, may_proceed=lambda: True)
    transport.close()

    assert [result.verdict for result in report.recipients] == [Verdict.SENT]
    assert server.messages[0].signed_in_as == "relay"


def test_the_transport_of_a_capturing_connection_keeps_the_message(portal: Flask) -> None:
    [way] = ask(portal).ways

    report = open_transport(engine_of(portal), way, installation=installation_of(portal)).send(
        MESSAGE, may_proceed=lambda: True
    )

    assert report.kept


def test_a_password_that_no_longer_opens_is_a_fault_of_the_connection(portal: Flask) -> None:
    create(portal, smtp_values(role=Role.DEFAULT))
    [way] = ask(portal).ways
    other_key = replace(installation_of(portal), box=SecretBox(["another key of at least 32 characters"]))

    with pytest.raises(ConnectionFault) as fault:
        open_transport(engine_of(portal), way, installation=other_key)

    assert fault.value.code == "settings.needs_secret"


@pytest.fixture
def with_builtin_server(environ: dict[str, str], server: SMTPServer) -> SMTPServer:
    """The operator's built-in service is a server; it stands in the environment before the application starts."""
    environ["PORTAL_BUILTIN_SERVICE"] = f"smtp://relay:geheim@{server.host}:{server.port}?security=none"
    return server


def test_the_built_in_service_can_be_a_server_of_the_operator(
    with_builtin_server: SMTPServer, environ: dict[str, str], portal: Flask
) -> None:
    organisation(portal, from_address="portal@contoso.test")
    [way] = ask(portal).ways

    transport = open_transport(engine_of(portal), way, installation=installation_of(portal))
    transport.send(MESSAGE, may_proceed=lambda: True)
    transport.close()

    assert with_builtin_server.messages[0].signed_in_as == "relay"


def test_no_sign_in_means_no_password(portal: Flask) -> None:
    create(portal, smtp_values(smtp=replace(CONTOSO, auth=Auth.NONE, username=""), role=Role.DEFAULT), SecretChange())

    assert [way.name for way in ask(portal).ways] == ["Main"]
    assert not stored(portal).lacks_secret


def test_a_capturing_connection_may_stand_beside_others(portal: Flask) -> None:
    connection_id = create(portal, ConnectionValues(name="Trial", method=Method.CAPTURE), SecretChange())

    assert [way.name for way in ask(portal, f"connection:{connection_id}").ways] == ["Trial"]


def test_an_unused_password_is_kept_for_later(portal: Flask) -> None:
    create(portal, smtp_values(smtp=replace(CONTOSO, auth=Auth.NONE)), replaced())

    assert stored(portal).password_stored_at is not None
