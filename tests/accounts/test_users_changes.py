"""What administrators, and the helpdesk, do about people; and what they may not."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from portal import audit
from portal.accounts import people, second_factor, security_questions, user_changes, user_help
from portal.accounts.factor_models import AuthenticatorApp, Passkey, RecoveryCode
from portal.accounts.models import User, UserSession
from portal.accounts.user_changes import NotAllowed, NotChanged
from portal.connections import MailState
from portal.email_settings.models import EmailSettingsRow
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.answering import Answering
from tests.accounts.browsing import OTHER_PASSWORD, is_signed_in, sign_in, submit
from tests.accounts.people_at_work import (
    Mailed,
    actions_about,
    actor_of,
    give_a_way_out,
    open_sessions,
    person,
    user_of,
)
from tests.accounts.test_recovery_settings import settle
from tests.admin_browser import Browser

GRACE = "grace@contoso.test"
NOW = datetime.now(UTC)
ACTS = (
    *("disabling", "enabling", "invitations", "password-reset", "forced-reset", "unlocking", "sign-outs"),
    *("second-factor-removal", "security-questions-removal", "deletion"),
)
HELP = {"password-reset", "unlocking", "sign-outs"}


@pytest.fixture
def admin(app: Flask) -> Browser:
    return Browser(app, "admin")


@pytest.fixture
def grace(app: Flask) -> UUID:
    return person(app)


def act(browser: Browser, user_id: UUID, what: str) -> TestResponse:
    return browser.post(f"/users/{user_id}/{what}", {}, page="/users")


def said(browser: Browser, answer: TestResponse) -> str:
    return browser.get(answer.headers["Location"]).get_data(as_text=True)


def change(browser: Browser, user_id: UUID, **values: str) -> TestResponse:
    return browser.fill(f"/users/{user_id}", {"name": "Grace", **values})


def test_facts_are_changed_with_an_audit_row(app: Flask, admin: Browser, grace: UUID) -> None:
    answer = change(
        admin, grace, name="Grace Hopper", role="helpdesk", phone="+49 30 1", user_name="hopper", language="de"
    )

    user = user_of(app, grace)
    assert user
    assert answer.headers["Location"] == f"/users/{grace}"
    assert (user.name, user.role, user.phone, user.language) == ("Grace Hopper", "helpdesk", "+49 30 1", "de")
    assert (user.user_name, user.user_name_key) == ("hopper", "hopper")
    assert actions_about(app, GRACE) == ["user.added", "user.changed"]


def test_a_user_name_is_one_persons(app: Flask, admin: Browser, grace: UUID) -> None:
    other = person(app, "ada@contoso.test", name="Ada")
    assert change(admin, grace, user_name="Hopper").status_code == 303

    taken = change(admin, other, user_name="hOPPER")

    assert taken.status_code == 409
    assert "Somebody else has this user name already." in taken.get_data(as_text=True)


@pytest.mark.parametrize("name", ["command line", "The  Portal", "Somebody not signed in", "server wiki", "Server  7"])
def test_nobody_is_called_as_the_audit_log_calls_what_is_no_person(
    app: Flask, admin: Browser, grace: UUID, client: FlaskClient, name: str
) -> None:
    sign_in(client, GRACE)

    by_others, by_oneself = change(admin, grace, name=name), submit(client, "/profile", {"name": name})

    user = user_of(app, grace)
    assert (by_others.status_code, by_oneself.status_code) == (422, 422)
    assert "The audit log uses this name for what is no person." in by_others.text
    assert "The audit log uses this name for what is no person." in by_oneself.text
    assert user
    assert user.name == "Grace"


def test_the_audit_log_tells_accounts_of_one_name_apart_and_marks_what_is_none(
    app: Flask, admin: Browser, grace: UUID, client: FlaskClient
) -> None:
    sign_in(client, GRACE)
    submit(client, "/profile", {"name": "Admin Ada"})
    submit(client, "/profile", {"name": "Grace"})
    sign_in(app.test_client(), GRACE, "wrong")

    page = " ".join(re.sub("<[^>]*>", " ", admin.get("/audit-log").text).split())

    assert f"Admin Ada account {str(grace)[:8]}" in page
    assert "somebody not signed in (no account)" in page


def test_who_was_called_as_a_server_before_stays_an_account_in_the_audit_log(
    app: Flask, admin: Browser, grace: UUID, client: FlaskClient
) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.id == grace).values(name="server wiki"))
    sign_in(client, GRACE)

    unchanged = submit(client, "/profile", {"name": "server wiki"})
    page = " ".join(re.sub("<[^>]*>", " ", admin.get("/audit-log").text).split())

    assert f"server wiki account {str(grace)[:8]}" in page
    assert "server wiki (no account)" not in page
    assert unchanged.status_code == 422
    assert submit(client, "/profile", {"name": "Grace"}).status_code == 303


@pytest.mark.parametrize("user_name", ["a@b", "a b", "x" * 101, "a\u202eb"])
def test_a_user_name_that_would_mislead_is_refused(admin: Browser, grace: UUID, user_name: str) -> None:
    assert change(admin, grace, user_name=user_name).status_code == 422


def test_the_organisations_own_attribute_is_asked_for_only_where_it_has_a_name(
    app: Flask, admin: Browser, grace: UUID
) -> None:
    before = admin.post(f"/users/{grace}", {"name": "Grace", "role": "user", "language": "en", "custom_value": "4711"})
    untouched = user_of(app, grace)
    with app.app_context(), unit_of_work() as session:
        session.add(_settings("Personnel number"))
    page = admin.get(f"/users/{grace}").get_data(as_text=True)
    after = change(admin, grace, custom_value="4711")

    user = user_of(app, grace)
    assert untouched
    assert user
    assert (before.status_code, untouched.custom_value) == (303, "")
    assert "Personnel number" in page
    assert (after.status_code, user.custom_value, user.custom_key) == (303, "4711", "4711")


@pytest.mark.parametrize("field", ["email", "id", "is_disabled", "password_hash", "must_reset", "created_at"])
def test_a_field_that_the_form_does_not_have_is_not_taken(app: Flask, admin: Browser, grace: UUID, field: str) -> None:
    before = vars(user_of(app, grace))

    page, facts = f"/users/{grace}", {"name": "Grace", "role": "user", "language": "en"}
    answer = admin.post(page, {**facts, field: "1"})

    after = vars(user_of(app, grace))
    assert answer.status_code == 303
    assert {**after, "_sa_instance_state": 0} == {**before, "_sa_instance_state": 0}


def test_another_role_ends_every_session(app: Flask, admin: Browser, grace: UUID, client: FlaskClient) -> None:
    sign_in(client, GRACE)
    assert is_signed_in(client)

    change(admin, grace, role="helpdesk")

    assert not is_signed_in(client)


def test_a_disabled_account_is_signed_out_and_let_in_again_when_enabled(
    app: Flask, admin: Browser, grace: UUID, client: FlaskClient
) -> None:
    sign_in(client, GRACE)

    act(admin, grace, "disabling")
    disabled = is_signed_in(client), sign_in(app.test_client(), GRACE).status_code
    act(admin, grace, "enabling")

    assert disabled == (False, 422)
    assert sign_in(app.test_client(), GRACE).status_code == 303
    assert actions_about(app, GRACE)[:2] == ["user.added", "user.signed_in"]
    assert {"user.disabled", "user.enabled"} < set(actions_about(app, GRACE))


def test_a_deleted_account_is_gone_with_what_was_its_own(app: Flask, admin: Browser, grace: UUID) -> None:
    sign_in(app.test_client(), GRACE)
    _add_factors(app, grace)

    page = admin.get(f"/users/{grace}/deletion").get_data(as_text=True)
    answer = act(admin, grace, "deletion")

    assert "every session" in page
    assert answer.headers["Location"] == "/users"
    assert user_of(app, grace) is None
    with app.app_context():
        for table in (UserSession, AuthenticatorApp, Passkey, RecoveryCode):
            assert db.session.scalar(select(func.count()).where(table.user_id == grace)) == 0
    assert actions_about(app, GRACE)[-1] == "user.deleted"
    assert admin.get(f"/users/{grace}").status_code == 404


def test_a_reset_is_mailed_whatever_strangers_asked_for(
    app: Flask, grace: UUID, answering: Answering, client: FlaskClient
) -> None:
    give_a_way_out(app)
    helpdesk = Browser(app, "helpdesk")
    for _ in range(4):  # strangers use the hour's mails up
        submit(client, "/forgot-password", {"identifier": GRACE})
        answering.run(datetime.now(UTC))
    strangers = len(answering.links)

    answer = act(helpdesk, grace, "password-reset")
    answering.run(datetime.now(UTC))

    assert "is kept in this portal, under Captured mail." in said(helpdesk, answer)
    assert strangers == 3
    assert len(answering.links) == 4
    assert client.get(answering.links[-1]).status_code == 200
    assert "user.reset_sent" in actions_about(app, GRACE)


def test_a_forced_reset_shuts_the_password_out_until_there_is_another(
    app: Flask, admin: Browser, grace: UUID, answering: Answering, client: FlaskClient
) -> None:
    give_a_way_out(app)
    sign_in(client, GRACE)

    act(admin, grace, "forced-reset")
    shut_out = is_signed_in(client), sign_in(app.test_client(), GRACE).status_code
    answering.run(datetime.now(UTC))
    chosen = submit(app.test_client(), answering.links[-1], {"password": OTHER_PASSWORD})

    assert shut_out == (False, 422)
    assert chosen.status_code == 303
    assert sign_in(app.test_client(), GRACE, OTHER_PASSWORD).status_code == 303
    assert "user.reset_forced" in actions_about(app, GRACE)


@pytest.mark.parametrize("what", ["password-reset", "forced-reset"])
def test_without_a_way_out_nobody_is_sent_or_forced_anything(
    app: Flask, admin: Browser, grace: UUID, what: str
) -> None:
    answer = act(admin, grace, what)

    user = user_of(app, grace)
    assert "No connection can send yet." in said(admin, answer)
    assert user
    assert not user.must_reset
    assert actions_about(app, GRACE) == ["user.added"]


def test_unlocking_lets_the_owner_try_again_at_once(app: Flask, grace: UUID) -> None:
    guesser = app.test_client()
    for _ in range(10):
        sign_in(guesser, GRACE, "wrong")
    locked = sign_in(app.test_client(), GRACE).status_code
    helpdesk = Browser(app, "helpdesk")
    page = helpdesk.get(f"/users/{grace}").get_data(as_text=True)

    act(helpdesk, grace, "unlocking")

    assert locked == 429
    assert "Locked" in page
    assert sign_in(app.test_client(), GRACE).status_code == 303
    assert "user.unlocked" in actions_about(app, GRACE)


def test_all_sessions_of_somebody_are_ended(app: Flask, grace: UUID) -> None:
    for _ in range(3):
        sign_in(app.test_client(), GRACE)

    act(Browser(app, "helpdesk"), grace, "sign-outs")

    assert open_sessions(app, grace) == 0


def test_a_lost_second_factor_is_removed_and_its_owner_is_told(app: Flask, admin: Browser, grace: UUID) -> None:
    give_a_way_out(app)
    mailed = Mailed(app)
    _add_factors(app, grace)

    first = said(admin, act(admin, grace, "second-factor-removal"))
    second = said(admin, act(admin, grace, "second-factor-removal"))

    assert "The second factor is removed" in first
    assert "This account has no second factor." in second
    assert mailed.kinds == [("second_factor_removed", GRACE)]
    assert "user.second_factor_reset" in actions_about(app, GRACE)
    with app.app_context():
        for table in (AuthenticatorApp, Passkey, RecoveryCode):
            assert db.session.scalar(select(func.count()).where(table.user_id == grace)) == 0


def test_who_lost_a_second_factor_by_the_command_line_is_told_so_in_a_sentence(app: Flask, grace: UUID) -> None:
    give_a_way_out(app)
    mailed = Mailed(app)
    _add_factors(app, grace)

    with app.app_context(), unit_of_work() as session:
        person, mail = people.find(session, GRACE), app.extensions["account_mail"]
        assert person is not None
        second_factor.reset(session, person, actor=audit.COMMAND_LINE, mail=mail, now=datetime.now(UTC))

    [(_, _, values)] = mailed.values
    assert str(values["removed_by"]) == "Somebody on the command line"


def test_nobody_forces_a_new_password_on_the_own_account(app: Flask, admin: Browser) -> None:
    give_a_way_out(app)
    Browser(app, "admin")

    page = admin.get(f"/users/{admin.user_id}").text
    answer = said(admin, act(admin, admin.user_id, "forced-reset"))

    user = user_of(app, admin.user_id)
    assert "Send a reset" in page
    assert "Force a new password" not in page
    assert "You cannot force this on yourself." in answer
    assert user
    assert not user.must_reset


def test_an_administrator_who_must_choose_another_password_keeps_no_portal_alive(app: Flask, admin: Browser) -> None:
    give_a_way_out(app)
    other = Browser(app, "admin")
    forced = said(admin, act(admin, other.user_id, "forced-reset"))

    left = admin.fill(f"/users/{admin.user_id}", {"role": "user"})
    with app.app_context(), pytest.raises(NotChanged, match="only administrator"), unit_of_work() as session:
        capturing = partial(user_help.force_reset, mail_state=lambda _session: MailState.CAPTURES)
        capturing(session, admin.user_id, actor=actor_of(other), now=NOW)

    assert "The mail with a link is kept in this portal" in forced
    assert left.status_code == 409


def test_forgotten_answers_are_removed_and_a_reset_asks_for_none(
    app: Flask, admin: Browser, grace: UUID, answering: Answering, client: FlaskClient
) -> None:
    give_a_way_out(app)
    mailed = Mailed(app)
    settle(app, questions=1)
    none = said(admin, act(admin, grace, "security-questions-removal"))
    with app.app_context():
        asked = security_questions.hash_answers([("Which pet was it?", "Rumpelstilz")])
        with unit_of_work() as session:
            security_questions.store(session, grace, asked, actor=actor_of(admin), now=NOW)
    act(admin, grace, "password-reset")
    answering.run(datetime.now(UTC))
    before = client.get(answering.links[-1]).text

    offered = admin.get(f"/users/{grace}").text
    removed = said(admin, act(admin, grace, "security-questions-removal"))

    assert "This account has no security questions." in none
    assert "Which pet was it?" in before
    assert "Remove the security questions" in offered
    assert "The security questions are removed." in removed
    assert "Remove the security questions" not in removed
    assert "Which pet was it?" not in client.get(answering.links[-1]).text
    assert actions_about(app, GRACE)[-1] == "user.security_questions_removed"
    assert [(kind, to) for kind, to, values in mailed.values if values.get("change") == "questions_removed"] == [
        ("second_factor_changed", GRACE)
    ]


@pytest.mark.parametrize("what", ACTS)
def test_the_helpdesk_helps_but_changes_nothing(app: Flask, grace: UUID, what: str) -> None:
    give_a_way_out(app)
    helpdesk = Browser(app, "helpdesk")

    assert act(helpdesk, grace, what).status_code == (303 if what in HELP else 403)
    assert helpdesk.post(f"/users/{grace}", {"name": "Eve", "role": "admin"}, page="/users").status_code == 403


@pytest.mark.parametrize("what", ACTS)
def test_the_helpdesk_touches_no_administrator(app: Flask, admin: Browser, what: str) -> None:
    give_a_way_out(app)

    answer = act(Browser(app, "helpdesk"), admin.user_id, what)

    assert answer.status_code == 403
    assert open_sessions(app, admin.user_id) == 1


def test_the_helpdesks_page_offers_only_what_it_may(app: Flask, admin: Browser, grace: UUID) -> None:
    give_a_way_out(app)
    helpdesk = Browser(app, "helpdesk")

    page = helpdesk.get(f"/users/{grace}").get_data(as_text=True)
    administrators = helpdesk.get(f"/users/{admin.user_id}").get_data(as_text=True)

    for offered in ("Send a reset", "Unlock", "End all sessions"):
        assert offered in page
        assert offered not in administrators
    for withheld in ("Force a new password", "Disable", "Delete", 'name="role"'):
        assert withheld not in page + administrators


def test_what_somebody_may_do_is_looked_at_when_it_is_done(app: Flask, admin: Browser, grace: UUID) -> None:
    helper = Browser(app, "admin")
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.id == helper.user_id).values(role="user"))

    with app.app_context(), pytest.raises(NotAllowed), unit_of_work() as session:
        user_changes.disable(session, grace, actor=actor_of(helper), now=NOW)

    user = user_of(app, grace)
    assert user
    assert not user.is_disabled


def test_nobody_disables_or_deletes_the_own_account(app: Flask, admin: Browser) -> None:
    Browser(app, "admin")

    answers = [said(admin, act(admin, admin.user_id, what)) for what in ("disabling", "deletion")]

    assert "You cannot disable your own account." in answers[0]
    assert "You cannot delete your own account." in answers[1]
    assert user_of(app, admin.user_id)


def test_the_last_administrator_keeps_the_role(app: Flask, admin: Browser) -> None:
    _invite_an_administrator(app)  # who cannot sign in yet, and so keeps no portal alive

    alone = admin.fill(f"/users/{admin.user_id}", {"role": "user"})
    Browser(app, "admin")
    beside_another = admin.fill(f"/users/{admin.user_id}", {"role": "user"})

    assert alone.status_code == 409
    assert "This is the only administrator who can sign in." in alone.get_data(as_text=True)
    assert beside_another.status_code == 303


@pytest.mark.parametrize("round_number", range(5))
@pytest.mark.parametrize("how", ["demote", "disable", "delete"])
def test_of_two_administrators_who_remove_each_other_at_once_one_stays(app: Flask, how: str, round_number: int) -> None:
    one, other = Browser(app, "admin"), Browser(app, "admin")
    start = threading.Barrier(2)

    def remove(by: Browser, whom: Browser) -> str:
        with app.app_context():
            start.wait(timeout=20)
            try:
                with unit_of_work() as session:
                    _remove(session, how, by, whom)
            except (NotChanged, NotAllowed, LookupError) as refusal:
                return type(refusal).__name__
            return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = [future.result() for future in (pool.submit(remove, one, other), pool.submit(remove, other, one))]

    with app.app_context():
        left = select(func.count()).where(User.role == "admin", User.is_disabled.is_(False))
        assert db.session.scalar(left) == 1
    assert sorted(outcomes)[-1] == "done"
    assert outcomes.count("done") == 1


@pytest.mark.parametrize("what", ["", *(f"/{one}" for one in ACTS)])
def test_somebody_who_never_was_is_404(app: Flask, admin: Browser, what: str) -> None:
    answer = admin.post(f"/users/00000000-0000-4000-8000-000000000000{what}", {"name": "Eve"}, page="/users")

    assert answer.status_code == 404


def test_an_old_sign_in_must_give_the_password_again_first(app: Flask, grace: UUID) -> None:
    admin = Browser(app, "admin", signed_in_at=datetime(2020, 1, 1, tzinfo=UTC))

    answers = [act(admin, grace, what) for what in ACTS] + [admin.get("/users/new"), admin.get("/users/import")]

    assert {answer.status_code for answer in answers} == {303}
    assert all(answer.headers["Location"].startswith("/confirm-password?") for answer in answers)
    assert actions_about(app, GRACE) == ["user.added"]


def _remove(session: object, how: str, by: Browser, whom: Browser) -> None:
    actor = actor_of(by)
    if how == "demote":
        details = user_changes.Details(name="", role="user", phone="", user_name="", custom_value="", language="en")
        user_changes.change_details(session, whom.user_id, details, actor=actor, now=NOW)  # type: ignore[arg-type]
    else:
        removing = {"disable": user_changes.disable, "delete": user_changes.delete_user}[how]
        removing(session, whom.user_id, actor=actor, now=NOW)  # type: ignore[arg-type]


def _invite_an_administrator(app: Flask) -> None:
    invited = person(app, "invited@contoso.test", role="admin")
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.id == invited).values(password_hash=None))


def _add_factors(app: Flask, user_id: UUID) -> None:
    with app.app_context(), unit_of_work() as session:
        session.add(AuthenticatorApp(user_id=user_id, sealed="x", created_at=NOW, confirmed_at=NOW))
        session.add(RecoveryCode(user_id=user_id, code_hash=b"3" * 32, created_at=NOW))
        session.add(
            Passkey(user_id=user_id, credential_id=b"1", public_key=b"2", sign_count=0, name="", created_at=NOW)
        )


def _settings(custom_attribute: str) -> EmailSettingsRow:
    empty = dict.fromkeys(("from_address", "display_name", "reply_to", "automatic_bcc", "administrator_contact"), "")
    return EmailSettingsRow(
        **empty,
        id=1,
        enabled=True,
        notifications_enabled=True,
        format="html",
        custom_attribute=custom_attribute,
        version=1,
        changed_at=NOW,
        changed_by="",
    )
