"""`portal user reset-factors`: the way back in for somebody who lost the second factor."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal.accounts import people, second_factor, sessions
from portal.accounts.models import UserSession
from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.factors import add_app, add_codes
from tests.cli.conftest import Portal

ADA = "ada@contoso.test"


@pytest.fixture
def added(portal: Portal) -> None:
    portal("user", "add", ADA, "--role", "admin", "--password-stdin", stdin="correct horse battery staple 9\n")


@pytest.mark.usefixtures("added")
def test_every_factor_goes_and_every_session_ends(portal: Portal, app: Flask, engine: Engine) -> None:
    with app.app_context():
        ada = people.find(db.session(), ADA)
        assert ada is not None
        with unit_of_work() as session:
            sessions.start(session, ada.id, address="", agent="", now=datetime.now(UTC))
    add_app(app, ada.id)
    add_codes(app, ada.id)

    done = portal("user", "reset-factors", "ADA@contoso.test")

    assert (done.exit_code, done.output) == (
        0,
        "ada@contoso.test has no second factor any more, and was signed out everywhere.\n",
    )
    with app.app_context():
        assert second_factor.of(db.session(), ada.id) == second_factor.Factors(None, (), 0)
    with engine.connect() as connection:
        assert connection.scalar(select(UserSession.ended_at)) is not None
        last = connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.id.desc())).first()
    assert last is not None
    assert (last.action, last.actor_name, last.subject) == ("user.second_factor_reset", "command line", ADA)


@pytest.mark.usefixtures("added")
def test_who_has_none_loses_none(portal: Portal) -> None:
    refused = portal("user", "reset-factors", ADA)

    assert (refused.exit_code, refused.stderr) == (1, "Error: ada@contoso.test has no second factor\n")


def test_who_is_unknown_is_said_so(portal: Portal) -> None:
    refused = portal("user", "reset-factors", "eve@contoso.test")

    assert (refused.exit_code, refused.stderr) == (1, "Error: there is no account with the address eve@contoso.test\n")
