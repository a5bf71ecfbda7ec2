from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from portal.accounts.models import User, UserSession
from portal.audit.models import AuditEntry
from portal.database import writing
from portal.web import limits
from tests.accounts.browsing import (
    HTMX,
    PASSWORD,
    add_person,
    comparable,
    csrf_token,
    is_signed_in,
    no_hashing,
    sign_in,
    statements,
    submit,
    work,
    writing_ones,
)

ADA = "ada@contoso.test"


def change_ada(engine: Engine, **values: object) -> None:
    with writing(engine).begin() as connection:
        connection.execute(update(User).where(User.email == ADA).values(**values))


def cookie(client: FlaskClient, name: str = "portal-session") -> str:
    found = client.get_cookie(name)
    return found.value if found else ""


def test_the_right_password_signs_in_and_leads_on(ada: UUID, client: FlaskClient, engine: Engine) -> None:
    response = submit(client, "/sign-in", {"email": " Ada@Contoso.test ", "password": PASSWORD})

    assert (response.status_code, response.location) == (303, "/")
    assert is_signed_in(client)
    with engine.connect() as connection:
        entry = connection.execute(select(AuditEntry.__table__).where(AuditEntry.action == "user.signed_in")).one()
    assert (entry.actor_id, entry.subject, entry.actor_address) == (ada, ADA, "127.0.0.1")


def test_signing_in_leads_to_the_page_that_was_asked_for(ada: UUID, client: FlaskClient) -> None:
    away = client.get("/profile")
    assert 'name="next" value="/profile"' in client.get(away.location).get_data(as_text=True)

    response = submit(client, away.location, {"email": ADA, "password": PASSWORD, "next": "/profile"}, to="/sign-in")

    assert away.location == "/sign-in?next=%2Fprofile"
    assert (response.status_code, response.location) == (303, "/profile")


def test_signing_in_never_leads_to_another_site(app: Flask, ada: UUID) -> None:
    targets = ["//evil.test", "/\\evil.test", "https://evil.test", "/%2f%2fevil.test", "javascript:1", "/\t/evil.test"]

    for target in targets:
        response = submit(app.test_client(), "/sign-in", {"email": ADA, "password": PASSWORD, "next": target})

        assert (response.status_code, response.location) == (303, "/")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_every_failure_gets_the_same_answer(app: Flask, engine: Engine, headers: dict[str, str]) -> None:
    """Same status, headers and body but for nonces and what was typed, and the same statements with as many rows."""
    for name in ("known", "disabled", "never"):
        add_person(app, f"{name}@contoso.test")
    with writing(engine).begin() as connection:
        connection.execute(update(User).where(User.email == "disabled@contoso.test").values(is_disabled=True))
        connection.execute(update(User).where(User.email == "never@contoso.test").values(password_hash=None))
    right, wrong = PASSWORD, "wrong horse battery staple 9"
    attempts = {
        "known@contoso.test": wrong,
        "unknown@contoso.test": wrong,
        "disabled@contoso.test": right,
        "never@contoso.test": right,
        "known@contoso.test ": "x" * 2000,
        "not an address": right,
    }
    answers, done = [], []

    for email, password in attempts.items():
        client = app.test_client()
        token = csrf_token(client, "/sign-in")
        with work(engine) as seen:
            response = client.post(
                "/sign-in", data={"csrf_token": token, "email": email, "password": password}, headers=headers
            )
        status, sent, body = comparable(response)
        sent = [(name, value) for name, value in sent if name != "Content-Length"]
        answers.append((status, sent, body.replace(f'value="{email.strip()}"', 'value="typed"')))
        done.append(seen)

    assert answers[0][0] == 422
    assert "The email address or the password is wrong." in answers[0][2]
    assert [answer == answers[0] for answer in answers] == [True] * 6
    assert [one == done[0] for one in done] == [True] * 6


def test_what_was_typed_in_place_of_an_address_is_not_recorded(app: Flask, engine: Engine) -> None:
    client = app.test_client()

    sign_in(client, "my secret passphrase", "x")
    sign_in(client, "stranger@contoso.test", "x")

    with engine.connect() as connection:
        subjects = connection.scalars(select(AuditEntry.subject).where(AuditEntry.action == "user.sign_in_failed"))
        assert sorted(subjects) == ["", "stranger@contoso.test"]


