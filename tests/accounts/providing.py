"""The organisation's provider, set up in a portal, and what browsers do with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from portal import audit
from portal.accounts import provider_settings
from portal.accounts.models import User
from portal.accounts.provider_models import ProviderIdentity
from portal.accounts.provider_settings import ProviderSettings
from portal.connections.values import SecretAction, SecretChange
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import NOW, csrf_token, is_signed_in
from tests.outside.oidc_provider import CLIENT_ID, CLIENT_SECRET, OIDCProvider

ADA = "ada@contoso.test"
START = "/sign-in/oidc"


def set_up(app: Flask, provider: OIDCProvider, **changes: Any) -> None:
    """The portal knows the provider from now on."""
    settings = ProviderSettings(
        **{"issuer": provider.issuer, "client_id": CLIENT_ID, "button_label": "Contoso", **changes}
    )
    with app.app_context(), unit_of_work() as session:
        provider_settings.save(
            session,
            settings,
            secret=SecretChange(SecretAction.REPLACE, CLIENT_SECRET),
            box=app.extensions["secret_box"],
            actor=audit.COMMAND_LINE,
            expected_version=provider_settings.load_saved(session).version,
            now=NOW,
        )


def start(client: FlaskClient, *, to: str = START, page: str = "/forgot-password", next_path: str = "") -> str:
    """Press the button: the address at the provider that the browser is sent to."""
    sent = client.post(to, data={"csrf_token": csrf_token(client, page), "next": next_path})
    assert sent.status_code == 303, sent.text
    return sent.location


def go_through(client: FlaskClient, provider: OIDCProvider, **options: Any) -> TestResponse:
    """Press the button, sign in at the provider, and come back."""
    return client.get(provider.sign_in(start(client, **options)))


def assert_nobody(client: FlaskClient, answer: TestResponse, words: str) -> None:
    """The answer leads back to the sign-in page, which says why nobody was signed in."""
    assert (answer.status_code, answer.location.split("?")[0]) == (303, "/sign-in")
    assert words in client.get(answer.location).text
    assert not is_signed_in(client)


def add_unopened(app: Flask, email: str = ADA, *, role: str = "user", is_disabled: bool = False) -> UUID:
    """Somebody who was added and never chose a password."""
    with app.app_context(), unit_of_work() as session:
        user = User(
            id=uuid4(), email=email, email_key=email, name="Ada", role=role, is_disabled=is_disabled, created_at=NOW
        )
        session.add(user)
        session.flush()
        return user.id


def link(app: Flask, provider: OIDCProvider, user_id: UUID, subject: str = "1001") -> None:
    with app.app_context(), unit_of_work() as session:
        session.add(
            ProviderIdentity(
                id=uuid4(), user_id=user_id, issuer=provider.issuer, subject=subject, linked_at=datetime.now(UTC)
            )
        )


def count(app: Flask, table: type[Any]) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(table)) or 0
