"""Second factors for the people of the tests, and what their browsers do with them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pyotp
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal.accounts import recovery_codes, totp
from portal.accounts.factor_models import AuthenticatorApp
from portal.audit.models import AuditEntry
from portal.transaction import unit_of_work
from tests.accounts.authenticator import Authenticator
from tests.accounts.browsing import PASSWORD, csrf_token, sign_in

SECOND_STEP = "/sign-in/second-factor"
OWN = "/profile/second-factor"


def add_app(app: Flask, user_id: UUID) -> pyotp.TOTP:
    """An authenticator app that counts, none of whose codes was taken."""
    box, now = app.extensions["secret_box"], datetime.now(UTC)
    with app.app_context(), unit_of_work() as session:
        assert totp.start(session, user_id, box=box, now=now)
        new = totp.being_set_up(session, user_id, account="ada", issuer="Portal", box=box, now=now)
        session.execute(update(AuthenticatorApp).where(AuthenticatorApp.user_id == user_id).values(confirmed_at=now))
    assert new is not None
    return pyotp.TOTP(new.secret)


def add_codes(app: Flask, user_id: UUID) -> tuple[str, ...]:
    with app.app_context(), unit_of_work() as session:
        return recovery_codes.make_anew(session, user_id, now=datetime.now(UTC))


def add_passkey(client: FlaskClient, device: Authenticator, name: str = "Blue key") -> TestResponse:
    """Register a passkey in a browser that is signed in."""
    made = device.create(options(client, f"{OWN}/passkeys/options", OWN))
    return client.post(
        f"{OWN}/passkeys", data={"csrf_token": csrf_token(client, OWN), "name": name, "credential": made}
    )


def options(client: FlaskClient, path: str, page: str) -> dict[str, Any]:
    """What the script of a page gets to ask the browser."""
    answer = client.post(path, headers={"X-CSRFToken": csrf_token(client, page)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def answer_with(client: FlaskClient, device: Authenticator, path: str, page: str) -> TestResponse:
    """Press the button of a passkey on a page: `path` takes the answer, `path`/options gives the challenge."""
    said = device.get(options(client, f"{path}/options", page))
    return client.post(path, data={"csrf_token": csrf_token(client, page), "credential": said})


def give_password(app: Flask, email: str = "ada@contoso.test") -> FlaskClient:
    """A browser at the second step."""
    client = app.test_client()
    given = sign_in(client, email, PASSWORD)
    assert (given.status_code, given.location) == (303, SECOND_STEP)
    return client


def give_code(client: FlaskClient, code: str) -> TestResponse:
    return client.post(SECOND_STEP, data={"csrf_token": csrf_token(client, "/forgot-password"), "code": code})


def shown_codes(page: str) -> list[str]:
    """The recovery codes that a page shows."""
    return re.findall(r"\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}\b", page)


def actions(engine: Engine) -> list[str]:
    """What the audit log holds, but for the accounts' beginnings."""
    with engine.connect() as connection:
        found = connection.scalars(select(AuditEntry.action).order_by(AuditEntry.id))
        return [action for action in found if action not in {"user.added"}]
