"""The states that pages show: of one connection, and of mail as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from portal import audit, connections, email_settings
from portal.connections import MailState
from portal.connections.smtp_values import SMTPValues
from portal.connections.states import State, states_of
from portal.connections.values import Role, SecretChange
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from tests.connections.making import (
    CONTOSO,
    NOW,
    change,
    create,
    installation_of,
    queue_mail,
    replaced,
    send_what_is_due,
    smtp_values,
    stored,
)
from tests.outside.smtp_server import SMTPServer


def state(app: Flask, name: str = "Main") -> State:
    one = stored(app, name)
    with app.app_context():
        return states_of(db.session(), (one,), installation=installation_of(app))[one.id].state


def mail_state(app: Flask) -> MailState:
    with app.app_context():
        return connections.mail_state(db.session())


def at(server: SMTPServer) -> SMTPValues:
    return replace(CONTOSO, host=server.host, port=server.port, security=Security.NONE)


def pause(app: Flask, server: SMTPServer) -> None:
    """The server no longer lets the default connection sign in, and the worker finds out."""
    server.on("AUTH", "535 5.7.8 wrong")
    queue_mail(app)
    send_what_is_due(app)


@pytest.mark.parametrize(
    ("role", "secret", "expected"),
    [
        (Role.AVAILABLE, replaced(), State.READY),
        (Role.AVAILABLE, SecretChange(), State.NEEDS_SECRET),
        (Role.DRAFT, replaced(), State.DRAFT),
        (Role.DRAFT, SecretChange(), State.DRAFT),
    ],
)
def test_a_connection_is_shown_in_its_state(app: Flask, role: Role, secret: SecretChange, expected: State) -> None:
    create(app, smtp_values(role=role), secret)

    assert state(app) is expected


def test_a_faulty_connection_is_paused_until_it_is_changed(portal: Flask, server: SMTPServer) -> None:
    connection_id = create(portal, smtp_values(smtp=at(server), role=Role.DEFAULT))
    pause(portal, server)
    assert state(portal) is State.PAUSED

    change(portal, connection_id, smtp_values(smtp=at(server), role=Role.DEFAULT), replaced("the right one"))

    assert state(portal) is State.READY


def test_a_fresh_portal_captures(portal: Flask) -> None:
    assert mail_state(portal) is MailState.CAPTURES


def test_mail_is_ready_with_a_default_that_sends(portal: Flask) -> None:
    create(portal, smtp_values(role=Role.DEFAULT))

    assert mail_state(portal) is MailState.READY


def test_mail_of_a_paused_default_waits_and_counts_as_ready(portal: Flask, server: SMTPServer) -> None:
    create(portal, smtp_values(smtp=at(server), role=Role.DEFAULT))

    pause(portal, server)

    assert mail_state(portal) is MailState.READY


@pytest.mark.parametrize("secret", [SecretChange()], ids=["password missing"])
def test_a_default_without_its_password_is_no_way_out(portal: Flask, secret: SecretChange) -> None:
    create(portal, smtp_values(role=Role.DEFAULT), secret)

    assert mail_state(portal) is MailState.NO_WAY_OUT


def test_without_a_default_there_is_no_way_out(app: Flask) -> None:
    assert mail_state(app) is MailState.NO_WAY_OUT


def test_switched_off_goes_before_everything(portal: Flask) -> None:
    with portal.app_context(), unit_of_work() as session:
        email_settings.save(session, EmailSettings(enabled=False), actor=audit.COMMAND_LINE, now=NOW)

    assert mail_state(portal) is MailState.SWITCHED_OFF


def banners(app: Flask) -> list[str]:
    with app.app_context():
        found = connections.banners(db.session(), installation=installation_of(app))
        return [str(banner.text) for banner in found]


def test_administrators_are_told_of_a_paused_connection(portal: Flask, server: SMTPServer) -> None:
    create(portal, smtp_values(smtp=at(server), role=Role.DEFAULT))

    pause(portal, server)

    [text] = banners(portal)
    assert text.startswith("Main is paused.")
    assert "535 5.7.8 wrong" in text


def test_administrators_are_told_of_a_missing_default(app: Flask) -> None:
    assert banners(app) == ["No connection is the default, so mail waits here."]


def test_a_healthy_portal_has_no_banner(portal: Flask) -> None:
    create(portal, smtp_values(role=Role.DEFAULT))

    assert banners(portal) == []


def pill(app: Flask) -> str:
    with app.app_context():
        return str(connections.mail_status(db.session(), installation=installation_of(app)).label)


def test_the_pill_says_that_mail_stays_here(portal: Flask) -> None:
    assert pill(portal) == "Mail stays here"


def test_the_pill_says_that_mail_leaves_until_its_connection_is_paused(portal: Flask, server: SMTPServer) -> None:
    create(portal, smtp_values(smtp=at(server), role=Role.DEFAULT))
    assert pill(portal) == "Mail leaves"

    pause(portal, server)

    assert pill(portal) == "Mail is paused"


def test_the_pill_says_that_mail_cannot_leave(portal: Flask) -> None:
    create(portal, smtp_values(role=Role.DEFAULT), SecretChange())

    assert pill(portal) == "Mail cannot leave"
