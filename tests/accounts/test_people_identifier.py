"""At which of their addresses people are written to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import update

from portal import audit, email_settings
from portal.accounts import invitations, people, people_identifier, recovery_settings, reset_codes, reset_links
from portal.accounts.models import User, UserAddress
from portal.accounts.people_identifier import written_to
from portal.accounts.recovery_settings import RecoverySettings
from portal.accounts.reset_codes import RightCode
from portal.accounts.reset_requests import request_password_reset
from portal.connection_alerts import administrators
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.answering import Answering
from tests.accounts.browsing import OTHER_PASSWORD, PASSWORD, add_person, sign_in, submit
from tests.accounts.people_at_work import Mailed, give_a_way_out
from tests.admin_browser import HTMX, Browser

ADA = "ada@contoso.test"
PAGE = "/email-settings"
ATTRIBUTES = {"user_name": "lovelace", "user_name_key": "lovelace", "custom_value": "al@mail.test", "custom_key": "al"}


def choose(app: Flask, kind: str) -> None:
    settings = EmailSettings(people_identifier=kind, people_domain="people.test", custom_attribute="Service address")
    with app.app_context(), unit_of_work() as session:
        email_settings.save(session, settings, actor=audit.COMMAND_LINE, now=datetime.now(UTC))


def give(app: Flask, user_id: UUID, **attributes: Any) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.id == user_id).values(**attributes))


def give_others(app: Flask, user_id: UUID) -> None:
    """The first validated one is neither the first that was added nor the first in the alphabet."""
    moments = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]
    with app.app_context(), unit_of_work() as session:
        for address, added_at, validated_at in (
            ("aaa@other.test", moments[0], None),
            ("bbb@other.test", moments[0], moments[2]),
            ("ccc@other.test", moments[1], moments[1]),
        ):
            values = {"address": address, "address_key": address, "added_at": added_at}
            session.add(UserAddress(user_id=user_id, validated_at=validated_at, **values))


def address_of(app: Flask, user_id: UUID) -> str:
    with app.app_context():
        return written_to(db.session(), people.get(db.session(), user_id)).address


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("primary", ADA),
        ("alternative", "ccc@other.test"),
        ("user_name", "lovelace@people.test"),
        ("custom", "al@mail.test"),
    ],
)
def test_a_person_is_written_to_at_the_chosen_address_else_at_the_primary_one(
    app: Flask, ada: UUID, kind: str, address: str
) -> None:
    choose(app, kind)

    without = address_of(app, ada)
    give(app, ada, **ATTRIBUTES)
    give_others(app, ada)

    assert without == ADA
    assert address_of(app, ada) == address


@pytest.mark.parametrize(("kind", "attribute"), [("user_name", "user_name"), ("custom", "custom_value")])
def test_what_makes_no_address_leaves_the_primary_one(app: Flask, ada: UUID, kind: str, attribute: str) -> None:
    choose(app, kind)
    give(app, ada, **{attribute: "no,address"})

    assert address_of(app, ada) == ADA


def test_mail_about_an_account_goes_there_and_the_page_says_so(app: Flask, ada: UUID) -> None:
    give_a_way_out(app)
    mailed, client, admin = Mailed(app), app.test_client(), Browser(app)
    choose(app, "user_name")
    give(app, ada, **ATTRIBUTES)
    sign_in(client)

    own, of_admin = client.get("/profile").text, admin.get("/profile").text
    of_ada = admin.get(f"/users/{ada}").text
    change = {"current_password": PASSWORD, "password": OTHER_PASSWORD}
    submit(client, "/profile", change, to="/profile/password")

    assert mailed.kinds == [("password_changed", "lovelace@people.test")]
    assert "The portal writes to you at lovelace@people.test." in own
    assert "primary address in place of what this organisation has chosen. There is no user name." in of_admin
    assert "lovelace@people.test" in of_ada


def test_administrators_get_alerts_and_test_messages_there(app: Flask) -> None:
    admin = Browser(app)
    choose(app, "user_name")
    give(app, admin.user_id, **ATTRIBUTES)

    with app.app_context():
        [one] = administrators(db.session())
        assert written_to(db.session(), one).address == "lovelace@people.test"
    assert 'value="lovelace@people.test"' in admin.get("/test-messages/new").text


@pytest.mark.parametrize(
    ("kind", "attribute", "values"),
    [
        (
            "custom",
            "custom_value",
            ["4711", "a b@c.test", "a@b", "a,b@c.test", "a..b@c.test", "a@b@c.test", "a@.c.test"],
        ),
        ("user_name", "user_name", ["a..b", ".a", "a.", "a,b", "a;b", "a(b", "a<b", 'a"b']),
    ],
)
def test_who_has_a_value_that_is_no_address_is_counted_among_those_who_lack_it(
    app: Flask, ada: UUID, kind: str, attribute: str, values: list[str]
) -> None:
    settings = EmailSettings(people_identifier=kind, people_domain="people.test", custom_attribute="Number")
    good = add_person(app, "grace@contoso.test", name="Grace")
    give(app, good, user_name="g_h%", user_name_key="g_h%", custom_value="g_h%@c.test", custom_key="g_h%@c.test")
    with app.app_context():
        viewer = people.get(db.session(), good)

    counted = []
    for value in values:
        give(app, ada, **{attribute: value, f"{kind}_key": value})
        with app.app_context():
            found = people_identifier.examples(db.session(), viewer, settings)
        counted.append((found.lacking, [one.address for one in found.shown if one.lacks]))

    assert counted == [(1, [ADA])] * len(values)


@pytest.fixture
def reset(app: Flask, ada: UUID, answering: Answering) -> Callable[[str], str]:
    """Has a reset mailed to Ada; the path of its link."""
    give_a_way_out(app)

    def mail(browser_token: str = "") -> str:
        now = datetime.now(UTC)
        with app.app_context(), unit_of_work() as session:
            request_password_reset(session, ADA, "192.0.2.7", now, browser_token=browser_token)
        answering.run(now)
        return answering.links[-1]

    return mail


@pytest.mark.parametrize("attribute", ["user_name", "custom"])
def test_who_is_written_to_elsewhere_is_told_at_the_former_address_and_links_die(
    app: Flask, ada: UUID, answering: Answering, reset: Callable[[str], str], attribute: str
) -> None:
    choose(app, attribute)
    give(app, ada, **ATTRIBUTES)
    former = address_of(app, ada)
    link, admin, mailed, page = reset(""), Browser(app, "admin"), Mailed(app), f"/users/{ada}"

    admin.fill(page, {"name": "Ada of Lovelace"})
    same = (app.test_client().get(link).status_code, mailed.kinds)
    admin.fill(page, {"user_name": "byron", "custom_value": "byron@mail.test"})

    assert answering.mailed[-1][0] == former
    assert same == (200, [])
    assert app.test_client().get(link).status_code == 404
    assert mailed.kinds == [("address_changed", former)]
    told = mailed.values[0][2]
    assert (told["change"], told["address"], told["changed_by"]) == ("unused", former, "Admin Ada")
    assert "byron" not in str(told)


def test_what_opens_an_account_dies_where_the_organisation_chooses_another_address(
    app: Flask, ada: UUID, answering: Answering, reset: Callable[[str], str]
) -> None:
    with app.app_context(), unit_of_work() as session:
        settings = RecoverySettings(means="both")
        recovery_settings.save(session, settings, actor=audit.COMMAND_LINE, now=datetime.now(UTC))
    give(app, ada, **ATTRIBUTES)
    browser = "b" * 43
    link = reset(browser)
    code = answering.mailed[-1][1]["code"]
    invited, path = invite(app)

    def right() -> RightCode | None:
        with app.app_context():
            typed = {"identifier": ADA, "code": code, "browser_token": browser, "now": datetime.now(UTC)}
            key = app.extensions["secret_box"].code_key
            return reset_codes.check(db.session(), db.engine, key, **typed)

    before = right()
    assert before is not None
    assert {app.test_client().get(one).status_code for one in (link, path)} == {200}
    choose(app, "user_name")
    give(app, invited, user_name="grace", user_name_key="grace")

    assert right() is None
    assert {app.test_client().get(one).status_code for one in (link, path)} == {404}
    with app.app_context(), unit_of_work() as session:
        assert reset_codes.use(session, before, now=datetime.now(UTC)) is None
        assert reset_links.use(session, link.rpartition("/")[2], now=datetime.now(UTC)) is None
        token, now = path.rpartition("/")[2], datetime.now(UTC)
        assert invitations.accept(session, token, "a hash", address="", now=now) is None


def test_a_link_lives_on_where_mail_goes_to_the_same_address_by_another_choice(
    app: Flask, ada: UUID, reset: Callable[[str], str]
) -> None:
    link = reset("")

    choose(app, "custom")
    give(app, ada, custom_value="Ada@CONTOSO.test", custom_key="ada@contoso.test")

    assert app.test_client().get(link).status_code == 200


def invite(app: Flask) -> tuple[UUID, str]:
    """Somebody whose invitation was mailed, and its path."""
    mail, now = app.extensions["account_mail"], datetime.now(UTC)
    with app.app_context(), unit_of_work() as session:
        person = people.prepare_invited(email="invited@contoso.test", role="user")
        asked = {
            "actor": audit.COMMAND_LINE,
            "mail": mail,
            "link_for": lambda token: f"http://localhost/invitations/{token}",
        }
        invited = invitations.add_and_invite(session, person, now=now, **asked)
    return invited.user_id, invited.link.removeprefix("http://localhost")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_an_example_is_shown_before_anything_is_saved(app: Flask, headers: dict[str, str]) -> None:
    admin = Browser(app)
    give(app, admin.user_id, **ATTRIBUTES)
    add_person(app, "grace@contoso.test", name="Grace")
    wanted = {"people_identifier": "user_name", "people_domain": "@People.TEST"}

    shown = admin.fill(PAGE, wanted, button="example", headers=headers)

    assert shown.status_code == 200
    assert "With this choice, which is not saved yet" in shown.text
    assert "lovelace@people.test" in shown.text
    assert "Grace: <strong>grace@contoso.test</strong>" in shown.text
    assert "There is no user name." in shown.text
    assert "1 person lacks it" in shown.text
    with app.app_context():
        assert email_settings.load(db.session()) == EmailSettings()


def test_the_choice_is_saved(app: Flask) -> None:
    Browser(app).fill(PAGE, {"people_identifier": "user_name", "people_domain": "@People.TEST"})

    with app.app_context():
        settings = email_settings.load(db.session())
    assert (settings.people_identifier, settings.people_domain) == ("user_name", "people.test")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"people_identifier": "user_name"}, "people_domain"),
        ({"people_identifier": "custom"}, "custom_attribute"),
        ({"people_identifier": "user_name", "people_domain": "no domain"}, "people_domain"),
        ({"custom_attribute": "x" * 61}, "custom_attribute"),
    ],
)
def test_what_the_choice_needs_is_asked_for_at_its_field(app: Flask, fields: dict[str, str], field: str) -> None:
    answer = Browser(app).fill(PAGE, fields)

    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    with app.app_context():
        assert email_settings.load(db.session()) == EmailSettings()
