"""The list of people: searched, filtered, a page at a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, update
from sqlalchemy.engine import Engine

from portal.accounts import sign_in, user_list
from portal.accounts.factor_models import AuthenticatorApp, Passkey
from portal.accounts.models import Invitation, User, UserAddress
from portal.accounts.user_list import Wanted
from portal.audit.models import AuditEntry
from portal.database import writing
from portal.extensions import db
from portal.mail.addresses import same_address_key
from portal.transaction import unit_of_work
from portal.web import limits
from portal.web.models import RateLimitCounter
from tests.accounts.browsing import statements, submit
from tests.accounts.people_at_work import person
from tests.admin_browser import Browser

NOW = datetime.now(UTC)


@pytest.fixture
def admin(app: Flask) -> Browser:
    return Browser(app, "admin")


def add(app: Flask, email: str, name: str = "", **values: object) -> None:
    row = {"id": uuid4(), "email": email, "email_key": email, "name": name, "role": "user", "created_at": NOW}
    row |= {"phone": "", "is_disabled": False, "password_hash": "a hash", "language": "en"}
    with app.app_context(), unit_of_work() as session:
        session.execute(insert(User).values({**row, **values}))


def found(app: Flask, **wanted: str) -> list[str]:
    with app.app_context():
        return [one.email for one in user_list.list_users(db.session(), Wanted(**wanted), now=NOW).users]


def test_part_of_an_address_a_name_or_a_user_name_finds_somebody(app: Flask) -> None:
    add(app, "ada@contoso.test", "Ada Lovelace", user_name="countess", user_name_key="countess")
    add(app, "jürgen@bücher.test", "Jürgen Ößner")
    add(app, "grace@contoso.test", "100% Grace_Hopper")

    finds = {
        text: found(app, text=text)
        for text in ("ada", "LOVE", "Countess", "contoso", "jürgen ößner", "ÖSSNER", "öß", "100%", "e_h", "a%a", "eve")
    }

    assert finds == {
        "ada": ["ada@contoso.test"],
        "LOVE": ["ada@contoso.test"],
        "Countess": ["ada@contoso.test"],
        "contoso": ["ada@contoso.test", "grace@contoso.test"],
        "jürgen ößner": ["jürgen@bücher.test"],
        "ÖSSNER": [],
        "öß": ["jürgen@bücher.test"],
        "100%": ["grace@contoso.test"],
        "e_h": ["grace@contoso.test"],
        "a%a": [],
        "eve": [],
    }


def test_the_beginning_of_another_validated_address_finds_its_owner(app: Flask) -> None:
    add(app, "ada@contoso.test")
    add(app, "grace@contoso.test")
    with app.app_context(), unit_of_work() as session:
        ada = session.query(User).where(User.email == "ada@contoso.test").one().id
        for address, validated_at in (("love_lace@bücher.test", NOW), ("waiting@other.test", None)):
            values = {"address_key": same_address_key(address), "added_at": NOW, "validated_at": validated_at}
            session.add(UserAddress(user_id=ada, address=address, **values))

    finds = {
        text: found(app, text=text)
        for text in ("Love_Lace@Bücher.test", "love_", "lovexlace", "lace@", "waiting@other.test", "contoso")
    }

    assert finds == {
        "Love_Lace@Bücher.test": ["ada@contoso.test"],
        "love_": ["ada@contoso.test"],
        "lovexlace": [],
        "lace@": [],
        "waiting@other.test": [],
        "contoso": ["ada@contoso.test", "grace@contoso.test"],
    }


def test_an_account_has_one_state_and_the_filters_split_them(app: Flask) -> None:
    for state in ("active", "disabled", "invited", "locked"):
        add(app, f"{state}@contoso.test", is_disabled=state == "disabled")
    with app.app_context(), unit_of_work() as session:
        invited = session.query(User).where(User.email == "invited@contoso.test").one()
        invited.password_hash = None
        session.add(_invitation(invited))
    _lock(app, "locked@contoso.test")

    by_filter = {state: found(app, state=state) for state in user_list.STATES}
    with app.app_context():
        shown = {one.email: one.state for one in user_list.list_users(db.session(), Wanted(), now=NOW).users}

    assert by_filter == {state: [f"{state}@contoso.test"] for state in user_list.STATES}
    assert shown == {f"{state}@contoso.test": state for state in user_list.STATES}


def test_a_lock_ends_by_itself(app: Flask) -> None:
    add(app, "locked@contoso.test")
    _lock(app, "locked@contoso.test")

    with app.app_context():
        after = datetime.now(UTC) + timedelta(minutes=16)  # NOW may be long past: it is when this file was read
        later = user_list.list_users(db.session(), Wanted(state="locked"), now=after).users

    assert found(app, state="locked") == ["locked@contoso.test"]
    assert later == []


def test_many_that_are_locked_are_all_found_by_two_statements(app: Flask, engine: Engine) -> None:
    emails = [f"person.{number:03}@contoso.test" for number in range(300)]
    row = {"name": "", "role": "user", "created_at": NOW, "phone": "", "is_disabled": False, "language": "en"}
    row |= {"password_hash": "a hash"}
    failed = {"at": NOW, "action": "user.sign_in_failed", "actor_name": "", "actor_address": "", "changes": {}}
    with app.app_context(), unit_of_work() as session:
        session.execute(insert(User), [{"id": uuid4(), "email": one, "email_key": one, **row} for one in emails])
        session.execute(insert(AuditEntry), [{"subject": one, **failed} for one in emails for _ in range(10)])
    for email in emails[:-1]:  # the last one failed as often, and was unlocked
        limits.allow(engine, sign_in.PER_ACCOUNT[0], *sign_in.account_key(email), now=NOW)
    with writing(engine).begin() as connection:
        connection.execute(update(RateLimitCounter).values(hits=10))

    with app.app_context():
        with statements(engine) as seen:
            locked = user_list.locked_keys(db.session(), now=NOW)
        by_state = {
            state: user_list.list_users(db.session(), Wanted(state=state, after=emails[280]), now=NOW).users
            for state in ("locked", "active")
        }

    assert locked == set(emails[:-1])
    assert len([one for one in seen if one.startswith("SELECT")]) == 2
    assert [one.email for one in by_state["locked"]] == emails[281:-1]
    assert [one.email for one in by_state["active"]] == emails[-1:]


def test_a_second_factor_counts_once_it_is_confirmed(app: Flask) -> None:
    for name in ("app", "begun", "none", "passkey"):
        add(app, f"{name}@contoso.test")
    with app.app_context(), unit_of_work() as session:
        ids = {user.email.partition("@")[0]: user.id for user in session.query(User)}
        session.add(AuthenticatorApp(user_id=ids["app"], sealed="x", created_at=NOW, confirmed_at=NOW))
        session.add(AuthenticatorApp(user_id=ids["begun"], sealed="x", created_at=NOW))
        session.add(
            Passkey(user_id=ids["passkey"], credential_id=b"1", public_key=b"2", sign_count=0, name="", created_at=NOW)
        )

    with app.app_context():
        shown = {
            one.email: one.has_second_factor for one in user_list.list_users(db.session(), Wanted(), now=NOW).users
        }

    assert shown == {
        "app@contoso.test": True,
        "begun@contoso.test": False,
        "none@contoso.test": False,
        "passkey@contoso.test": True,
    }


def test_pages_follow_each_other_without_a_gap(app: Flask, admin: Browser) -> None:
    for number in range(120):
        add(app, f"person.{number:03}@contoso.test")
    seen: list[str] = []

    path = "/users?text=person."
    while path:
        page = admin.get(path).get_data(as_text=True)
        seen += re.findall(r'href="/users/[0-9a-f-]{36}">([^<]+)</a>', page)
        onward = re.search(r'href="(/users\?[^"]*after=[^"]+)"', page)
        path = onward[1].replace("&amp;", "&") if onward else ""

    assert seen == [f"person.{number:03}@contoso.test" for number in range(120)]


def test_what_the_address_asks_wrongly_counts_for_nothing(app: Flask, admin: Browser) -> None:
    answer = admin.get("/users?role=king&state=nonsense&after=%00&text=%27%3Cb%3E")

    assert answer.status_code == 200
    assert "<b>" not in answer.get_data(as_text=True)


def test_the_list_is_for_administrators_and_the_helpdesk(app: Flask) -> None:
    person(app)

    admin, helpdesk = (Browser(app, role).get("/users").get_data(as_text=True) for role in ("admin", "helpdesk"))

    assert "grace@contoso.test" in admin
    assert "grace@contoso.test" in helpdesk
    assert "/users/new" in admin
    assert "/users/new" not in helpdesk
    assert Browser(app, "user").get("/users").status_code == 403


def _invitation(user: User) -> Invitation:
    return Invitation(
        user_id=user.id,
        token_hash=b"x" * 32,
        email_key=user.email_key,
        role=user.role,
        invited_by="",
        created_at=NOW,
        expires_at=NOW,
    )


def _lock(app: Flask, email: str) -> None:
    """Somebody types ten wrong passwords."""
    client: FlaskClient = app.test_client()
    answers = [submit(client, "/sign-in", {"email": email, "password": "wrong"}).status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]
