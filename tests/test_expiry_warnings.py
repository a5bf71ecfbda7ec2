"""Administrators are warned by mail of a secret or certificate that ends: at each stage once, by what works."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Row, delete, select

from portal import connections, email_settings
from portal.accounts.models import User
from portal.connections.expiry_stages import ExpiryWarning, note_expiry_warning
from portal.connections.models import SecretExpiryWarning
from portal.connections.oauth.microsoft_certificates import facts_of, make_key_pair
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.secret_expiry import Expiry, expiry_of
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import (
    CLIENT_SECRET,
    NEXT_CLIENT_SECRET,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
    SecretChange,
)
from portal.expiry_warnings import warn_of_expiries
from portal.outbox.models import Delivery, Message
from portal.outbox.settings import WorkerSettings
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from portal.worker_process import jobs, run_worker
from tests.connections import making
from tests.connections.making import engine_of, installation_of, replaced, smtp_values, stored
from tests.outside.smtp_server import SMTPServer
from tests.test_connection_alerts import parsed, text_of, text_of_an_alert

LAST_DAY = date(2027, 3, 31)
SECRET_ID = "0a1b2c3d-0000-4000-8000-000000000001"
ENTRA = ProviderValues(
    client_id="6f1c6a1e", tenant_id="contoso.test", mailbox="portal@contoso.test", secret_expires_on=str(LAST_DAY)
)


@pytest.fixture
def portal(app: Flask) -> Flask:
    """With two administrators at work, one who was locked out, and a person of the helpdesk."""
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, days_before(60))
        for name, role, is_disabled in (
            ("ada", "admin", False),
            ("bob", "admin", False),
            ("eve", "admin", True),
            ("hal", "helpdesk", False),
        ):
            email = f"{name}@contoso.test"
            session.add(
                User(
                    email=email,
                    email_key=email,
                    name=name,
                    role=role,
                    is_disabled=is_disabled,
                    created_at=days_before(60),
                )
            )
    return app


def days_before(days: int, *, last_day: date = LAST_DAY) -> datetime:
    return datetime.combine(last_day, time(9, 30), UTC) - timedelta(days=days)


def entra(
    app: Flask, name: str = "Graph", *, role: Role = Role.AVAILABLE, own: ProviderValues = ENTRA, next_secret: str = ""
) -> UUID:
    """An application of Microsoft's with a stored secret, and the next one where that is given."""
    values = ConnectionValues(
        name=name, method=Method.MICROSOFT_APP, role=role, microsoft_app=own, from_address="portal@contoso.test"
    )
    given = {CLIENT_SECRET: "canary~one"} | ({NEXT_CLIENT_SECRET: next_secret} if next_secret else {})
    changes = {field: SecretChange(SecretAction.REPLACE, secret) for field, secret in given.items()}
    with app.app_context(), unit_of_work() as session:
        box = installation_of(app).box
        return making.saving.create(session, values, changes, box=box, actor=making.ADA, now=days_before(60))


def spare(app: Flask, server: SMTPServer | None = None) -> UUID:
    """A connection that works, or seems to as long as nobody sends by it."""
    host, port = (server.host, server.port) if server else ("smtp.contoso.test", 587)
    smtp = SMTPValues(host=host, port=port, security=Security.NONE, username="relay")
    return making.create(app, smtp_values("Spare", smtp, role=Role.AVAILABLE), replaced("geheim"))


def warn(app: Flask, days: int) -> None:
    warn_of_expiries(app, days_before(days))


def warnings(app: Flask) -> list[Row[Any]]:
    """Route, recipients, subject's source and state of every warning, in the order in which they were queued."""
    with engine_of(app).connect() as connection:
        found = connection.execute(
            select(Message.route, Message.rcpt_to, Message.subject, Message.created_at, Delivery.state)
            .join(Delivery, Delivery.message_id == Message.id)
            .where(Message.kind == "expiry_warning")
            .order_by(Message.created_at, Message.id)
        )
        return list(found)


def told(app: Flask) -> list[str]:
    """What one administrator got, by its subject."""
    return [row.subject for row in warnings(app) if row.rcpt_to == ["ada@contoso.test"]]


@pytest.mark.parametrize(
    ("days", "stage"),
    [(31, None), (30, 30), (15, 30), (14, 14), (8, 14), (7, 7), (2, 7), (1, 1), (0, 1), (-1, 0), (-400, 0)],
)
def test_a_stage_is_reached_on_its_day_and_holds_until_the_next(days: int, stage: int | None) -> None:
    assert Expiry(LAST_DAY, days).stage == stage


