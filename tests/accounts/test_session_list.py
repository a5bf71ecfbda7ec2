"""Where somebody is signed in, and ending it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from portal.accounts import sessions
from portal.accounts.models import UserSession
from portal.accounts.session_devices import device_of
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import is_signed_in, sign_in, submit
from tests.accounts.people_at_work import actions_about, open_sessions
from tests.admin_browser import Browser

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
OTHERS = "/profile/sessions/endings"


def elsewhere(app: Flask, agent: str = FIREFOX) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_USER_AGENT"] = agent
    assert sign_in(client).status_code == 303
    return client


def session_with(app: Flask, agent: str) -> UUID:
    with app.app_context():
        return db.session.scalars(select(UserSession.id).where(UserSession.agent == agent)).one()


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome on Android"),
        ("curl/8.5", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_a_browser_is_called_by_two_words(agent: str, device: str) -> None:
    assert str(device_of(agent)) == device


def test_sessions_are_listed_with_device_and_address_and_the_dead_ones_are_not(
    app: Flask, ada: UUID, ada_client: FlaskClient
) -> None:
    elsewhere(app)
    now = datetime.now(UTC)
    with app.app_context(), unit_of_work() as session:
        for agent, ended in (("Opera OPR/1 Windows", {"ended_at": now}), ("Vivaldi/7 Windows", {})):
            sessions.start(session, ada, address="192.0.2.7", agent=agent, now=now)
            past = {"last_seen_at": now - timedelta(minutes=61)}
            session.execute(update(UserSession).where(UserSession.agent == agent).values(**past, **ended))

    page = ada_client.get("/profile").text
    card = re.findall(r'id="sessions-card".*?</section>', page, re.DOTALL)[0]

    assert card.count("<li>") == 2
    assert card.count("This browser") == 1
    assert "Firefox on Linux" in card
    assert "127.0.0.1" in card
    assert "Opera" not in card
    assert "Vivaldi" not in card


def test_one_session_is_ended_and_the_others_go_on(app: Flask, ada: UUID, ada_client: FlaskClient) -> None:
    lost, other = elsewhere(app), elsewhere(app, "Other Chrome/1 Windows")

    ended = submit(ada_client, "/profile", {}, to=f"/profile/sessions/{session_with(app, FIREFOX)}/ending")

    assert (ended.status_code, ended.location) == (303, "/profile")
    assert [is_signed_in(client) for client in (ada_client, lost, other)] == [True, False, True]
    assert actions_about(app, "ada@contoso.test")[-1] == "user.sessions_ended"


def test_all_others_are_ended_at_once(app: Flask, ada: UUID, ada_client: FlaskClient) -> None:
    clients = [elsewhere(app), elsewhere(app, "Other Chrome/1 Windows")]
    stranger = Browser(app, "user")

    submit(ada_client, "/profile", {}, to=OTHERS)
    submit(ada_client, "/profile", {}, to=OTHERS)

    assert is_signed_in(ada_client)
    assert not any(is_signed_in(client) for client in clients)
    assert open_sessions(app, ada) == 1
    assert open_sessions(app, stranger.user_id) == 1
    assert actions_about(app, "ada@contoso.test").count("user.sessions_ended") == 1


def test_other_peoples_sessions_and_dead_ones_are_not_there(app: Flask, ada: UUID, ada_client: FlaskClient) -> None:
    elsewhere(app)
    its, other = session_with(app, FIREFOX), Browser(app, "admin")

    refused = other.post(f"/profile/sessions/{its}/ending", {}, page="/profile")
    submit(ada_client, "/profile", {}, to=f"/profile/sessions/{its}/ending")
    again = submit(ada_client, "/profile", {}, to=f"/profile/sessions/{its}/ending")

    assert (refused.status_code, again.status_code) == (404, 404)
    assert open_sessions(app, ada) == 1


def test_ending_the_own_session_signs_out(app: Flask, ada: UUID) -> None:
    client = elsewhere(app)

    ended = submit(client, "/profile", {}, to=f"/profile/sessions/{session_with(app, FIREFOX)}/ending")

    assert (ended.status_code, ended.location) == (303, "/sign-in")
    assert not is_signed_in(client)
