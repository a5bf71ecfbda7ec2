from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.engine import Engine
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from portal import connections, email_settings
from portal.accounts import password_change, reset_links, reset_requests
from portal.accounts.models import ResetRequest, User
from portal.accounts.passwords import hash_password
from portal.accounts.reset_views import REQUESTS_OVERALL
from portal.audit import Actor
from portal.audit.models import AuditEntry
from portal.database import writing
from portal.outbox.models import Message
from portal.transaction import unit_of_work
from portal.web import limits
from portal.web.models import RateLimitCounter
from tests.accounts.answering import Answering
from tests.accounts.browsing import (
    HTMX,
    NOW,
    OTHER_PASSWORD,
    PASSWORD,
    add_person,
    comparable,
    csrf_token,
    is_signed_in,
    sign_in,
    statements,
    submit,
    writing_ones,
)
from tests.accounts.test_sessions_at_once import wait_until_somebody_waits

ADA = "ada@contoso.test"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"PORTAL_BUILTIN_SERVICE": "smtp://127.0.0.1:2525?security=none"}


@pytest.fixture
def app(app: Flask) -> Flask:
    """A portal whose mail leaves, by the built-in service."""
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, NOW)
    return app


def ask(app: Flask, identifier: str = ADA, *, at: datetime = NOW, address: str = "192.0.2.7") -> None:
    with app.app_context(), unit_of_work() as session:
        reset_requests.request_password_reset(session, identifier, address, at)


@pytest.fixture
def link(app: Flask, ada: UUID, answering: Answering) -> str:
    """The path of a link for Ada that works now."""
    ask(app, at=datetime.now(UTC))
    answering.run(datetime.now(UTC))
    return answering.links[0]


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(ResetRequest.__table__).order_by(ResetRequest.requested_at)))


def change(engine: Engine, table: type, **values: object) -> None:
    with writing(engine).begin() as connection:
        connection.execute(update(table).values(**values))


def use(client: FlaskClient, link: str, password: str = OTHER_PASSWORD, **more: str) -> TestResponse:
    return submit(client, "/sign-in", {"password": password, **more}, to=link)


def works(app: Flask, link: str) -> bool:
    return app.test_client().get(link).status_code == 200


# ---- Asking ----


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_whoever_is_asked_for_gets_the_same_answer_and_writes_the_same_row(
    app: Flask, engine: Engine, headers: dict[str, str]
) -> None:
    add_person(app)
    add_person(app, "disabled@contoso.test")
    with writing(engine).begin() as connection:
        connection.execute(update(User).where(User.email == "disabled@contoso.test").values(is_disabled=True))
    identifiers = [ADA, "unknown@contoso.test", "disabled@contoso.test", "no address", "x" * 5000, "a\0b\r\nc", "ſ@K"]
    answers, work, pages = [], [], []

    for identifier in identifiers:
        client = app.test_client()
        token = csrf_token(client, "/forgot-password")
        with statements(engine) as seen:
            response = client.post(
                "/forgot-password", data={"csrf_token": token, "identifier": identifier}, headers=headers
            )
        answers.append(comparable(response))
        work.append(seen)
        pages.append(comparable(client.get(response.location, headers=headers)))

    assert answers[0][0] == 303
    assert [answer == answers[0] for answer in answers] == [True] * 7
    assert [page == pages[0] for page in pages] == [True] * 7
    assert [done == work[0] for done in work] == [True] * 7
    assert [statement.split()[2] for statement in work[0] if statement.startswith("INSERT")] == [
        "rate_limit_counter",
        "rate_limit_counter",
        "reset_request",
    ]
    assert [(row.state, row.address, len(row.identifier) <= 320) for row in rows(engine)] == [
        ("waiting", "127.0.0.1", True)
    ] * 7
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Message)) == 0  # mail is the worker's business


@pytest.mark.parametrize("identifier", [ADA, "unknown@contoso.test"])
def test_a_flood_gets_the_same_answer_and_writes_no_more_rows(
    app: Flask, client: FlaskClient, engine: Engine, identifier: str
) -> None:
    add_person(app)
    token = csrf_token(client, "/forgot-password")

    answers = [
        client.post("/forgot-password", data={"csrf_token": token, "identifier": identifier}) for _ in range(102)
    ]

    assert {(answer.status_code, answer.location) for answer in answers} == {(303, "/forgot-password?sent=1")}
    assert len(rows(engine)) == 100