def test_each_stage_is_told_once_to_each_administrator(portal: Flask) -> None:
    entra(portal)
    spare(portal)

    for days in range(40, -10, -1):
        warn(portal, days)
        warn(portal, days)

    assert told(portal) == [
        "The client secret of “Graph” expires in 30 days",
        "The client secret of “Graph” expires in 14 days",
        "The client secret of “Graph” expires in 7 days",
        "The client secret of “Graph” expires tomorrow",
        "The client secret of “Graph” has expired",
    ]
    people = [row.rcpt_to[0] for row in warnings(portal)]
    assert sorted(set(people)) == ["ada@contoso.test", "bob@contoso.test"]
    assert len(people) == 2 * 5


@pytest.mark.parametrize(("days", "left"), [(20, "expires in 20 days"), (3, "expires in 3 days"), (0, "expires today")])
def test_a_portal_that_was_away_tells_the_nearest_stage_alone(portal: Flask, days: int, left: str) -> None:
    entra(portal)

    warn(portal, days)

    assert told(portal) == [f"The client secret of “Graph” {left}"]


def test_a_secret_that_is_entered_late_with_less_left_is_told_at_once(portal: Flask) -> None:
    entra(portal)
    warn(portal, 40)

    warn(portal, 5)
    warn(portal, 4)

    assert told(portal) == ["The client secret of “Graph” expires in 5 days"]


def test_another_secret_begins_anew_and_the_former_day_is_not_told_again(portal: Flask) -> None:
    connection_id = entra(portal)
    warn(portal, 7)
    values = stored(portal, "Graph").values
    later = LAST_DAY + timedelta(days=3)

    for day, days in ((later, 6), (LAST_DAY, 5)):
        making.change(
            portal, connection_id, values.with_provider(replace(ENTRA, secret_expires_on=str(day))), SecretChange()
        )
        warn(portal, days)

    assert told(portal) == [
        "The client secret of “Graph” expires in 7 days",
        "The client secret of “Graph” expires in 9 days",
    ]


def test_the_mail_says_which_secret_until_when_what_stops_and_what_to_do(portal: Flask) -> None:
    connection_id = entra(portal, role=Role.DEFAULT, own=replace(ENTRA, secret_id=SECRET_ID))
    spare(portal)

    warn(portal, 7)

    text = " ".join(text_of_an_alert(portal).split())
    assert "The client secret of “Graph” expires in 7 days" in text
    assert "Last day: 31 March 2027" in text
    assert f"Which one: Secret ID {SECRET_ID}" in text
    assert "This is the default connection: all mail that names no other waits here, or takes the fallback" in text
    assert "the application 6f1c6a1e, Certificates & secrets. Enter its Value in the connection" in text
    assert f"http://localhost/connections/{connection_id}" in text
    assert "canary" not in text


def test_a_certificate_is_named_by_its_thumbprint(portal: Flask) -> None:
    pair = make_key_pair("Mail Portal", now=days_before(60))
    entra(
        portal,
        own=replace(ENTRA, credential=Credential.CERTIFICATE, client_certificate=pair.public_certificate),
    )
    spare(portal)
    ends = facts_of(pair.public_certificate)

    warn_of_expiries(portal, days_before(14, last_day=ends.expires_at.date()))

    text = " ".join(text_of_an_alert(portal).split())
    assert "The certificate of “Graph” expires in 14 days" in text
    assert f"Which one: Thumbprint {ends.thumbprint}" in text
    assert "press “Make a key pair”. Upload the new certificate in the Entra admin center" in text


def test_a_next_secret_that_is_stored_lets_nothing_stop_and_is_to_be_promoted(portal: Flask) -> None:
    entra(portal, next_secret="canary~two")
    spare(portal)

    warn(portal, 1)

    text = " ".join(text_of_an_alert(portal).split())
    assert "Nothing stops as long as the next client secret, which is stored here already, is good." in text
    assert "“Make the next one the client secret”" in text


def test_the_connection_itself_carries_its_warning_while_its_secret_is_good(portal: Flask) -> None:
    own = entra(portal)

    warn(portal, 1)

    assert {row.route for row in warnings(portal)} == {f"connection:{own}"}


def test_another_connection_tells_that_a_secret_has_expired(portal: Flask) -> None:
    entra(portal, role=Role.DEFAULT)
    other = spare(portal)

    warn(portal, -1)

    assert {row.route for row in warnings(portal)} == {f"connection:{other}"}


