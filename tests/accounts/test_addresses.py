"""Other addresses: validated by a link that is mailed there, made primary, removed; the old one is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from sqlalchemy.engine import Engine

from portal import audit, email_settings
from portal.accounts import address_changes, address_validation, people
from portal.accounts.address_validation import Asking, NotTheirs, Taken
from portal.accounts.models import Invitation, ResetRequest, User, UserAddress
from portal.accounts.reset_requests import request_password_reset
from portal.accounts.user_changes import NotAllowed
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.outbox.models import Message
from portal.transaction import unit_of_work
from tests.accounts.answering import Answering
from tests.accounts.browsing import PASSWORD, add_person, csrf_token, is_signed_in, sign_in, submit
from tests.accounts.people_at_work import Mailed, actions_about, actor_of, give_a_way_out
from tests.admin_browser import Browser

ADA, COUNTESS, GRACE = "ada@contoso.test", "countess@contoso.test", "grace@contoso.test"
NEW = "/profile/addresses/new"


@pytest.fixture
def mailed(app: Flask) -> Mailed:
    give_a_way_out(app)
    return Mailed(app)


def add(client: FlaskClient, address: str = COUNTESS, **fields: str) -> Any:
    return submit(client, NEW, {"address": address, **fields})


def press(client: FlaskClient, app: Flask, act: str, address: str = COUNTESS) -> Any:
    return submit(client, "/profile", {}, to=f"/profile/addresses/{row_of(app, address).id}/{act}")


def row_of(app: Flask, address: str = COUNTESS) -> UserAddress:
    with app.app_context():
        return db.session.scalars(select(UserAddress).where(UserAddress.address == address)).one()


def rows(app: Flask) -> list[tuple[str, bool]]:
    with app.app_context():
        found = select(UserAddress.address, UserAddress.validated_at.is_not(None)).order_by(UserAddress.address)
        return [(row[0], bool(row[1])) for row in db.session.execute(found)]


def primary(app: Flask, user_id: UUID) -> str:
    with app.app_context():
        return str(db.session.scalar(select(User.email).where(User.id == user_id)))


def notices(mailed: Mailed) -> list[tuple[str, str]]:
    """What happened to an address, and who was told."""
    return [(values["change"], to) for kind, to, values in mailed.values if kind == "address_changed"]


def age(app: Flask, by: timedelta) -> None:
    with app.app_context(), unit_of_work() as session:
        expires_at = session.scalars(select(UserAddress.token_expires_at)).one()
        assert expires_at is not None
        session.execute(update(UserAddress).values(token_expires_at=expires_at - by))


def test_an_address_counts_once_its_link_was_used(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    added = add(ada_client)
    before = rows(app)
    link = mailed.link_to(COUNTESS)
    page = ada_client.get(link)
    read = rows(app)
    used = submit(ada_client, link, {})
    again = ada_client.post(link, data={"csrf_token": csrf_token(ada_client, "/profile")})

    assert (added.status_code, added.location) == (303, "/profile")
    assert before == read == [(COUNTESS, False)]
    assert COUNTESS in page.text
    assert (used.status_code, used.location) == (303, "/profile")
    assert rows(app) == [(COUNTESS, True)]
    assert (again.status_code, ada_client.get(link).status_code) == (404, 404)
    assert primary(app, ada) == ADA
    assert notices(mailed) == [("added", ADA)]
    assert actions_about(app, ADA)[-2:] == ["user.address_added", "user.address_validated"]


def test_a_link_without_a_session_asks_to_sign_in_first_and_names_nobody(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    add(ada_client, becomes_primary="y")
    link, stranger = mailed.link_to(COUNTESS), app.test_client()

    page = stranger.get(link)
    pressed = stranger.post(link, data={"csrf_token": csrf_token(stranger, "/sign-in")})
    before = rows(app)
    onward = re.findall(r'name="next"[^>]*value="([^"]+)"', stranger.get(pressed.location).text)[0]
    entered = submit(stranger, "/sign-in", {"email": ADA, "password": PASSWORD, "next": onward})
    shown = stranger.get(entered.location)
    used = submit(stranger, entered.location, {})

    assert page.status_code == 200
    assert "Sign in first" in page.text
    assert f'href="/sign-in?next={link}"' in page.text
    assert not {"Ada", ADA, COUNTESS} & set(re.split(r"[\s<>]", page.text))
    assert (pressed.status_code, urlsplit(pressed.location).path) == (303, "/sign-in")
    assert before == [(COUNTESS, False)]
    assert entered.location == link
    assert COUNTESS in shown.text
    assert used.location == "/profile"
    assert primary(app, ada) == COUNTESS


def test_a_link_does_not_count_in_a_session_of_another_account(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    add(ada_client, becomes_primary="y")
    link, other = mailed.link_to(COUNTESS), Browser(app, "admin")

    page = other.get(link)
    pressed = other.post(link, {}, page="/profile")

    assert (page.status_code, pressed.status_code) == (403, 403)
    assert "This link belongs to another account" in page.text
    assert ADA not in page.text
    assert COUNTESS not in page.text
    assert (rows(app), primary(app, ada)) == ([(COUNTESS, False)], ADA)
    with app.app_context(), pytest.raises(NotTheirs), unit_of_work() as session:
        mail, now = app.extensions["account_mail"], datetime.now(UTC)
        address_validation.validate(session, link.rpartition("/")[2], actor=actor_of(other), mail=mail, now=now)


def test_the_token_stands_nowhere_in_the_database(engine: Engine, ada_client: FlaskClient, mailed: Mailed) -> None:
    add(ada_client)
    token = mailed.link_to(COUNTESS).rpartition("/")[2]

    with engine.connect() as connection:
        for table in ("user_address", "audit_entry", "message", "message_body"):
            found = connection.execute(text(f'select * from "{table}"')).all()
            assert found
            assert token.encode() not in b"".join(str(row).encode() for row in found)
        message = connection.execute(select(Message.kind, Message.is_secret)).one()
    assert tuple(message) == ("account_validation", True)


def test_a_link_that_is_too_old_says_so_and_a_newer_one_takes_its_place(
    app: Flask, ada_client: FlaskClient, mailed: Mailed
) -> None:
    add(ada_client)
    old = mailed.link_to(COUNTESS)
    age(app, timedelta(hours=24, minutes=1))

    read = ada_client.get(old)
    tried = ada_client.post(old, data={"csrf_token": csrf_token(ada_client, "/profile")})
    shown = ada_client.get("/profile").text
    press(ada_client, app, "validation")
    new = mailed.link_to(COUNTESS)

    assert (read.status_code, tried.status_code) == (410, 410)
    assert "This link is too old" in read.text
    assert "Send link again" in read.text
    assert "The link is too old: have it sent again" in shown
    assert ada_client.get(old).status_code == 404
    assert submit(ada_client, new, {}).location == "/profile"
    assert rows(app) == [(COUNTESS, True)]


def test_a_new_primary_address_is_validated_first_and_the_old_one_is_told(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    add(ada_client, becomes_primary="y")
    waiting = primary(app, ada)

    submit(ada_client, mailed.link_to(COUNTESS), {})

    assert waiting == ADA
    assert primary(app, ada) == COUNTESS
    assert rows(app) == [(ADA, True)]
    assert notices(mailed) == [("replaced", ADA)]
    assert is_signed_in(ada_client)
    assert sign_in(app.test_client(), ADA).status_code == 422
    assert sign_in(app.test_client(), COUNTESS).status_code == 303
    assert COUNTESS not in str([values for kind, _, values in mailed.values if kind == "address_changed"])


def test_the_primary_address_goes_back_and_forth_and_the_other_can_be_removed(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    add(ada_client)
    refused = press(ada_client, app, "primary")
    still = primary(app, ada)
    submit(ada_client, mailed.link_to(COUNTESS), {})

    press(ada_client, app, "primary")
    press(ada_client, app, "removal", ADA)

    assert (refused.status_code, still) == (303, ADA)
    assert primary(app, ada) == COUNTESS
    assert rows(app) == []
    assert notices(mailed) == [("added", ADA), ("replaced", ADA), ("removed", ADA)]
    changed = ["user.address_added", "user.address_validated", "user.address_changed"]
    assert actions_about(app, ADA)[-3:] == changed
    assert actions_about(app, COUNTESS) == ["user.address_removed"]


def test_links_to_get_in_die_with_the_primary_address(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed, answering: Answering
) -> None:
    now = datetime.now(UTC)
    with app.app_context(), unit_of_work() as session:
        request_password_reset(session, ADA, "127.0.0.1", now)
    answering.run(now)
    assert app.test_client().get(answering.links[-1]).status_code == 200

    add(ada_client, becomes_primary="y")
    submit(ada_client, mailed.link_to(COUNTESS), {})

    assert app.test_client().get(answering.links[-1]).status_code == 404
    with app.app_context():
        assert db.session.scalars(select(ResetRequest.void_at)).one() is not None


def test_whether_somebody_has_the_address_is_told_to_whoever_holds_the_link_alone(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    add_person(app, GRACE, name="Grace")

    taken, free = add(ada_client, GRACE), add(ada_client, "nobody@contoso.test")
    shown = ada_client.get("/profile").text
    used = submit(ada_client, mailed.link_to(GRACE), {})

    assert (taken.status_code, taken.location) == (free.status_code, free.location) == (303, "/profile")
    assert "belongs to another account" not in shown
    assert used.status_code == 409
    assert "This address belongs to another account" in used.text
    assert rows(app) == [(GRACE, False), ("nobody@contoso.test", False)]


@pytest.mark.parametrize("becomes_primary", [False, True], ids=["other", "primary"])
def test_of_two_who_validate_the_same_address_at_once_one_has_it(
    app: Flask, ada: UUID, mailed: Mailed, becomes_primary: bool
) -> None:
    grace = add_person(app, GRACE, name="Grace")
    tokens: list[str] = []

    def link_for(token: str) -> str:
        tokens.append(token)
        return f"http://localhost/account-validations/{token}"

    with app.app_context(), unit_of_work() as session:
        mail, now = app.extensions["account_mail"], datetime.now(UTC)
        for user_id in (ada, grace):
            asking = Asking(audit.Actor(user_id, "", ""), mail, link_for, now)
            primary_too = becomes_primary and user_id == ada
            address_validation.claim(session, user_id, COUNTESS, becomes_primary=primary_too, asking=asking)

    def validate(user_id: UUID, token: str) -> str:
        actor = audit.Actor(user_id, "", "")
        with app.app_context():
            try:
                with unit_of_work() as session:
                    done = address_validation.validate(session, token, actor=actor, mail=mail, now=now)
                    return "done" if done else "dead"
            except Taken:
                return "taken"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(validate, (ada, grace), tokens))

    assert outcomes == ["done", "taken"]


def test_an_account_is_not_made_for_an_address_that_is_validated_at_the_same_time(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    add(ada_client)
    token = mailed.link_to(COUNTESS).rpartition("/")[2]
    mail, now = app.extensions["account_mail"], datetime.now(UTC)

    def validate() -> str:
        with unit_of_work() as session:
            address_validation.validate(session, token, actor=audit.Actor(ada, "", ""), mail=mail, now=now)
        return "validated"

    def make() -> str:
        person = people.prepare_invited(email=COUNTESS, role="user")
        with unit_of_work() as session:
            people.add_user(session, person, actor=None, now=now)
        return "made"

    def outcome(act: Callable[[], str]) -> str:
        with app.app_context():
            try:
                return act()
            except (Taken, people.NotAdded):
                return "refused"

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(outcome, (validate, make)))

    assert outcomes in ({"validated", "refused"}, {"made", "refused"})


def test_a_sixth_address_that_waits_is_refused(app: Flask, ada_client: FlaskClient, mailed: Mailed) -> None:
    for number in range(5):
        assert add(ada_client, f"ada{number}@contoso.test").status_code == 303

    sixth = add(ada_client)

    assert sixth.status_code == 422
    assert "5 addresses wait to be validated already." in sixth.text
    assert len(mailed.values) == 5


def test_nobodys_mailbox_is_filled(app: Flask, ada_client: FlaskClient, mailed: Mailed) -> None:
    add(ada_client)

    answers = [press(ada_client, app, "validation").status_code for _ in range(10)]

    assert answers == [303] * 9 + [429]
    assert len(mailed.values) == 10


def test_what_somebody_has_already_is_not_added(app: Flask, ada_client: FlaskClient, mailed: Mailed) -> None:
    add(ada_client)
    submit(ada_client, mailed.link_to(COUNTESS), {})

    for address, said in ((ADA, "your primary address already"), (COUNTESS.upper(), "have this address already")):
        refused = add(ada_client, address)
        assert refused.status_code == 422
        assert said in refused.text
        assert 'id="address-error"' in refused.text

    assert rows(app) == [(COUNTESS, True)]


def test_where_no_mail_can_leave_nothing_is_added_and_the_reason_is_shown(app: Flask, ada_client: FlaskClient) -> None:
    profile, page = ada_client.get("/profile").text, ada_client.get(NEW).text
    sent = submit(ada_client, "/profile", {"address": COUNTESS}, to=NEW)

    for shown in (profile, page, sent.text):
        assert "No connection can send yet." in shown
    assert f'href="{NEW}"' not in profile
    assert sent.status_code == 422
    assert rows(app) == []


def test_a_switch_that_is_off_is_the_reason_too(app: Flask, ada_client: FlaskClient, mailed: Mailed) -> None:
    with app.app_context(), unit_of_work() as session:
        settings = EmailSettings(enabled=False)
        email_settings.save(session, settings, actor=audit.COMMAND_LINE, now=datetime.now(UTC))

    assert "Sending is switched off." in ada_client.get("/profile").text


def test_the_password_is_asked_for_again(app: Flask, mailed: Mailed) -> None:
    browser = Browser(app, "user", signed_in_at=datetime.now(UTC) - timedelta(minutes=16))
    with app.app_context(), unit_of_work() as session:
        values = {"address": COUNTESS, "address_key": COUNTESS, "added_at": datetime.now(UTC)}
        session.add(UserAddress(user_id=browser.user_id, validated_at=datetime.now(UTC), **values))
    own = f"/profile/addresses/{row_of(app).id}"

    answers = [
        browser.get(NEW),
        browser.post(NEW, {"address": GRACE}, page="/profile"),
        browser.post(f"{own}/primary", {}, page="/profile"),
        browser.post(f"{own}/removal", {}, page="/profile"),
    ]

    assert {answer.headers["Location"].partition("?")[0] for answer in answers} == {"/confirm-password"}
    assert rows(app) == [(COUNTESS, True)]
    assert primary(app, browser.user_id) == browser.email


def test_other_peoples_addresses_are_not_there(app: Flask, ada_client: FlaskClient, mailed: Mailed) -> None:
    add(ada_client)
    submit(ada_client, mailed.link_to(COUNTESS), {})
    other = Browser(app, "admin")

    for act in ("primary", "removal", "validation"):
        answer = other.post(f"/profile/addresses/{row_of(app).id}/{act}", {}, page="/profile")
        assert answer.status_code == 404

    assert rows(app) == [(COUNTESS, True)]


def test_a_link_of_a_disabled_account_is_dead(app: Flask, ada_client: FlaskClient, mailed: Mailed) -> None:
    add(ada_client)
    link, client = mailed.link_to(COUNTESS), app.test_client()
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(is_disabled=True))

    assert client.get(link).status_code == 404
    assert client.post(link, data={"csrf_token": csrf_token(client, "/sign-in")}).status_code == 404
    assert rows(app) == [(COUNTESS, False)]


def test_an_administrators_change_acts_at_once_and_the_old_address_is_told(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    admin = Browser(app, "admin")
    add(ada_client)
    page = f"/users/{ada}/address"

    changed = admin.post(page, {"email": COUNTESS})

    assert (changed.status_code, changed.headers["Location"]) == (303, f"/users/{ada}")
    assert primary(app, ada) == COUNTESS
    assert rows(app) == []
    assert notices(mailed) == [("replaced", ADA)]
    assert mailed.values[-1][2]["changed_by"] == "Admin Ada"
    assert actions_about(app, ADA)[-1] == "user.address_changed"
    assert is_signed_in(ada_client)


def test_an_administrator_gives_nobody_an_address_of_somebody_else(
    app: Flask, ada: UUID, ada_client: FlaskClient, mailed: Mailed
) -> None:
    admin, grace = Browser(app, "admin"), add_person(app, GRACE, name="Grace")
    add(ada_client)
    submit(ada_client, mailed.link_to(COUNTESS), {})

    for address in (ADA, COUNTESS):
        refused = admin.post(f"/users/{grace}/address", {"email": address})
        assert refused.status_code == 422
        assert "Somebody else has the address" in refused.text

    assert primary(app, grace) == GRACE


def test_an_invitation_dies_with_the_address_that_it_was_made_for(app: Flask, mailed: Mailed) -> None:
    admin = Browser(app, "admin")
    admin.post("/users/new", {"email": GRACE, "name": "Grace", "role": "user", "language": "en"})
    link = mailed.link_to(GRACE)
    with app.app_context():
        grace = db.session.scalars(select(Invitation.user_id)).one()

    admin.post(f"/users/{grace}/address", {"email": COUNTESS})

    assert app.test_client().get(link).status_code == 404


def test_a_right_that_was_taken_away_meanwhile_changes_no_address(app: Flask, ada: UUID, mailed: Mailed) -> None:
    admin = Browser(app, "helpdesk")
    actor = replace(actor_of(admin), name="Helpdesk")

    with app.app_context(), pytest.raises(NotAllowed), unit_of_work() as session:
        address_changes.change_for(
            session, ada, COUNTESS, actor=actor, mail=app.extensions["account_mail"], now=datetime.now(UTC)
        )

    assert primary(app, ada) == ADA