def test_one_address_does_not_use_up_what_all_others_may_ask_for(client: FlaskClient, engine: Engine) -> None:
    token = csrf_token(client, "/forgot-password")
    for _ in range(105):
        ask_from(client, token, "198.51.100.66")

    of_all = limits.allow(engine, REQUESTS_OVERALL, "reset-requests")

    assert of_all == limits.Allowed(2000 - 100 - 1)


def test_that_all_together_ask_too_often_is_logged_once(client: FlaskClient, engine: Engine) -> None:
    token = csrf_token(client, "/forgot-password")
    limits.allow(engine, REQUESTS_OVERALL, "reset-requests")
    change(engine, RateLimitCounter, hits=2000)

    with capture_logs() as logs:
        for number in range(3):
            ask_from(client, token, f"203.0.113.{number}")

    warned = [log["event"] for log in logs if log["log_level"] == "warning"]
    assert rows(engine) == []
    assert warned == ["too many resets were asked for from many addresses; more are not written down within the hour"]


def ask_from(client: FlaskClient, token: str, address: str) -> None:
    data = {"csrf_token": token, "identifier": ADA}
    answer = client.post("/forgot-password", data=data, environ_overrides={"REMOTE_ADDR": address})
    assert answer.status_code == 303


def test_the_page_says_what_happens_next_and_never_whether_there_is_an_account(client: FlaskClient, ada: UUID) -> None:
    response = submit(client, "/forgot-password", {"identifier": ADA})

    page = client.get(response.location).get_data(as_text=True)
    assert response.location == "/forgot-password?sent=1"
    assert "If that address has an account, a mail with a link is on its way." in page
    assert ADA not in page


def test_an_empty_field_is_said_and_asks_for_nothing(client: FlaskClient, engine: Engine) -> None:
    response = submit(client, "/forgot-password", {"identifier": ""})

    assert response.status_code == 422
    assert "Type your email address." in response.get_data(as_text=True)
    assert rows(engine) == []


