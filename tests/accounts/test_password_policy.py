from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal.accounts import password_policy
from portal.accounts.password_patterns import Pattern
from portal.accounts.password_rules import WeakPassword
from portal.accounts.recovery_models import FormerPassword
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import NOW, PASSWORD, submit
from tests.accounts.test_recovery_settings import settle

PASSWORDS = ["plum-violin-harbour-42", "cedar-window-trumpet-17", "marble-kettle-orchard-93", "ribbon-falcon-lagoon-58"]


def change(client: FlaskClient, current: str, new: str) -> TestResponse:
    data = {"current_password": current, "password": new}
    return submit(client, "/profile", data, to="/profile/password")


def kept(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(FormerPassword)) or 0


def test_the_last_passwords_may_not_come_back_and_older_ones_may(
    app: Flask, engine: Engine, ada_client: FlaskClient
) -> None:
    settle(app, kept_passwords=2)
    before, present = PASSWORD, PASSWORD
    for new in PASSWORDS[:3]:
        assert change(ada_client, present, new).status_code == 303
        before, present = present, new

    refused = change(ada_client, present, before)

    assert refused.status_code == 422
    assert "You had this password before. The last 2 may not come back" in refused.get_data(as_text=True)
    assert kept(engine) == 2
    assert change(ada_client, present, PASSWORD).status_code == 303


def test_no_password_is_kept_unless_asked_for_and_all_go_when_it_is_switched_off(
    app: Flask, engine: Engine, ada_client: FlaskClient
) -> None:
    change(ada_client, PASSWORD, PASSWORDS[0])
    by_default = kept(engine)
    settle(app, kept_passwords=3)
    change(ada_client, PASSWORDS[0], PASSWORDS[1])
    while_on = kept(engine)
    settle(app, kept_passwords=0)
    change(ada_client, PASSWORDS[1], PASSWORDS[2])

    assert (by_default, while_on, kept(engine)) == (0, 1, 0)


def test_only_the_own_former_passwords_count(app: Flask, ada: UUID) -> None:
    settle(app, kept_passwords=5)
    with app.app_context(), unit_of_work() as session:
        for number in range(7):
            password_policy.keep_former(session, ada, f"hash {number}", now=NOW + timedelta(days=number))

    with app.app_context():
        stored = db.session().scalars(select(FormerPassword.password_hash)).all()
        password_policy.require_allowed(
            db.session(), PASSWORDS[0], about=(), public_host="localhost", user_id=UUID(int=7)
        )
    assert sorted(stored) == [f"hash {number}" for number in range(2, 7)]


def test_the_organisations_own_rules_hold_with_their_own_words(app: Flask, ada_client: FlaskClient) -> None:
    settle(app, shortest=20, patterns=(Pattern("[0-9]", "Use a digit."), Pattern("[A-Z]", "Use 100% of a capital.")))

    short = change(ada_client, PASSWORD, "plum-violin-42").get_data(as_text=True)
    plain = change(ada_client, PASSWORD, "plum-violin-harbour").get_data(as_text=True)
    no_digit = change(ada_client, PASSWORD, "plum-violin-harbour-lamp").get_data(as_text=True)
    no_capital = change(ada_client, PASSWORD, "plum-violin-harbour-42").get_data(as_text=True)

    assert "Use at least 20 characters: this has 14." in short
    assert "Use at least 20 characters: this has 19." in plain
    assert "Use a digit." in no_digit
    assert "Use 100% of a capital." in no_capital
    assert change(ada_client, PASSWORD, "Plum-violin-harbour-42").status_code == 303


def test_a_shorter_length_than_the_usual_one_can_be_asked_for(app: Flask) -> None:
    settle(app, shortest=8)

    with app.app_context():
        password_policy.require_allowed(db.session(), "kV9#pq2!xz", about=(), public_host="localhost")
        with pytest.raises(WeakPassword):
            password_policy.require_allowed(db.session(), "kV9#pq2", about=(), public_host="localhost")
