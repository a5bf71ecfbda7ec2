"""Nobody removes the own last way in, and of the administrators one can sign in still, whoever acts at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from portal import audit
from portal.accounts import provider_settings, second_factor, user_changes, user_help, ways_in
from portal.accounts.account_mail import AccountMail
from portal.accounts.factor_models import Passkey
from portal.accounts.models import User
from portal.accounts.passkeys import NewPasskey
from portal.accounts.provider_models import ProviderIdentity
from portal.accounts.provider_settings import NobodyLeft, ProviderSettings
from portal.accounts.second_factor import Owner
from portal.accounts.user_changes import NotChanged
from portal.accounts.ways_in import LastWayIn
from portal.connections.values import SecretAction, SecretChange
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.authenticator import Authenticator
from tests.accounts.browsing import NOW, add_person, submit
from tests.accounts.factors import OWN, add_passkey
from tests.accounts.people_at_work import Mailed, actions_about, give_a_way_out, open_sessions
from tests.accounts.providing import ADA, add_unopened, count, link, set_up
from tests.accounts.test_provider_link import REMOVE
from tests.admin_browser import Browser
from tests.outside.oidc_provider import OIDCProvider

Act = Callable[[], None]


def give_passkey(app: Flask, user_id: UUID) -> UUID:
    with app.app_context(), unit_of_work() as session:
        new = NewPasskey(user_id.bytes, b"key", 0, "", is_backed_up=False)
        assert second_factor.add_passkey(session, owner(app, user_id), new, "Blue key", now=NOW) is not None
        return session.scalars(select(Passkey.id).where(Passkey.user_id == user_id)).one()


def owner(app: Flask, user_id: UUID) -> Owner:
    return Owner(user_id, audit.Actor(user_id, "Ada", ""), mail_of(app))


def mail_of(app: Flask) -> AccountMail:
    mail: AccountMail = app.extensions["account_mail"]
    return mail


def forget_password(app: Flask, user_id: UUID) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.id == user_id).values(password_hash=None))


def administrators(app: Flask) -> set[UUID]:
    with app.app_context():
        return ways_in.administrators(db.session())


@pytest.mark.parametrize("first", ["link", "passkey"])
def test_the_last_of_several_ways_in_stays_whichever_goes_first(
    app: Flask, provider: OIDCProvider, ada: UUID, ada_client: FlaskClient, first: str
) -> None:
    set_up(app, provider)
    link(app, provider, ada)
    add_passkey(ada_client, Authenticator())
    forget_password(app, ada)
    with app.app_context():
        passkey = f"{OWN}/passkeys/{db.session.scalars(select(Passkey.id)).one()}/removal"
    pages = (("/profile", REMOVE), (passkey, passkey))

    answers = [submit(ada_client, page, {}, to=to) for page, to in (pages if first == "link" else pages[::-1])]

    assert "is your only way in" in ada_client.get(answers[1].location).text
    assert (count(app, Passkey), count(app, ProviderIdentity)) == ((1, 0) if first == "link" else (0, 1))


def test_an_administrator_removes_a_link_and_the_owner_is_told_and_signed_out(
    app: Flask, provider: OIDCProvider, ada: UUID, ada_client: FlaskClient
) -> None:
    give_a_way_out(app)
    set_up(app, provider)
    link(app, provider, ada)
    admin, mailed = Browser(app, "admin"), Mailed(app)
    shown = admin.get(f"/users/{ada}").text

    admin.post(f"/users/{ada}/provider-link-removal", {}, page="/users")

    assert "Linked with Contoso" in shown
    assert "Remove the link with the provider" not in admin.get(f"/users/{ada}").text
    assert (count(app, ProviderIdentity), open_sessions(app, ada)) == (0, 0)
    assert actions_about(app, ADA)[-1] == "user.provider_unlinked"
    assert [(kind, values["change"]) for kind, _, values in mailed.values] == [
        ("second_factor_changed", "provider_unlinked")
    ]


def test_the_helpdesk_sees_a_link_and_does_not_remove_it(app: Flask, provider: OIDCProvider, ada: UUID) -> None:
    set_up(app, provider)
    link(app, provider, ada)
    helpdesk = Browser(app, "helpdesk")

    answer = helpdesk.post(f"/users/{ada}/provider-link-removal", {}, page="/users")

    page = helpdesk.get(f"/users/{ada}").text
    assert answer.status_code == 403
    assert "Linked with Contoso" in page
    assert "Remove the link with the provider" not in page
    assert count(app, ProviderIdentity) == 1


@pytest.mark.parametrize("way", ["link", "passkey"])
def test_staff_cannot_take_the_last_administrators_last_way_in(app: Flask, provider: OIDCProvider, way: str) -> None:
    set_up(app, provider)
    last = add_unopened(app, role="admin")
    if way == "link":
        link(app, provider, last)
    else:
        give_passkey(app, last)
    remove = user_help.remove_provider_link if way == "link" else user_help.remove_second_factor

    with app.app_context(), pytest.raises(NotChanged), unit_of_work() as session:
        remove(session, last, actor=audit.Actor(last, "Ada", ""), mail=mail_of(app), now=NOW)

    assert administrators(app) == {last}


def test_people_of_a_provider_are_not_offered_the_invitation_again(
    app: Flask, provider: OIDCProvider, admin_page: Callable[[UUID], str]
) -> None:
    give_a_way_out(app)
    set_up(app, provider)
    ada = add_unopened(app)
    invited = admin_page(ada)
    link(app, provider, ada)

    linked = admin_page(ada)

    assert "Send the invitation again" in invited
    assert "Send the invitation again" not in linked
    assert "signs in with Contoso" in linked


@pytest.fixture
def admin_page(app: Flask) -> Callable[[UUID], str]:
    admin = Browser(app, "admin")
    return lambda user_id: admin.get(f"/users/{user_id}").text


@pytest.mark.parametrize("earlier", ["settings", "disabling", "passkey"])
def test_of_two_acts_at_once_that_leave_no_administrator_the_later_is_refused(
    app: Flask, provider: OIDCProvider, engine: Engine, earlier: str
) -> None:
    """The later one waits for the earlier one's commit, and judges by what is there then."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    set_up(app, provider)
    by_password = add_person(app, "a@contoso.test", role="admin")
    by_link = add_unopened(app, "b@contoso.test", role="admin")
    link(app, provider, by_link)
    passkey = give_passkey(app, by_link) if earlier == "passkey" else None
    if earlier == "passkey":
        forget_password(app, by_password)
    has_written, may_commit = threading.Event(), threading.Event()

    def switch_off() -> None:
        save_nothing(app, by_password)

    def disable() -> None:
        user_changes.disable(db.session(), by_password, actor=audit.Actor(by_link, "B", ""), now=NOW)

    def remove() -> None:
        assert passkey is not None
        second_factor.remove_passkey(db.session(), owner(app, by_link), passkey, now=NOW)

    acts: dict[str, tuple[Act, Act]] = {
        "settings": (switch_off, disable),
        "disabling": (disable, switch_off),
        "passkey": (remove, switch_off),
    }
    first, second = acts[earlier]

    def begin_first() -> None:
        with app.app_context(), unit_of_work() as session:
            first()
            session.flush()
            has_written.set()
            assert may_commit.wait(30)

    def begin_second() -> None:
        with app.app_context(), unit_of_work():
            second()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(begin_first)
        assert has_written.wait(30)
        other = pool.submit(begin_second)
        wait_for_a_lock(engine)
        may_commit.set()
        one.result(30)
        with pytest.raises((NobodyLeft, NotChanged, LastWayIn)):
            other.result(30)

    assert administrators(app)


def save_nothing(app: Flask, actor: UUID) -> None:
    session = db.session()
    provider_settings.save(
        session,
        ProviderSettings(),
        secret=SecretChange(SecretAction.CLEAR),
        box=app.extensions["secret_box"],
        actor=audit.Actor(actor, "A", ""),
        expected_version=provider_settings.load_saved(session).version,
        now=NOW,
    )


def wait_for_a_lock(engine: Engine) -> None:
    """Until one of this database's transactions waits for another's row."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(3000):
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            if connection.exec_driver_sql(f"{waiting} AND datname = current_database()").scalar():
                return
            connection.exec_driver_sql("SELECT pg_sleep(0.01)")
    pytest.fail("nobody waits: the two acts did not meet")