def test_a_poisoned_host_is_refused_and_gets_into_no_link(
    app: Flask, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    token = csrf_token(client, "/forgot-password")
    data = {"csrf_token": token, "identifier": ADA}

    poisoned = client.post("/forgot-password", data=data, headers={"Host": "evil.test"})
    client.post("/forgot-password", data=data, headers={"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test"})
    answering.run()

    assert poisoned.status_code == 400
    assert [values["link"].startswith("http://localhost/reset-password/") for _, values in answering.mailed] == [True]


# ---- Answering ----


def test_a_known_person_gets_a_mail_at_the_stored_address_in_the_commit_of_the_answer(
    app: Flask, engine: Engine, ada: UUID, answering: Answering
) -> None:
    ask(app, " Ada@CONTOSO.test ")

    count = answering.run(NOW + timedelta(seconds=1))

    (row,) = rows(engine)
    with engine.connect() as connection:
        message = connection.execute(select(Message.__table__)).one()
        entry = connection.execute(
            select(AuditEntry.__table__).where(AuditEntry.action == "user.password_reset_requested")
        ).one()
    assert count == 1
    assert (row.state, row.user_id, row.expires_at) == ("answered", ada, NOW + timedelta(seconds=3601))
    assert [address for address, _ in answering.mailed] == [ADA]
    assert message.kind == "password_reset"
    assert message.expires_at == row.expires_at
    assert (entry.subject, entry.actor_id, entry.actor_address) == (ADA, None, "192.0.2.7")


def test_letters_that_only_look_alike_find_nobody(app: Flask, answering: Answering) -> None:
    add_person(app, "mike@contoso.test")

    for typed in ("m\u0131ke@contoso.test", "mi\u212ae@contoso.test", "mike@conto\u017fo.test", "m\xedke@contoso.test"):
        ask(app, typed)
    answering.run()

    assert answering.mailed == []


def test_nobody_else_is_mailed(app: Flask, engine: Engine, answering: Answering) -> None:
    add_person(app, "disabled@contoso.test")
    change(engine, User, is_disabled=True)
    for identifier in ("unknown@contoso.test", "disabled@contoso.test", "no address", "a@contoso.test,b@contoso.test"):
        ask(app, identifier)

    count = answering.run()

    assert count == 4
    assert answering.mailed == []
    assert sorted(row.reason for row in rows(engine)) == ["disabled", "unknown", "unknown", "unknown"]
    assert {row.state for row in rows(engine)} == {"refused"}


def test_of_many_requests_that_waited_only_the_latest_is_mailed(
    app: Flask, engine: Engine, ada: UUID, answering: Answering
) -> None:
    for minute in range(20):
        ask(app, at=NOW + timedelta(minutes=minute))

    answering.run(NOW + timedelta(minutes=30))

    assert len(answering.mailed) == 1
    assert [row.state for row in rows(engine)] == ["refused"] * 19 + ["answered"]


def test_an_account_gets_three_mails_an_hour_at_most(app: Flask, ada: UUID, answering: Answering) -> None:
    for minute in (0, 10, 20, 30, 59):
        ask(app, at=NOW + timedelta(minutes=minute))
        answering.run(NOW + timedelta(minutes=minute))
    within = len(answering.mailed)

    ask(app, at=NOW + timedelta(minutes=61))
    answering.run(NOW + timedelta(minutes=61))

    assert (within, len(answering.mailed)) == (3, 4)


@pytest.mark.parametrize(
    ("address", "reason", "already"), [("192.0.2.7", "limit_address", 50), ("", "limit_overall", 500)]
)
def test_one_client_address_and_all_together_have_limits(
    app: Flask, engine: Engine, ada: UUID, answering: Answering, address: str, reason: str, already: int
) -> None:
    with writing(engine).begin() as connection:
        connection.execute(
            ResetRequest.__table__.insert(),
            [
                {
                    "id": UUID(int=number),
                    "identifier": "x",
                    "address": address or f"198.51.100.{number}",
                    "requested_at": NOW,
                    "state": "answered",
                    "reason": "",
                    "answered_at": NOW,
                }
                for number in range(already)
            ],
        )
    ask(app, at=NOW + timedelta(minutes=1))

    answering.run(NOW + timedelta(minutes=1))

    assert answering.mailed == []
    assert rows(engine)[-1].reason == reason


def test_of_ipv6_a_client_is_its_64(app: Flask, ada: UUID, answering: Answering) -> None:
    for number in range(1, 6):
        ask(app, at=NOW + timedelta(minutes=number), address=f"2001:db8:0:1::{number}")
        answering.run(NOW + timedelta(minutes=number))
    of_one = len(answering.mailed)

    ask(app, at=NOW + timedelta(minutes=7), address="2001:db8:0:2::1")
    answering.run(NOW + timedelta(minutes=7))

    assert (of_one, len(answering.mailed)) == (3, 4)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_reset_that_is_forced_while_a_link_is_used_waits_for_it(
    app: Flask, engine: Engine, ada: UUID, link: str
) -> None:
    token, now, hashed = link.rsplit("/", 1)[1], datetime.now(UTC), hash_password(OTHER_PASSWORD)
    has_locked = threading.Event()

    def force() -> None:
        with app.app_context(), unit_of_work() as session:
            session.execute(update(User).where(User.id == ada).values(must_reset=True))
            has_locked.set()
            wait_until_somebody_waits(engine)
            reset_links.void(session, ada, now=now)

    def use_link() -> UUID | None:
        assert has_locked.wait(30)
        with app.app_context(), unit_of_work() as session:
            return password_change.reset_by_link(
                session, token, hashed, address="", mail=app.extensions["account_mail"], now=now
            )

    with ThreadPoolExecutor(2) as threads:
        forcing, using = threads.submit(force), threads.submit(use_link)
        forcing.result(timeout=30)

        assert using.result(timeout=30) is None


def test_a_request_that_cannot_be_answered_holds_up_no_other(
    app: Flask, engine: Engine, ada: UUID, answering: Answering
) -> None:
    add_person(app, "bob@contoso.test")
    ask(app, ADA, at=NOW)
    ask(app, "bob@contoso.test", at=NOW + timedelta(seconds=1))
    failures = iter([RuntimeError("the wording is broken")])

    def fail_once() -> None:
        for failure in failures:
            raise failure

    answering.before_preparing = fail_once
    answering.run()

    assert [(row.identifier, row.state, row.reason) for row in rows(engine)] == [
        (ADA, "answered", ""),
        ("bob@contoso.test", "refused", "error"),
    ]
    assert [row.token_hash is None for row in rows(engine)] == [False, True]


def test_where_nothing_can_leave_nothing_is_queued_and_the_page_says_the_same_to_all(
    app: Flask, engine: Engine, ada: UUID, answering: Answering
) -> None:
    with app.app_context(), unit_of_work() as session:
        settings = email_settings.EmailSettings(enabled=False, administrator_contact="desk 42")
        email_settings.save(session, settings, actor=Actor(None, "test", ""), now=NOW)
    pages = []

    for identifier in (ADA, "unknown@contoso.test"):
        client = app.test_client()
        response = submit(client, "/forgot-password", {"identifier": identifier})
        pages.append(comparable(client.get(response.location)))
    answering.run()

    assert pages[0] == pages[1]
    assert "Sending is switched off, so no link can reach you." in pages[0][2]
    assert "desk 42" in pages[0][2]
    assert "on its way" not in pages[0][2]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Message)) == 0
    assert sorted(row.reason for row in rows(engine)) == ["not_accepted", "unknown"]