def test_signing_in_gives_the_browser_a_new_session_and_a_new_seed(ada: UUID, client: FlaskClient) -> None:
    client.set_cookie("portal-session", "chosen-by-an-attacker")
    before = csrf_token(client, "/sign-in")

    response = client.post("/sign-in", data={"csrf_token": before, "email": ADA, "password": PASSWORD})
    first = cookie(client)
    replayed = client.post("/sign-out", data={"csrf_token": before})

    assert response.status_code == 303
    assert first != "chosen-by-an-attacker"
    assert replayed.status_code == 400
    assert is_signed_in(client)


def test_signing_in_again_ends_the_former_session(ada_client: FlaskClient, app: Flask) -> None:
    former = cookie(ada_client)
    thief = app.test_client()
    thief.set_cookie("portal-session", former)

    submit(ada_client, "/sign-in", {"email": ADA, "password": PASSWORD})

    assert is_signed_in(ada_client)
    assert not is_signed_in(thief)


def test_signing_out_ends_the_session_on_the_server(ada_client: FlaskClient, app: Flask) -> None:
    thief = app.test_client()
    thief.set_cookie("portal-session", cookie(ada_client))

    response = submit(ada_client, "/profile", {}, to="/sign-out")

    assert (response.status_code, response.location) == (303, "/sign-in")
    assert cookie(ada_client) == ""
    assert not is_signed_in(thief)
    assert "You are signed out." in ada_client.get("/sign-in").get_data(as_text=True)


def test_signing_out_is_no_get(ada_client: FlaskClient) -> None:
    assert ada_client.get("/sign-out").status_code == 405
    assert is_signed_in(ada_client)


def test_no_form_works_without_the_token_of_this_browser(app: Flask, ada_client: FlaskClient, engine: Engine) -> None:
    foreign = csrf_token(app.test_client(), "/sign-in")
    urls = ["/sign-in", "/sign-out", "/confirm-password", "/setup", "/forgot-password", "/profile", "/profile/password"]
    data = {"email": ADA, "password": PASSWORD, "identifier": ADA, "name": "Eve", "current_password": PASSWORD}

    with statements(engine) as seen:
        for url in (*urls, "/reset-password/" + "A" * 43):
            for tampered in ({}, {"csrf_token": ""}, {"csrf_token": "ImFiYyI.aaaa.bbbb"}, {"csrf_token": foreign}):
                assert ada_client.post(url, data=data | tampered, headers=HTMX).status_code == 400

    assert writing_ones(seen) == []
    assert is_signed_in(ada_client)


def test_a_token_in_the_query_counts_for_nothing(ada_client: FlaskClient) -> None:
    token = csrf_token(ada_client, "/profile")

    assert ada_client.post(f"/sign-out?csrf_token={token}").status_code == 400
    assert ada_client.post(f"/sign-out?_method=GET&csrf_token={token}").status_code == 400


def test_a_stranger_who_guesses_is_stopped_whether_the_account_exists_or_not(app: Flask) -> None:
    add_person(app)
    answers: dict[str, list[int]] = {}

    for email in (ADA, "unknown@contoso.test"):
        client = app.test_client()
        answers[email] = [sign_in(client, email, "wrong").status_code for _ in range(12)]

    assert answers[ADA] == answers["unknown@contoso.test"] == [422] * 10 + [429] * 2


def test_who_is_stopped_is_told_for_how_long(app: Flask) -> None:
    client = app.test_client()
    for _ in range(10):
        sign_in(client, ADA, "wrong")

    response = sign_in(client, ADA, "wrong")

    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 900
    assert "minutes" in response.get_data(as_text=True)


def test_a_stranger_who_guesses_does_not_lock_the_owner_out_of_a_known_device(app: Flask, client: FlaskClient) -> None:
    add_person(app)
    sign_in(client)
    submit(client, "/profile", {}, to="/sign-out")
    stranger = app.test_client()
    for _ in range(11):
        sign_in(stranger, ADA, "wrong")

    assert sign_in(stranger).status_code == 429
    assert sign_in(client).status_code == 303


def test_right_passwords_use_up_no_budget(app: Flask) -> None:
    add_person(app)

    answers = [sign_in(app.test_client()).status_code for _ in range(12)]

    assert answers == [303] * 12


