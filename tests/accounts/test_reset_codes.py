from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, select, update
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal import audit, connections
from portal.accounts import recovery_settings
from portal.accounts.models import ResetRequest, User
from portal.accounts.provider_models import ProviderIdentity, SignInSettingsRow
from portal.accounts.unlocking import unlock
from portal.database import writing
from portal.outbox.models import Message
from portal.transaction import unit_of_work
from tests.accounts.answering import Answering
from tests.accounts.browsing import (
    NOW,
    OTHER_PASSWORD,
    add_person,
    comparable,
    csrf_token,
    is_signed_in,
    sign_in,
    submit,
    work,
)

ADA = "ada@contoso.test"
WRONG = "00000000"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"PORTAL_BUILTIN_SERVICE": "smtp://127.0.0.1:2525?security=none"}


@pytest.fixture
def app(app: Flask) -> Flask:
    """A portal whose mail leaves, and brings codes."""
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, NOW)
    settle(app, means="both")
    return app


def settle(app: Flask, **changes: Any) -> None:
    with app.app_context(), unit_of_work() as session:
        settings = replace(recovery_settings.load(session), **changes)
        recovery_settings.save(session, settings, actor=audit.COMMAND_LINE, now=NOW)


def ask(client: FlaskClient, identifier: str = ADA) -> TestResponse:
    return submit(client, "/forgot-password", {"identifier": identifier})


def codes(answering: Answering) -> list[str]:
    """Those that were mailed, after the worker has answered what waits."""
    answering.run(datetime.now(UTC))
    return [values.get("code", "") for _, values in answering.mailed]


def give(client: FlaskClient, code: str, identifier: str = ADA, password: str = OTHER_PASSWORD) -> TestResponse:
    return submit(client, "/forgot-password", entered(code, identifier, password), to="/reset-password")


def ask_from(client: FlaskClient, address: str) -> None:
    data = {"csrf_token": csrf_token(client, "/forgot-password"), "identifier": ADA}
    client.post("/forgot-password", data=data, environ_overrides={"REMOTE_ADDR": address})


def give_from(client: FlaskClient, code: str, address: str, password: str = OTHER_PASSWORD) -> TestResponse:
    data = {"csrf_token": csrf_token(client, "/forgot-password"), **entered(code, password=password)}
    return client.post("/reset-password", data=data, environ_overrides={"REMOTE_ADDR": address})


def entered(code: str, identifier: str = ADA, password: str = OTHER_PASSWORD) -> dict[str, str]:
    return {"identifier": identifier, "code": code, "password": password}


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(ResetRequest.__table__).order_by(ResetRequest.requested_at)))


# ---- The mail ----


@pytest.mark.parametrize(("means", "has_link", "has_code"), [("link", 1, 0), ("code", 0, 1), ("both", 1, 1)])
def test_the_mail_brings_what_the_settings_say(
    app: Flask,
    engine: Engine,
    client: FlaskClient,
    ada: UUID,
    answering: Answering,
    means: str,
    has_link: int,
    has_code: int,
) -> None:
    settle(app, means=means)

    ask(client)
    (code,) = codes(answering)

    (row,) = rows(engine)
    assert (row.token_hash is not None, row.code_mac is not None) == (bool(has_link), bool(has_code))
    assert bool(re.fullmatch(r"[0-9]{8}", code)) == bool(has_code)
    assert (answering.links[0] != "/reset-password") == bool(has_link)


def test_whoever_is_not_waited_for_by_a_browser_gets_a_link(
    app: Flask, engine: Engine, ada: UUID, answering: Answering
) -> None:
    from portal.accounts import reset_requests

    settle(app, means="code")
    with app.app_context(), unit_of_work() as session:
        reset_requests.request_password_reset(session, ADA, "", NOW)

    assert codes(answering) == [""]
    assert answering.links[0] != "/reset-password"


def test_the_code_is_stored_nowhere_but_in_the_sealed_mail(
    engine: Engine,
    client: FlaskClient,
    ada: UUID,
    answering: Answering,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ask(client)
    (code,) = codes(answering)

    give(client, code)

    assert code not in "".join(str(row) for row in rows(engine))
    assert code.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("portal.sqlite3*"))
    assert code not in "".join(capfd.readouterr())