def test_what_could_not_be_told_is_told_once_something_works(portal: Flask) -> None:
    entra(portal)
    warn(portal, -1)
    before = told(portal)
    spare(portal)

    warn(portal, -2)
    warn(portal, -3)

    assert before == []
    assert told(portal) == ["The client secret of “Graph” has expired"]


def test_while_sending_is_switched_off_nothing_is_told_nor_counted_as_told(portal: Flask) -> None:
    entra(portal)
    switch(portal, enabled=False)
    warn(portal, 7)
    before = told(portal)
    switch(portal, enabled=True)

    warn(portal, 6)

    assert before == []
    assert told(portal) == ["The client secret of “Graph” expires in 6 days"]


def switch(app: Flask, *, enabled: bool) -> None:
    with app.app_context(), unit_of_work() as session:
        settings = replace(email_settings.load(session), enabled=enabled)
        email_settings.save(session, settings, actor=making.ADA, now=days_before(60))


def test_where_nobody_administers_nothing_counts_as_told(portal: Flask) -> None:
    entra(portal)
    with portal.app_context(), unit_of_work() as session:
        session.execute(delete(User))

    warn(portal, 7)

    with engine_of(portal).connect() as connection:
        assert connection.execute(select(SecretExpiryWarning.__table__)).all() == []


def test_of_a_draft_nobody_is_told(portal: Flask) -> None:
    entra(portal, role=Role.DRAFT)
    spare(portal)

    warn(portal, 1)

    assert warnings(portal) == []


def test_a_newer_warning_takes_the_place_of_one_that_still_waits(portal: Flask) -> None:
    entra(portal)
    spare(portal)

    warn(portal, 7)
    warn(portal, 1)

    assert [(row.subject, row.state) for row in warnings(portal) if row.rcpt_to == ["ada@contoso.test"]] == [
        ("The client secret of “Graph” expires in 7 days", "cancelled"),
        ("The client secret of “Graph” expires tomorrow", "queued"),
    ]


def test_mail_and_note_are_one_commit(portal: Flask) -> None:
    entra(portal)
    spare(portal)
    with portal.app_context():
        expiry = expiry_of(stored(portal, "Graph").values, today=days_before(7).date())
    assert expiry is not None
    warning = ExpiryWarning(connection=stored(portal, "Graph"), credential=Credential.SECRET, expiry=expiry, stage=7)

    with pytest.raises(RuntimeError), portal.app_context(), unit_of_work() as session:
        note_expiry_warning(session, warning, now=days_before(7))
        raise RuntimeError("the mail could not be stored")
    warn(portal, 7)

    assert len(told(portal)) == 1


def test_a_connection_that_is_deleted_takes_its_notes_along(portal: Flask) -> None:
    connection_id = entra(portal)
    warn(portal, 7)

    with portal.app_context(), unit_of_work() as session:
        making.saving.delete(session, connection_id, actor=making.ADA, now=days_before(7))

    with engine_of(portal).connect() as connection:
        assert connection.execute(select(SecretExpiryWarning.__table__)).all() == []


def test_the_worker_of_the_portal_sends_the_warning(portal: Flask) -> None:
    today = datetime.now(UTC).date()
    entra(portal, own=replace(ENTRA, secret_expires_on=str(today + timedelta(days=14))), role=Role.FALLBACK)
    stop = threading.Event()
    quick = WorkerSettings(look_every=timedelta(seconds=0.05), sweep_every=timedelta(seconds=0.2))
    with SMTPServer(accounts={"relay": "geheim"}) as server:
        make_default(portal, spare(portal, server))
        running = threading.Thread(target=run_worker, args=(portal, stop), kwargs={"settings": quick})
        running.start()
        try:
            messages = server.wait_for_messages(2)
        finally:
            stop.set()
            running.join()

    mail: EmailMessage = parsed(messages[0].content)
    assert {message.rcpt_to[0] for message in messages} == {"ada@contoso.test", "bob@contoso.test"}
    assert str(mail["Subject"]).startswith("The client secret of “Graph” expires in 1")
    assert "Last day:" in text_of(messages[0].content)


def make_default(app: Flask, connection_id: UUID) -> None:
    values = replace(stored(app, "Spare").values, role=Role.DEFAULT)
    making.change(app, connection_id, values, SecretChange())


def test_the_job_looks_often_enough_for_each_day(portal: Flask) -> None:
    [job] = [job for job in jobs(portal, engine_of(portal)) if job.name == "warn_of_expiries"]

    assert job.every <= timedelta(hours=6)
