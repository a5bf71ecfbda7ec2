"""`/profile/second-factor`: setting up, using, losing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from portal.accounts.factor_models import AuthenticatorApp, RecoveryCode
from portal.accounts.models import UserSession
from portal.database import writing
from portal.outbox.models import Message
from tests.accounts.browsing import csrf_token, sign_in, submit
from tests.accounts.factors import (
    OWN,
    actions,
    add_app,
    add_codes,
    give_code,
    give_password,
    shown_codes,
)

APP = f"{OWN}/app"


def begin(client: FlaskClient) -> pyotp.TOTP:
    """Press "Set up an app" and read the key off the page."""
    began = submit(client, OWN, {}, to=f"{APP}/secret")
    assert (began.status_code, began.location) == (303, APP)
    key = re.search(r'id="app-key" value="([A-Z2-7 ]+)"', client.get(APP).text)
    assert key is not None
    return pyotp.TOTP(key[1].replace(" ", ""))


def test_an_app_is_set_up_by_its_first_code_and_the_recovery_codes_are_shown_once(
    app: Flask, ada_client: FlaskClient, engine: Engine
) -> None:
    codes = begin(ada_client)

    done = submit(ada_client, APP, {"code": codes.now()})
    later = ada_client.get(OWN)

    kept = shown_codes(done.text)
    assert (done.status_code, len(kept), done.headers["Cache-Control"]) == (200, 10, "no-store")
    assert shown_codes(later.text) == []
    assert "10 codes left" in later.text
    assert give_code(give_password(app), kept[0]).status_code == 303
    assert "user.second_factor_added" in actions(engine)
    with engine.connect() as connection:
        assert "second_factor_changed" in connection.scalars(select(Message.kind)).all()


def test_the_qr_code_carries_no_style_and_no_script(ada_client: FlaskClient) -> None:
    begin(ada_client)

    drawn = re.search(r"<svg width.*?</svg>", ada_client.get(APP).text, re.DOTALL)

    assert drawn is not None
    assert " style=" not in drawn[0]
    assert "<script" not in drawn[0]
    assert 'fill="#fff"' in drawn[0]


def test_an_app_that_was_never_confirmed_asks_for_nothing(app: Flask, ada_client: FlaskClient) -> None:
    codes = begin(ada_client)

    refused = submit(ada_client, APP, {"code": "000000" if codes.now() != "000000" else "111111"})

    assert refused.status_code == 422
    assert sign_in(app.test_client()).location == "/"


def test_the_key_is_not_shown_any_more_once_the_app_counts(ada_client: FlaskClient) -> None:
    codes = begin(ada_client)
    submit(ada_client, APP, {"code": codes.now()})

    again = ada_client.get(APP)
    begun = submit(ada_client, OWN, {}, to=f"{APP}/secret")

    assert (again.status_code, again.location) == (303, OWN)
    assert begun.location == OWN
    assert codes.secret not in ada_client.get(OWN).text


def test_the_key_is_not_shown_any_more_after_half_an_hour(ada_client: FlaskClient, engine: Engine) -> None:
    codes = begin(ada_client)
    with writing(engine).begin() as connection:
        connection.execute(update(AuthenticatorApp).values(created_at=datetime.now(UTC) - timedelta(minutes=31)))

    assert ada_client.get(APP).location == OWN
    assert ada_client.post(APP, data={"csrf_token": csrf_token(ada_client, OWN), "code": codes.now()}).location == OWN


def test_the_code_that_confirmed_the_app_signs_nobody_in(app: Flask, ada_client: FlaskClient) -> None:
    codes = begin(ada_client)
    code = codes.now()
    submit(ada_client, APP, {"code": code})

    assert give_code(give_password(app), code).status_code == 422


def test_the_key_is_stored_sealed(app: Flask, ada: UUID, engine: Engine) -> None:
    codes = add_app(app, ada)

    with engine.connect() as connection:
        sealed = connection.scalar(select(AuthenticatorApp.sealed))
    assert sealed is not None
    assert sealed.startswith("v1.")
    assert codes.secret not in sealed


def test_a_key_that_was_moved_to_another_row_opens_nothing(app: Flask, ada: UUID, engine: Engine) -> None:
    codes = add_app(app, ada)
    with writing(engine).begin() as connection:
        connection.execute(update(AuthenticatorApp).values(id=UUID(int=1)))

    assert give_code(give_password(app), codes.now()).status_code == 422


def test_removing_the_last_factor_takes_the_recovery_codes_with_it(
    app: Flask, ada: UUID, ada_client: FlaskClient, engine: Engine
) -> None:
    add_app(app, ada)
    add_codes(app, ada)

    page = ada_client.get(f"{APP}/removal")
    removed = submit(ada_client, f"{APP}/removal", {})

    assert "your recovery codes are deleted" in page.text
    assert (removed.status_code, removed.location) == (303, OWN)
    assert sign_in(app.test_client()).location == "/"
    assert "user.second_factor_removed" in actions(engine)
    with engine.connect() as connection:
        assert connection.scalars(select(RecoveryCode.id)).all() == []


def test_what_is_not_there_cannot_be_removed(ada_client: FlaskClient) -> None:
    assert ada_client.get(f"{APP}/removal").status_code == 404
    assert submit(ada_client, OWN, {}, to=f"{APP}/removal").status_code == 404


def test_new_recovery_codes_make_the_former_void(app: Flask, ada: UUID, ada_client: FlaskClient) -> None:
    add_app(app, ada)
    former = add_codes(app, ada)

    renewed = submit(ada_client, OWN, {}, to=f"{OWN}/recovery-codes")

    assert len(shown_codes(renewed.text)) == 10
    assert give_code(give_password(app), former[0]).status_code == 422
    assert give_code(give_password(app), shown_codes(renewed.text)[9]).status_code == 303


def test_there_are_no_recovery_codes_without_a_factor(ada_client: FlaskClient) -> None:
    answer = submit(ada_client, OWN, {}, to=f"{OWN}/recovery-codes")

    assert (answer.status_code, answer.location) == (303, OWN)


@pytest.mark.parametrize(
    "path", ["/app/secret", "/app", "/app/removal", "/passkeys/options", "/passkeys", "/recovery-codes"]
)
def test_the_password_is_asked_for_again_before_any_of_it(
    app: Flask, ada: UUID, ada_client: FlaskClient, engine: Engine, path: str
) -> None:
    add_app(app, ada)
    token = csrf_token(ada_client, OWN)
    with writing(engine).begin() as connection:
        connection.execute(update(UserSession).values(confirmed_at=datetime.now(UTC) - timedelta(minutes=16)))
    before = actions(engine)

    answer = ada_client.post(f"{OWN}{path}", data={"csrf_token": token, "code": "123456", "name": "Mine"})

    assert answer.status_code == 303
    assert answer.location.startswith("/confirm-password?next=")
    assert actions(engine) == before
    assert ada_client.get(OWN).location.startswith("/confirm-password")