def test_two_workers_answer_one_request_once(app: Flask, ada: UUID, answering: Answering) -> None:
    ask(app)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: answering.run(), range(4)))

    assert len(answering.mailed) == 1


def test_rows_go_when_nothing_needs_them_any_more(app: Flask, engine: Engine, ada: UUID, answering: Answering) -> None:
    ask(app)
    ask(app, "unknown@contoso.test")
    answering.run()

    def left_after(age: timedelta) -> list[str]:
        with app.app_context(), unit_of_work() as session:
            reset_requests.purge(session, now=NOW + age)
        return [row.identifier for row in rows(engine)]

    assert len(left_after(timedelta(hours=2))) == 2
    assert left_after(timedelta(hours=2, seconds=1)) == [ADA]
    assert left_after(timedelta(days=7, seconds=1)) == []


# ---- The link ----


def test_a_forgotten_password_is_replaced_and_its_owner_is_back_in(
    app: Flask, engine: Engine, ada: UUID, client: FlaskClient, link: str
) -> None:
    open_sessions = [app.test_client() for _ in range(3)]
    for other in open_sessions:
        sign_in(other)
    page = client.get(link)

    response = use(client, link)

    assert page.status_code == 200
    assert ADA in page.get_data(as_text=True)
    assert (response.status_code, response.location) == (303, "/sign-in")
    assert not is_signed_in(client)
    assert [is_signed_in(other) for other in open_sessions] == [False] * 3
    assert "Your password was changed" in client.get("/sign-in").get_data(as_text=True)
    assert sign_in(client).status_code == 422
    assert sign_in(client, password=OTHER_PASSWORD).status_code == 303
    with engine.connect() as connection:
        kinds = sorted(connection.scalars(select(Message.kind)))
        entry = connection.execute(select(AuditEntry.__table__).where(AuditEntry.action == "user.password_reset")).one()
    assert kinds == ["password_changed", "password_reset"]
    assert (entry.subject, entry.changes) == (ADA, {"password": "changed"})


def test_a_link_works_once_in_any_browser(app: Flask, link: str) -> None:
    first, second = app.test_client(), app.test_client()

    answers = [use(browser, link).status_code for browser in (first, first, second)]

    assert answers == [303, 404, 404]


def test_of_twenty_at_once_one_wins(app: Flask, engine: Engine, link: str) -> None:
    clients = [app.test_client() for _ in range(20)]
    tokens = [csrf_token(client, "/sign-in") for client in clients]

    def post(number: int) -> int:
        data = {"csrf_token": tokens[number], "password": f"{OTHER_PASSWORD} {number}"}
        return clients[number].post(link, data=data).status_code

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(post, range(20)))

    with engine.connect() as connection:
        changes = connection.scalars(select(AuditEntry.id).where(AuditEntry.action == "user.password_reset")).all()
    assert answers == [303] + [404] * 19
    assert len(changes) == 1


def test_looking_at_a_link_never_uses_it_up(app: Flask, engine: Engine, link: str) -> None:
    scanner = app.test_client()

    with statements(engine) as seen:
        answers = {scanner.get(link).status_code for _ in range(30)}
        answers |= {scanner.head(link).status_code for _ in range(5)}
        answers |= {scanner.options(link).status_code, scanner.get(link, headers={"Purpose": "prefetch"}).status_code}

    assert answers == {200}
    assert writing_ones(seen) == []
    assert works(app, link)


def test_a_scanner_that_sends_the_empty_form_uses_nothing_up(app: Flask, link: str) -> None:
    response = use(app.test_client(), link, "")

    assert response.status_code == 422
    assert works(app, link)


def test_a_password_that_is_not_taken_leaves_the_link_usable(app: Flask, link: str) -> None:
    client = app.test_client()
    tries = {
        ("short", ""): "Use at least 12 characters:",
        ("x" * 4096, ""): "at most 1024 characters",
        ("password12345!", ""): "close to a very common one",
        ("Ada@contoso.test", ""): "little more than your name",
        (PASSWORD, ""): "the password that you have already",
        (OTHER_PASSWORD, "plum-violin-harbour-43"): "The two passwords differ.",
    }

    for (password, again), said in tries.items():
        response = use(client, link, password, password_again=again)
        page = response.get_data(as_text=True)

        assert response.status_code == 422
        assert said in page
        assert password not in page.replace(ADA, "")

    assert works(app, link)