# ---- Using it ----


def test_a_code_replaces_the_password_ends_sessions_and_signs_nobody_in(
    app: Flask, engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    elsewhere = app.test_client()
    sign_in(elsewhere)
    asked = ask(client)
    (code,) = codes(answering)
    page = client.get(asked.location).get_data(as_text=True)

    response = give(client, f" {code[:4]} {code[4:]} ")

    assert asked.location == "/reset-password"
    assert f'value="{ADA}"' in page
    assert (response.status_code, response.location) == (303, "/sign-in")
    assert not is_signed_in(client)
    assert not is_signed_in(elsewhere)
    assert sign_in(client, ADA, OTHER_PASSWORD).status_code == 303
    with engine.connect() as connection:
        assert sorted(connection.scalars(select(Message.kind))) == ["password_changed", "password_reset"]


def test_a_code_works_only_in_the_browser_that_asked(
    app: Flask, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    ask(client)
    (code,) = codes(answering)
    other = app.test_client()
    ask(other, "bob@contoso.test")

    assert give(other, code).status_code == 422
    assert give(app.test_client(), code).status_code == 422
    assert give(client, code).status_code == 303


def test_a_browser_that_has_not_asked_is_told_to(client: FlaskClient) -> None:
    page = client.get("/reset-password").get_data(as_text=True)

    assert "This browser has not asked." in page
    assert 'name="code"' not in page


def test_a_code_works_once_and_takes_its_link_along(client: FlaskClient, ada: UUID, answering: Answering) -> None:
    ask(client)
    (code,) = codes(answering)
    data = entered(code) | {"csrf_token": csrf_token(client, "/forgot-password")}

    answers = [give(client, code).status_code, client.post("/reset-password", data=data).status_code]

    assert answers == [303, 400]  # the cookies that the form belongs to are gone
    assert give(client, code).status_code == 422
    assert client.get(answering.links[0]).status_code == 404


def test_a_used_link_takes_its_code_along(client: FlaskClient, ada: UUID, answering: Answering) -> None:
    ask(client)
    (code,) = codes(answering)
    with keeping_cookies(client):
        submit(client, "/forgot-password", {"password": OTHER_PASSWORD}, to=answering.links[0])

    assert give(client, code, password="another lighthouse of 7 notes").status_code == 422


def test_only_the_newest_code_works(client: FlaskClient, ada: UUID, answering: Answering) -> None:
    ask(client)
    first = codes(answering)[-1]
    ask(client)
    second = codes(answering)[-1]

    assert give(client, first).status_code == 422
    assert give(client, second).status_code == 303


def test_a_code_of_another_account_is_wrong(app: Flask, client: FlaskClient, ada: UUID, answering: Answering) -> None:
    add_person(app, "bob@contoso.test", name="Bob")
    ask(client)
    (code,) = codes(answering)

    assert give(client, code, "bob@contoso.test").status_code == 422


def test_a_code_is_wrong_for_nobody_whoever_stands_in(client: FlaskClient, ada: UUID, answering: Answering) -> None:
    ask(client)
    (code,) = codes(answering)

    answers = [give(client, code, identifier).status_code for identifier in ("aaron@contoso.test", "zoe", "x@y.test")]

    assert answers == [422] * 3
    assert give(client, code).status_code == 303


def test_a_code_dies_after_an_hour_and_with_what_the_account_was(
    engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    ask(client)
    (code,) = codes(answering)
    changes: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
        (ResetRequest, {"expires_at": datetime.now(UTC)}, {"expires_at": datetime.now(UTC) + timedelta(hours=1)}),
        (User, {"is_disabled": True}, {"is_disabled": False}),
        (User, {"role": "admin"}, {"role": "user"}),
    ]

    for table, becomes, was in changes:
        with writing(engine).begin() as connection:
            connection.execute(update(table).values(**becomes))
        assert give(client, code).status_code == 422
        with writing(engine).begin() as connection:
            connection.execute(update(table).values(**was))

    assert give(client, code).status_code == 303


def test_a_password_that_is_not_taken_leaves_the_code_usable_and_costs_no_try(
    client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    ask(client)
    (code,) = codes(answering)

    answers = [give(client, code, password="short").get_data(as_text=True) for _ in range(6)]

    assert ["Use at least 12 characters" in page for page in answers] == [True] * 6
    assert give(client, code).status_code == 303


# ---- Tries ----


def test_tries_end_and_a_new_code_renews_none(client: FlaskClient, ada: UUID, answering: Answering) -> None:
    ask(client)
    codes(answering)
    for _ in range(5):
        give(client, WRONG)
    ask(client)
    newest = codes(answering)[-1]

    refused = give(client, newest)

    assert refused.status_code == 422
    assert "Codes were typed too often." in refused.get_data(as_text=True)


def test_another_name_of_the_account_gives_no_more_tries_and_does_not_tell_that_it_is_one(
    app: Flask, engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    settle(app, identifiers=("address", "user_name"))
    with writing(engine).begin() as connection:
        connection.execute(update(User).values(user_name_key="ada"))
    ask(client)
    codes(answering)
    for _ in range(5):
        give(client, WRONG)
    ask(client)
    newest = codes(answering)[-1]

    refused = give(client, newest, "ada")

    assert refused.status_code == 422
    assert "Codes were typed too often." not in refused.get_data(as_text=True)
    assert "This code does not work." in refused.get_data(as_text=True)


def test_a_stranger_who_types_codes_uses_up_nobody_elses_tries(
    app: Flask, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    stranger = app.test_client()
    ask(client)
    (code,) = codes(answering)

    answers = [give(stranger, WRONG).status_code for _ in range(6)]

    assert answers == [422] * 6
    assert give(client, code).status_code == 303


def test_whoever_asks_for_somebodys_code_voids_it_not_and_uses_up_no_try_of_it(
    app: Flask, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    ask(client)
    (code,) = codes(answering)
    stranger = app.test_client()
    ask(stranger)
    codes(answering)

    guesses = [give(stranger, WRONG).status_code for _ in range(6)]

    assert len(answering.mailed) == 2
    assert guesses == [422] * 6
    assert give(client, code).status_code == 303


def test_strangers_use_up_neither_the_owners_mails_nor_together_more_than_ten(
    app: Flask, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    for _ in range(5):
        ask(app.test_client())
    codes(answering)
    by_one = len(answering.mailed)

    ask_from(client, "192.0.2.7")
    code = codes(answering)[-1]
    works = give(client, code).status_code
    for number in range(12):
        ask_from(app.test_client(), f"198.51.100.{number}")
    codes(answering)

    assert (by_one, works, len(answering.mailed)) == (3, 303, 10)


def test_beyond_ten_tries_of_its_own_a_browser_shares_one_pool_of_the_account(
    app: Flask, ada: UUID, answering: Answering
) -> None:
    settle(app, attempts=12)
    browsers, newest = [app.test_client() for _ in range(8)], ""
    for number, browser in enumerate(browsers):
        ask_from(browser, f"198.51.100.{number}")
        newest = codes(answering)[-1]
    *strangers, last = browsers

    for number, browser in enumerate(strangers[:6]):  # two of each come out of the pool of twelve
        for _ in range(12):
            give_from(browser, WRONG, f"198.51.100.{number}")
    for _ in range(9):
        give_from(last, WRONG, "198.51.100.7")
    own = give_from(last, newest, "198.51.100.7", password="short")
    give_from(last, WRONG, "198.51.100.7")
    beyond = give_from(last, newest, "198.51.100.7")

    assert "Use at least 12 characters" in own.get_data(as_text=True)
    assert "This code does not work." in beyond.get_data(as_text=True)


def test_unlocking_gives_the_tries_back_in_the_browser_that_asked(
    app: Flask, engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    ask(client)
    (code,) = codes(answering)
    refused = [give(client, one).status_code for one in (*[WRONG] * 5, code)][-1]

    unlock(engine, ada, ADA)

    assert (refused, give(client, code).status_code) == (422, 303)


def test_as_many_tries_as_the_settings_say(app: Flask, client: FlaskClient, ada: UUID, answering: Answering) -> None:
    settle(app, attempts=7)
    ask(client)
    (code,) = codes(answering)
    for _ in range(6):
        give(client, WRONG)

    assert give(client, code).status_code == 303


@pytest.mark.parametrize("means", ["code", "both"])
def test_known_and_unknown_meet_the_same_pages_statements_rows_and_counts(
    app: Flask, engine: Engine, answering: Answering, means: str
) -> None:
    settle(app, means=means)
    add_person(app)
    add_person(app, "disabled@contoso.test")
    with writing(engine).begin() as connection:
        connection.execute(update(User).where(User.email == "disabled@contoso.test").values(is_disabled=True))
    seen_of_each = []

    for identifier in (ADA, "unknown@contoso.test", "disabled@contoso.test", "no address"):
        client = app.test_client()
        seen: list[Any] = []
        with work(engine) as first:
            seen.append(comparable(ask(client, identifier)))
            seen.append(without(identifier, comparable(client.get("/reset-password"))))
        answering.run(datetime.now(UTC))
        with work(engine) as more:
            seen += [without(identifier, comparable(give(client, WRONG, identifier))) for _ in range(6)]
        seen_of_each.append((seen, asking(first), asking(more)))

    assert [one == seen_of_each[0] for one in seen_of_each] == [True] * 4
    answers = [status for status, _, _ in seen_of_each[0][0]]
    assert answers == [303, 200, 422, 422, 422, 422, 422, 422]
    assert "Codes were typed too often." in seen_of_each[0][0][-1][2]
    assert "Codes were typed too often." not in seen_of_each[0][0][-2][2]


def test_wrong_codes_are_stopped_by_client_address_too(client: FlaskClient) -> None:
    answers = [give(client, WRONG, f"user{number}@contoso.test").status_code for number in range(31)]

    assert answers == [422] * 30 + [429]


# ---- People who sign in elsewhere ----


def test_somebody_without_a_password_is_told_which_way_in_is_theirs(
    engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    link_to_provider(engine, ada)
    with writing(engine).begin() as connection:
        connection.execute(update(User).values(password_hash=None))

    asked = ask(client)
    answering.run(datetime.now(UTC))

    (row,) = rows(engine)
    assert asked.location == "/reset-password"
    assert [values["provider"] for _, values in answering.mailed] == ["Contoso account"]
    assert [set(values) & {"code", "means"} for _, values in answering.mailed] == [set()]
    assert (row.state, row.token_hash, row.code_mac) == ("answered", None, None)


def test_somebody_with_a_password_too_or_whose_provider_is_off_resets_it(
    engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    link_to_provider(engine, ada)

    ask(client)
    with_password = codes(answering)[-1]
    with writing(engine).begin() as connection:
        connection.execute(update(User).values(password_hash=None))
        connection.execute(update(SignInSettingsRow).values(issuer=""))
    ask(client)

    assert with_password
    assert codes(answering)[-1]


def asking(done: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Without the looks at the schema, which every process takes now and then."""
    return [one for one in done if not re.search("alembic_version|pg_catalog|PRAGMA|^BEGIN$", one[0])]


def link_to_provider(engine: Engine, user_id: UUID) -> None:
    issuer = "https://login.contoso.test"
    settings = {"id": 1, "issuer": issuer, "button_label": "Contoso account", "version": 1}
    with writing(engine).begin() as connection:
        connection.execute(insert(SignInSettingsRow).values(**settings, changed_at=NOW, changed_by="test"))
        connection.execute(
            insert(ProviderIdentity).values(id=uuid4(), user_id=user_id, issuer=issuer, subject="1", linked_at=NOW)
        )


def without(identifier: str, answer: tuple[int, Any, str]) -> tuple[int, Any, str]:
    status, headers, page = answer
    changing = {"Content-Length"}
    return status, [one for one in headers if one[0] not in changing], page.replace(identifier, "")


@contextmanager
def keeping_cookies(client: FlaskClient) -> Iterator[None]:
    """The browser keeps the cookie of its request, whatever the answer says."""
    cookie = client.get_cookie("portal-reset")
    yield
    if cookie is not None:
        client.set_cookie("portal-reset", cookie.value)
