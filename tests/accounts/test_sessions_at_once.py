"""Sessions that begin beside what ends them all: none is left over."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from portal import audit
from portal.accounts import password_change, people, sessions
from portal.accounts.factor_models import Ceremony
from portal.accounts.models import User
from portal.accounts.passwords import hash_password
from portal.transaction import unit_of_work
from tests.accounts.authenticator import Authenticator
from tests.accounts.browsing import OTHER_PASSWORD, PASSWORD, csrf_token, is_signed_in, sign_in, submit
from tests.accounts.factors import actions, add_app, add_passkey, answer_with, give_code, give_password

OWNERS_PASSWORD = "owner-tulip-granite-71"
CHANGE = {"current_password": PASSWORD, "password": OTHER_PASSWORD, "password_again": OTHER_PASSWORD}
SIGN_IN = "/sign-in/passkey"
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer


def sign_out_everywhere(session: Session, user_id: UUID) -> None:
    sessions.end_all(session, user_id, now=datetime.now(UTC))


def force_reset(session: Session, user_id: UUID) -> None:
    session.execute(update(User).where(User.id == user_id).values(must_reset=True))
    sign_out_everywhere(session, user_id)


def set_owners_password(session: Session, user_id: UUID) -> None:
    person, actor = people.get(session, user_id), audit.Actor(None, "reset link", "")
    hashed = hash_password(OWNERS_PASSWORD)
    people.set_password(session, person, hashed, action="user.password_reset", actor=actor, now=datetime.now(UTC))


def wait_until_somebody_waits(engine: Engine) -> None:
    waiting = text(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        with engine.connect() as connection:
            if connection.scalar(waiting):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits for the row of the account")


@pytest.mark.parametrize("act", [sign_out_everywhere, force_reset, set_owners_password])
def test_a_second_step_ends_with_the_sessions(app: Flask, ada: UUID, engine: Engine, act: Callable[..., None]) -> None:
    codes, client = add_app(app, ada), give_password(app)
    with app.app_context(), unit_of_work() as session:
        act(session, ada)

    assert give_code(client, codes.now()).location == "/sign-in"
    assert not is_signed_in(client)
    with engine.connect() as connection:
        assert connection.scalars(select(Ceremony.id).where(Ceremony.used_at.is_(None))).all() == []


def test_a_second_step_dies_while_the_password_must_be_reset(app: Flask, ada: UUID) -> None:
    codes, client = add_app(app, ada), give_password(app)
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(must_reset=True))

    assert give_code(client, codes.now()).location == "/sign-in"
    assert not is_signed_in(client)


def test_the_second_step_of_somebody_else_goes_on(app: Flask, ada: UUID) -> None:
    codes, client = add_app(app, ada), give_password(app)
    with app.app_context(), unit_of_work() as session:
        sign_out_everywhere(session, UUID(int=1))

    assert give_code(client, codes.now()).location == "/"


def test_a_passkey_signs_in_again_only_after_the_forced_reset(app: Flask, ada: UUID, ada_client: FlaskClient) -> None:
    device, client = Authenticator(), app.test_client()
    assert add_passkey(ada_client, device).status_code == 200
    with app.app_context(), unit_of_work() as session:
        force_reset(session, ada)

    refused = answer_with(client, device, SIGN_IN, "/sign-in")
    with app.app_context(), unit_of_work() as session:
        set_owners_password(session, ada)

    assert refused.status_code == 422
    assert "This passkey signs nobody in." in refused.text
    assert answer_with(client, device, SIGN_IN, "/sign-in").status_code == 303


@pytest.mark.parametrize("act", [sign_out_everywhere, force_reset, set_owners_password])
def test_a_change_of_the_password_is_void_where_the_session_ended_meanwhile(
    app: Flask,
    ada: UUID,
    ada_client: FlaskClient,
    engine: Engine,
    act: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_overtaken_while_hashing(app, monkeypatch, lambda session: act(session, ada))

    told = submit(ada_client, "/profile", CHANGE, to="/profile/password")

    assert (told.status_code, told.location) == (303, "/sign-in")
    assert "Your password was not changed" in ada_client.get("/sign-in").text
    assert not is_signed_in(ada_client)
    assert "user.password_changed" not in actions(engine)
    assert sign_in(app.test_client(), password=OTHER_PASSWORD).status_code == 422
    if act is set_owners_password:
        assert sign_in(app.test_client(), password=OWNERS_PASSWORD).status_code == 303


def test_a_change_of_the_password_is_void_where_another_one_is_stored_meanwhile(
    app: Flask, ada_client: FlaskClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = hash_password(OWNERS_PASSWORD)
    is_overtaken_while_hashing(
        app, monkeypatch, lambda session: session.execute(update(User).values(password_hash=other))
    )

    told = submit(ada_client, "/profile", CHANGE, to="/profile/password")

    assert (told.status_code, told.location) == (303, "/sign-in")
    assert not is_signed_in(ada_client)
    with engine.connect() as connection:
        assert connection.scalar(select(User.password_hash)) == other


def is_overtaken_while_hashing(app: Flask, monkeypatch: pytest.MonkeyPatch, act: Callable[[Session], object]) -> None:
    real = password_change.hash_new_password

    def in_another_thread() -> None:
        with app.app_context(), unit_of_work() as session:
            act(session)

    def hashing(*args: Any, **options: Any) -> str:
        hashed = real(*args, **options)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(in_another_thread).result(timeout=20)
        return hashed

    monkeypatch.setattr(password_change, "hash_new_password", hashing)


@on_postgresql
@pytest.mark.parametrize("way", ["password", "code", "passkey"])
def test_who_signs_in_while_a_reset_is_forced_waits_and_is_refused(
    app: Flask, ada: UUID, engine: Engine, way: str
) -> None:
    client, give = ready(app, ada, way)

    with ThreadPoolExecutor(1) as elsewhere:
        with app.app_context(), unit_of_work() as session:
            force_reset(session, ada)
            answer = elsewhere.submit(give)
            wait_until_somebody_waits(engine)
        refused = answer.result(timeout=20)

    assert (refused.status_code, refused.location) in {(422, None), (303, "/sign-in")}
    assert not is_signed_in(client)


def ready(app: Flask, ada: UUID, way: str) -> tuple[FlaskClient, Callable[[], TestResponse]]:
    """A browser, and the last thing that it does to sign in."""
    if way == "code":
        codes, at_second_step = add_app(app, ada), give_password(app)
        return at_second_step, lambda: give_code(at_second_step, codes.now())
    client = app.test_client()
    if way == "password":
        given = {"csrf_token": csrf_token(client, "/sign-in"), "email": "ada@contoso.test", "password": PASSWORD}
        return client, lambda: client.post("/sign-in", data=given)
    owner, device = app.test_client(), Authenticator()
    sign_in(owner)
    assert add_passkey(owner, device).status_code == 200
    return client, lambda: answer_with(client, device, SIGN_IN, "/sign-in")


@on_postgresql
def test_a_session_that_begins_while_all_are_ended_is_waited_for_and_ends(
    app: Flask, ada: UUID, engine: Engine
) -> None:
    def end_all() -> None:
        with app.app_context(), unit_of_work() as session:
            sign_out_everywhere(session, ada)

    now = datetime.now(UTC)
    with ThreadPoolExecutor(1) as elsewhere:
        with app.app_context(), unit_of_work() as session:
            assert people.lock(session, ada) is not None
            token = sessions.start(session, ada, address="192.0.2.7", agent="", now=now)
            ending = elsewhere.submit(end_all)
            wait_until_somebody_waits(engine)
        ending.result(timeout=20)

    assert sessions.resume(engine, token, now=now, is_activity=False) is None
