"""Invitations: an account without a password, and a link by which its owner chooses the first one."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal import audit, email_settings
from portal.accounts import invitations
from portal.accounts.models import Invitation, User
from portal.audit.models import AuditEntry
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.outbox.models import Message
from portal.transaction import unit_of_work
from tests.accounts.browsing import OTHER_PASSWORD, csrf_token, sign_in, submit
from tests.accounts.people_at_work import Mailed, actions_about, give_a_way_out, user_with
from tests.admin_browser import Browser

GRACE = "grace@contoso.test"
NEW = {"email": "Grace@contoso.test", "name": "Grace Hopper", "role": "helpdesk", "language": "en"}


@pytest.fixture
def admin(app: Flask) -> Browser:
    return Browser(app, "admin")


@pytest.fixture
def mailed(app: Flask) -> Mailed:
    give_a_way_out(app)
    return Mailed(app)


@pytest.fixture
def link(admin: Browser, mailed: Mailed) -> str:
    """The path of an invitation to grace@contoso.test that was mailed."""
    assert admin.post("/users/new", {**NEW, "email": GRACE}).status_code == 303
    return mailed.link_to(GRACE)


def accept(app: Flask, path: str, password: str = OTHER_PASSWORD) -> TestResponse:
    return submit(app.test_client(), path, {"password": password})


def change(app: Flask, **values: object) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.email == GRACE).values(**values))


def test_an_invitation_is_mailed_and_opens_the_account(
    app: Flask, admin: Browser, mailed: Mailed, client: FlaskClient
) -> None:
    invited = admin.post("/users/new", NEW)
    path = mailed.link_to("Grace@contoso.test")
    page = client.get(path).get_data(as_text=True)
    accepted = submit(client, path, {"password": OTHER_PASSWORD})
    entered = sign_in(client, "grace@contoso.test", OTHER_PASSWORD)

    user = user_with(app, "Grace@contoso.test")
    assert invited.headers["Location"] == f"/users/{user.id}"
    assert mailed.values[0][2]["invited_by"] == "Admin Ada"
    assert "Admin Ada made an account for you" in page
    assert (accepted.status_code, accepted.headers["Location"]) == (303, "/sign-in")
    assert (entered.status_code, entered.headers["Location"]) == (303, "/")
    assert (user.name, user.role, user.email_key) == ("Grace Hopper", "helpdesk", "grace@contoso.test")
    actions = ["user.added", "user.invited", "user.invitation_accepted", "user.signed_in"]
    assert actions_about(app, "Grace@contoso.test") == actions


def test_account_invitation_and_mail_are_stored_together(app: Flask, link: str) -> None:
    with app.app_context():
        message = db.session.scalars(select(Message)).one()
        invitation = db.session.scalars(select(Invitation)).one()

    assert (message.kind, message.is_secret) == ("invitation", True)
    assert message.expires_at == invitation.expires_at
    assert invitation.expires_at - invitation.created_at == timedelta(days=7)
    assert invitation.was_mailed
    assert link.startswith("/invitations/")


def test_the_token_stands_nowhere_in_the_database(engine: Engine, link: str) -> None:
    token = link.rpartition("/")[2]

    with engine.connect() as connection:
        for table in ("user", "invitation", "audit_entry", "message", "message_body"):
            rows = connection.execute(text(f'select * from "{table}"')).all()
            assert rows
            assert token not in str(rows)
            assert token.encode().hex() not in str(
                [[bytes(v).hex() for v in row if isinstance(v, bytes)] for row in rows]
            )


def test_reading_the_link_a_hundred_times_changes_nothing(app: Flask, link: str) -> None:
    client = app.test_client()

    statuses = {client.open(link, method=method).status_code for method in ("GET", "HEAD") for _ in range(50)}

    assert statuses == {200}
    assert accept(app, link).status_code == 303


def test_a_link_works_once(app: Flask, link: str) -> None:
    late, token = app.test_client(), csrf_token(app.test_client(), "/forgot-password")
    token = csrf_token(late, "/forgot-password")
    first = accept(app, link)

    second = late.post(link, data={"csrf_token": token, "password": "another violin in a harbour"})

    assert (first.status_code, second.status_code) == (303, 404)
    assert sign_in(app.test_client(), GRACE, OTHER_PASSWORD).headers["Location"] == "/"


def test_of_many_who_accept_at_once_one_does(app: Flask, link: str) -> None:
    token = link.rpartition("/")[2]

    def use(number: int) -> UUID | None:
        with app.app_context(), unit_of_work() as session:
            return invitations.accept(session, token, f"hash {number}", address="", now=datetime.now(UTC))

    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(use, range(8)))

    assert len([one for one in used if one]) == 1
    assert actions_about(app, GRACE).count("user.invitation_accepted") == 1


@pytest.mark.parametrize(
    "values",
    [{"is_disabled": True}, {"role": "admin"}, {"email_key": "other@contoso.test"}, {"password_hash": "set meanwhile"}],
)
def test_a_link_dies_with_what_it_was_made_for(app: Flask, link: str, values: dict[str, object]) -> None:
    client = app.test_client()
    assert client.get(link).status_code == 200

    change(app, **values)

    assert client.get(link).status_code == 404


def test_a_link_works_until_its_last_second(app: Flask, link: str) -> None:
    token = link.rpartition("/")[2]
    with app.app_context():
        expires_at = db.session.scalars(select(Invitation.expires_at)).one()

        before = invitations.find(db.session(), token, now=expires_at - timedelta(seconds=1))
        after = invitations.find(db.session(), token, now=expires_at)

    assert before is not None
    assert after is None


def test_a_newer_invitation_makes_the_former_void(app: Flask, admin: Browser, mailed: Mailed, link: str) -> None:
    user_id = user_with(app, GRACE).id

    again = admin.post(f"/users/{user_id}/invitations", {}, page=f"/users/{user_id}")

    newer = mailed.link_to(GRACE)
    client = app.test_client()
    assert again.headers["Location"] == f"/users/{user_id}"
    assert newer != link
    assert (client.get(link).status_code, client.get(newer).status_code) == (404, 200)
    with app.app_context():
        states = sorted(db.session.scalars(select(Message.subject)))
    assert len(states) == 2  # the former mail is cancelled where it waits still


def test_a_dead_link_says_the_same_whatever_it_was(app: Flask, link: str) -> None:
    accept(app, link)
    client = app.test_client()

    pages = [client.get(path) for path in (link, "/invitations/nonsense", f"/invitations/{'a' * 43}")]

    bodies = {re.sub(r'"X-CSRFToken": "[^"]*"', "", page.get_data(as_text=True)) for page in pages}
    assert {page.status_code for page in pages} == {404}
    assert len(bodies) == 1
    assert "Otherwise ask whoever invited you" in bodies.pop()


def test_an_expired_invitation_says_so_and_how_to_get_a_new_one(app: Flask, admin: Browser, link: str) -> None:
    settings = EmailSettings(administrator_contact="IT, room 7")
    with app.app_context(), unit_of_work() as session:
        email_settings.save(session, settings, actor=audit.COMMAND_LINE, now=datetime.now(UTC))
        session.execute(update(Invitation).values(expires_at=datetime.now(UTC) - timedelta(minutes=1)))
    client = app.test_client()

    read = client.get(link)
    pressed = client.post(link, data={"csrf_token": csrf_token(client, "/sign-in"), "password": OTHER_PASSWORD})
    change(app, role="admin")
    changed = client.get(link)

    assert (read.status_code, pressed.status_code, changed.status_code) == (410, 410, 404)
    for page in (read.text, pressed.text):
        assert "This invitation has expired" in page
        assert "Ask whoever invited you to send it again" in page
        assert "IT, room 7" in page
        assert GRACE not in page
    assert "This invitation does not work" in changed.text
    assert user_with(app, GRACE).password_hash is None


@pytest.mark.parametrize("password", ["short", "grace@contoso.test", "qwertyuiopas", ""])
def test_a_weak_password_leaves_the_link_alive(app: Flask, link: str, password: str) -> None:
    refused = accept(app, link, password)

    assert refused.status_code == 422
    assert accept(app, link).status_code == 303


def test_without_a_way_out_the_link_is_shown_once_with_the_reason(app: Flask, admin: Browser) -> None:
    form = admin.get("/users/new").get_data(as_text=True)
    shown = admin.post("/users/new", {**NEW, "email": GRACE})
    page = shown.get_data(as_text=True)

    found = re.search(r'id="invitation-link" value="http://localhost(/invitations/[\w-]{43})"', page)
    assert "Invitations cannot be mailed now" in form
    assert "No connection can send yet." in form
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "no-store"
    assert "No connection can send yet." in page
    assert found
    assert accept(app, found[1]).status_code == 303
    user_page = admin.get(f"/users/{user_with(app, GRACE).id}").get_data(as_text=True)
    assert found[1] not in user_page


def test_somebody_who_is_there_already_is_not_invited_again(app: Flask, admin: Browser, link: str) -> None:
    again = admin.post("/users/new", {**NEW, "email": "GRACE@contoso.test"})

    assert again.status_code == 422
    assert "There is an account with the address GRACE@contoso.test already." in again.get_data(as_text=True)
    assert app.test_client().get(link).status_code == 200


def test_who_has_a_password_gets_no_invitation(app: Flask, admin: Browser, link: str) -> None:
    user_id = user_with(app, GRACE).id
    accept(app, link)

    refused = admin.post(f"/users/{user_id}/invitations", {}, page=f"/users/{user_id}")
    page = admin.get(refused.headers["Location"]).get_data(as_text=True)

    assert "This account has a password. Send a reset instead." in page


def test_a_forgotten_password_of_somebody_invited_needs_no_password_yet(app: Flask, link: str) -> None:
    wrong = sign_in(app.test_client(), GRACE, OTHER_PASSWORD)

    assert wrong.status_code == 422
    with app.app_context():
        of_grace = select(AuditEntry.action).where(AuditEntry.subject == GRACE).order_by(AuditEntry.id.desc())
        assert db.session.scalars(of_grace.limit(1)).one() == "user.sign_in_failed"