def test_a_link_works_for_an_hour_by_the_servers_clock(app: Flask, engine: Engine, link: str) -> None:
    now = datetime.now(UTC)

    change(engine, ResetRequest, expires_at=now + timedelta(seconds=60))
    before = works(app, link)
    change(engine, ResetRequest, expires_at=now - timedelta(seconds=1))

    assert before
    assert not works(app, link)
    assert use(app.test_client(), link).status_code == 404


def test_only_the_newest_link_works(app: Flask, ada: UUID, answering: Answering) -> None:
    now = datetime.now(UTC)
    for seconds in range(3):
        ask(app, at=now + timedelta(seconds=seconds))
        answering.run(now + timedelta(seconds=seconds))

    assert [works(app, link) for link in answering.links] == [False, False, True]


def test_a_link_dies_with_what_the_account_was(app: Flask, engine: Engine, link: str) -> None:
    was = {"email_key": ADA, "is_disabled": False, "role": "user", "password_changed_at": NOW}
    becomes = {
        "email_key": "lovelace@contoso.test",
        "is_disabled": True,
        "role": "admin",
        "password_changed_at": datetime.now(UTC) + timedelta(seconds=1),
    }

    for name, value in becomes.items():
        change(engine, User, **was | {name: value})

        assert not works(app, link), name
        assert use(app.test_client(), link).status_code == 404

    change(engine, User, **was)
    assert works(app, link)


def test_a_link_dies_when_its_owner_changes_the_password_after_all(app: Flask, client: FlaskClient, link: str) -> None:
    sign_in(client)

    submit(client, "/profile", {"current_password": PASSWORD, "password": OTHER_PASSWORD}, to="/profile/password")

    assert not works(app, link)


def test_a_link_dies_with_its_account(app: Flask, engine: Engine, link: str) -> None:
    with writing(engine).begin() as connection:
        connection.execute(User.__table__.delete())

    assert not works(app, link)


def test_a_link_sets_the_password_of_its_own_account_only(app: Flask, engine: Engine, link: str) -> None:
    bob = add_person(app, "bob@contoso.test", name="Bob")

    use(app.test_client(), link, user_id=bob.hex, uid=str(bob), email="bob@contoso.test")

    assert sign_in(app.test_client(), "bob@contoso.test").status_code == 303
    assert sign_in(app.test_client(), ADA, OTHER_PASSWORD).status_code == 303


def test_a_made_up_link_gets_one_and_the_same_answer(app: Flask, engine: Engine, link: str) -> None:
    client = app.test_client()
    made_up = ["A" * 43, "x", "%00" * 43, "%C3%BC" * 43, "[]", "null", "a" * 50_000, link.rsplit("/", 1)[1][:-1]]

    answers = [comparable(client.get(f"/reset-password/{token}")) for token in made_up]

    assert {status for status, _, _ in answers} == {404}
    assert len({body for _, _, body in answers}) == 1
    assert "Ask for a new link" in answers[0][2]


def test_guessing_links_is_stopped_while_a_right_one_works_on(app: Flask, link: str) -> None:
    client = app.test_client()
    token = csrf_token(client, "/sign-in")
    data = {"csrf_token": token, "password": OTHER_PASSWORD}

    answers = [client.post(f"/reset-password/{number:043}", data=data).status_code for number in range(31)]

    assert answers == [404] * 30 + [429]
    assert client.post(link, data=data).status_code == 303


def test_the_token_is_stored_nowhere_but_in_the_sealed_mail(
    app: Flask, engine: Engine, link: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token = link.rsplit("/", 1)[1]

    page = app.test_client().get(link)
    use(app.test_client(), link)

    stored = b"".join(path.read_bytes() for path in tmp_path.glob("portal.sqlite3*"))
    assert token.encode() not in stored
    assert token not in "".join(str(row) for row in rows(engine))
    assert token not in "".join(capfd.readouterr())
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.get_data(as_text=True).count(token) == 1


def test_a_reset_unlocks_the_account_and_strangers_guesses_lock_out_the_owner_no_more(
    app: Flask, client: FlaskClient, link: str
) -> None:
    stranger = app.test_client()

    def guess() -> int:
        return [sign_in(stranger, ADA, "wrong").status_code for _ in range(11)][-1]

    locked = guess()
    use(client, link)
    unlocked = sign_in(app.test_client(), ADA, OTHER_PASSWORD).status_code
    locked_again = guess()

    assert (locked, unlocked, locked_again) == (429, 303, 429)
    assert sign_in(client, ADA, OTHER_PASSWORD).status_code == 303