def test_one_client_address_cannot_try_the_same_password_on_everybody(app: Flask, engine: Engine) -> None:
    now = datetime.now(UTC) - timedelta(seconds=1)
    for _ in range(100):
        limits.allow(engine, "100/10 minutes", "sign-in address", "127.0.0.1", now=now)

    response = sign_in(app.test_client(), "somebody@contoso.test", "wrong")

    assert response.status_code == 429


def test_a_hash_with_outdated_parameters_is_made_anew(
    app: Flask, engine: Engine, ada: UUID, client: FlaskClient
) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    change_ada(engine, password_hash=weak)

    sign_in(client)

    with engine.connect() as connection:
        stored = connection.scalar(select(User.password_hash))
    assert stored is not None
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert is_signed_in(client)


def test_a_disabled_person_is_out_at_the_next_request_fragments_included(
    ada_client: FlaskClient, engine: Engine
) -> None:
    change_ada(engine, is_disabled=True)

    fragment = ada_client.get("/profile", headers=HTMX)

    assert fragment.status_code == 401
    assert not is_signed_in(ada_client)


def test_what_htmx_fetches_by_itself_is_no_activity(ada_client: FlaskClient, engine: Engine) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=30)
    with writing(engine).begin() as connection:
        connection.execute(update(UserSession).values(last_seen_at=long_ago))

    ada_client.get("/profile", headers=HTMX)
    with engine.connect() as connection:
        after_polling = connection.scalar(select(UserSession.last_seen_at))
    ada_client.get("/profile")
    with engine.connect() as connection:
        after_reading = connection.scalar(select(UserSession.last_seen_at))

    assert after_polling == long_ago
    assert after_reading is not None
    assert after_reading > long_ago


def test_the_cookies_hold_no_secret_and_no_script_reads_them(ada: UUID, client: FlaskClient) -> None:
    response = sign_in(client)

    sent = response.headers.getlist("Set-Cookie")
    assert len(sent) >= 2
    assert [header for header in sent if "HttpOnly" not in header or "SameSite=Lax" not in header] == []
    assert [header for header in sent if PASSWORD in header or ADA in header] == []


def test_an_array_or_a_list_where_one_address_is_asked_signs_nobody_in(app: Flask, ada: UUID) -> None:
    client = app.test_client()
    token = csrf_token(client, "/sign-in")

    for name in ("email[]", "email.0"):
        response = client.post("/sign-in", data={"csrf_token": token, name: ADA, "password": PASSWORD})
        assert response.status_code == 422

    assert not is_signed_in(client)


def test_the_sign_in_page_says_where_a_new_portal_is_set_up(app: Flask, client: FlaskClient) -> None:
    fresh = client.get("/sign-in").get_data(as_text=True)
    add_person(app, "root@contoso.test", role="admin")
    later = client.get("/sign-in").get_data(as_text=True)

    assert "This portal is not set up yet" in fresh
    assert "This portal is not set up yet" not in later


def test_a_flood_of_sign_ins_is_told_to_come_back_and_costs_the_owner_nothing(
    app: Flask, ada: UUID, client: FlaskClient, engine: Engine
) -> None:
    token = csrf_token(client, "/sign-in")

    with no_hashing():
        answers = [
            client.post("/sign-in", data={"csrf_token": token, "email": ADA, "password": PASSWORD}) for _ in range(3)
        ]

    assert [answer.status_code for answer in answers] == [429] * 3
    assert {int(answer.headers["Retry-After"]) for answer in answers} <= set(range(2, 9))
    assert sign_in(client).status_code == 303


def test_on_https_every_cookie_belongs_to_this_host_and_is_never_sent_in_the_clear(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["PORTAL_PUBLIC_URL"] = "https://portal.contoso.test"
    app = request.getfixturevalue("app")
    add_person(app)
    client = app.test_client()
    there = {"base_url": "https://portal.contoso.test"}
    page = client.get("/sign-in", **there).get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)

    response = client.post(
        "/sign-in", data={"csrf_token": token and token[1], "email": ADA, "password": PASSWORD}, **there
    )

    sent = {header.split("=")[0]: header for header in response.headers.getlist("Set-Cookie")}
    assert response.status_code == 303
    assert sorted(sent) == ["__Host-portal", "__Host-portal-device", "__Host-portal-session"]
    assert [name for name, header in sent.items() if "Secure" not in header or "Path=/" not in header] == []
    assert [name for name, header in sent.items() if "Domain" in header] == []
