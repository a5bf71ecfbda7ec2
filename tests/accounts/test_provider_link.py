"""One's own account and the one at the provider: linked, parted, and shown anew in place of the password."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.engine import Engine

from portal.accounts import reset_requests
from portal.accounts.models import UserSession
from portal.accounts.provider_models import ProviderIdentity
from portal.transaction import unit_of_work
from tests.accounts.answering import Answering
from tests.accounts.authenticator import Authenticator
from tests.accounts.browsing import csrf_token, sign_in, submit
from tests.accounts.factors import SECOND_STEP, actions, add_app, add_passkey, answer_with, give_code
from tests.accounts.people_at_work import Mailed, give_a_way_out, person, user_with
from tests.accounts.providing import ADA, add_unopened, count, go_through, link, set_up, start
from tests.outside.oidc_provider import OIDCProvider

BY_APP = "/confirm-password/app-code"
LINK, REMOVE, AGAIN = "/profile/provider", "/profile/provider/removal", "/confirm-password/provider"


def make_old(app: Flask) -> None:
    """The passwords of all sessions were given an hour ago."""
    with app.app_context(), unit_of_work() as session:
        session.execute(update(UserSession).values(confirmed_at=datetime.now(UTC) - timedelta(hours=1)))


def test_somebody_signed_in_links_the_own_account_and_signs_in_there_from_then_on(
    app: Flask, provider: OIDCProvider, ada_client: FlaskClient, engine: Engine
) -> None:
    set_up(app, provider)
    provider.claims = {"sub": "1001"}  # no address is needed

    answer = go_through(ada_client, provider, to=LINK, page="/profile")

    other = app.test_client()
    assert answer.location == "/profile"
    assert "Your account is linked" in ada_client.get("/profile").text
    assert "user.provider_linked" in actions(engine)
    assert go_through(other, provider).location == "/"
    assert other.get("/profile").status_code == 200


def test_the_password_is_asked_before_an_account_is_linked(
    app: Flask, provider: OIDCProvider, ada_client: FlaskClient
) -> None:
    set_up(app, provider)
    make_old(app)

    assert start(ada_client, to=LINK, page="/profile") == "/confirm-password?next=%2Fprofile"


def test_an_account_there_belongs_to_one_person_here(
    app: Flask, provider: OIDCProvider, ada_client: FlaskClient
) -> None:
    set_up(app, provider)
    link(app, provider, person(app))

    go_through(ada_client, provider, to=LINK, page="/profile")

    assert "linked with somebody else" in ada_client.get("/profile").text
    assert count(app, ProviderIdentity) == 1


def test_one_account_here_has_one_there(app: Flask, provider: OIDCProvider, ada: UUID, ada_client: FlaskClient) -> None:
    set_up(app, provider)
    link(app, provider, ada, "2002")

    go_through(ada_client, provider, to=LINK, page="/profile")

    assert "Remove that link first" in ada_client.get("/profile").text
    assert count(app, ProviderIdentity) == 1


def test_nobody_links_an_account_to_somebody_elses_session(
    app: Flask, provider: OIDCProvider, ada_client: FlaskClient
) -> None:
    """Whoever began it signed out meanwhile, and somebody else signed in in the same browser."""
    set_up(app, provider)
    person(app)
    back = provider.sign_in(start(ada_client, to=LINK, page="/profile"))
    submit(ada_client, "/profile", {}, to="/sign-out")
    sign_in(ada_client, "grace@contoso.test")

    answer = ada_client.get(back)

    assert answer.location == "/profile"
    assert "nothing was changed" in ada_client.get("/profile").text
    assert (count(app, ProviderIdentity), provider.count("/token")) == (0, 0)


def test_a_link_is_removed_and_signs_nobody_in_any_more(
    app: Flask, provider: OIDCProvider, ada: UUID, ada_client: FlaskClient, engine: Engine
) -> None:
    set_up(app, provider)
    link(app, provider, ada)

    answer = submit(ada_client, "/profile", {}, to=REMOVE)

    other = app.test_client()
    assert answer.location == "/profile"
    assert "user.provider_unlinked" in actions(engine)
    assert go_through(other, provider).location.startswith("/sign-in")


def test_the_only_way_in_stays(app: Flask, provider: OIDCProvider, client: FlaskClient) -> None:
    set_up(app, provider)
    link(app, provider, add_unopened(app))
    provider.changes = {"auth_time": int(time.time())}
    go_through(client, provider)

    submit(client, "/profile", {}, to=REMOVE)

    assert "This is your only way in" in client.get("/profile").text
    assert count(app, ProviderIdentity) == 1


@pytest.fixture
def without_password(app: Flask, provider: OIDCProvider, client: FlaskClient) -> FlaskClient:
    """The browser of an administrator who has no password, signed in an hour ago."""
    set_up(app, provider)
    link(app, provider, add_unopened(app, role="admin"))
    go_through(client, provider)
    make_old(app)
    return client


def test_signing_in_there_again_stands_in_for_the_password(
    without_password: FlaskClient, provider: OIDCProvider
) -> None:
    asked = without_password.get("/sign-in-settings")
    page = without_password.get(asked.location).text

    there = start(without_password, to=AGAIN, page="/profile", next_path="/sign-in-settings")
    answer = without_password.get(provider.sign_in(there))

    assert asked.location == "/confirm-password?next=%2Fsign-in-settings"
    assert "Sign in at Contoso again" in page
    assert "prompt=login" in there
    assert "max_age=0" in there
    assert answer.location == "/sign-in-settings"
    assert without_password.get("/sign-in-settings").status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"auth_time": None}, "does not say that you have just signed in"),
        ({"auth_time": "now"}, "does not say that you have just signed in"),
        ({"auth_time": 1_000_000_000}, "does not say that you have just signed in"),
        ({"sub": "2002"}, "another account at the provider"),
    ],
)
def test_a_sign_in_that_is_old_or_somebody_elses_does_not(
    without_password: FlaskClient, provider: OIDCProvider, changes: dict[str, object], words: str
) -> None:
    provider.changes = changes
    there = start(without_password, to=AGAIN, page="/profile", next_path="/sign-in-settings")

    answer = without_password.get(provider.sign_in(there))

    assert answer.location == "/confirm-password?next=/sign-in-settings"
    assert words in without_password.get(answer.location).text
    assert without_password.get("/sign-in-settings").status_code == 303


@pytest.mark.parametrize(
    ("ago", "status"), [(None, 303), (timedelta(hours=1), 303), (timedelta(minutes=2), 200), (-timedelta(days=1), 200)]
)
def test_only_a_fresh_sign_in_there_counts_as_a_confirmation_here(
    without_password: FlaskClient, provider: OIDCProvider, ago: timedelta | None, status: int
) -> None:
    """The provider lets whoever sits at the browser in without a question, and says when it last asked."""
    provider.changes = {"auth_time": None if ago is None else int((datetime.now(UTC) - ago).timestamp())}

    go_through(without_password, provider)

    assert without_password.get("/sign-in-settings").status_code == status


def test_a_code_of_the_app_at_sign_in_counts_as_a_confirmation(
    app: Flask, provider: OIDCProvider, client: FlaskClient
) -> None:
    set_up(app, provider)
    ada = add_unopened(app, role="admin")
    link(app, provider, ada)
    codes = add_app(app, ada)

    go_through(client, provider)
    give_code(client, codes.now())

    assert client.get("/sign-in-settings").status_code == 200


def test_a_passkey_at_sign_in_that_need_not_check_its_owner_does_not(
    app: Flask, provider: OIDCProvider, ada: UUID, ada_client: FlaskClient
) -> None:
    set_up(app, provider)
    link(app, provider, ada)
    device, other = Authenticator(), app.test_client()
    add_passkey(ada_client, device)

    go_through(other, provider)
    answer_with(other, device, f"{SECOND_STEP}/passkey", "/forgot-password")

    assert other.get("/profile").status_code == 200
    assert other.get("/profile/second-factor").location.startswith("/confirm-password")


def test_a_code_of_the_app_stands_in_for_a_password_that_somebody_does_not_have(
    app: Flask, without_password: FlaskClient
) -> None:
    codes = add_app(app, user_with(app, ADA).id)
    page = "/confirm-password?next=/sign-in-settings"
    code = codes.now()
    wrong = f"{(int(code) + 500_000) % 1_000_000:06}"

    refused = submit(without_password, page, {"code": wrong, "next": "/sign-in-settings"}, to=BY_APP)
    before = without_password.get("/sign-in-settings").status_code
    given = submit(without_password, page, {"code": code, "next": "/sign-in-settings"}, to=BY_APP)
    opened = without_password.get("/sign-in-settings").status_code
    make_old(app)
    again = submit(without_password, page, {"code": code}, to=BY_APP)

    assert (refused.status_code, before) == (422, 303)
    assert "This is not the code" in refused.text
    assert (given.location, opened) == ("/sign-in-settings", 200)
    assert again.status_code == 422  # a code counts once


def test_whoever_has_a_password_does_not_give_a_code_in_its_place(
    app: Flask, ada: UUID, ada_client: FlaskClient
) -> None:
    codes = add_app(app, ada)
    make_old(app)

    answer = submit(ada_client, "/confirm-password", {"code": codes.now()}, to=BY_APP)

    assert answer.status_code == 422
    assert 'name="code"' not in answer.text
    assert ada_client.get("/profile/second-factor").status_code == 303


def test_codes_cannot_be_guessed_for_long(app: Flask, without_password: FlaskClient) -> None:
    add_app(app, user_with(app, ADA).id)

    answers = [submit(without_password, "/profile", {"code": "000000"}, to=BY_APP).status_code for _ in range(12)]

    assert answers[:9] == [422] * 9
    assert answers[-1] == 429


def test_the_profile_says_which_way_in_is_whose(
    app: Flask, without_password: FlaskClient, provider: OIDCProvider
) -> None:
    linked = without_password.get("/profile").text
    with app.app_context(), unit_of_work() as session:
        session.execute(update(ProviderIdentity).values(issuer="https://former.test"))

    parted = without_password.get("/profile").text

    for page in (linked, parted):
        assert 'name="current_password"' not in page
    assert "you sign in with Contoso" in linked
    assert "Set a password" not in linked
    assert "Set a password" in parted


def test_the_owner_is_told_of_a_new_way_in_and_an_old_reset_link_dies(
    app: Flask, provider: OIDCProvider, client: FlaskClient, answering: Answering
) -> None:
    give_a_way_out(app)
    set_up(app, provider)
    add_unopened(app)
    now, mailed = datetime.now(UTC), Mailed(app)
    with app.app_context(), unit_of_work() as session:
        reset_requests.request_password_reset(session, ADA, "192.0.2.7", now)
    answering.run(now)
    opened = app.test_client().get(answering.links[0]).status_code

    go_through(client, provider)

    told = [values for kind, address, values in mailed.values if (kind, address) == ("second_factor_changed", ADA)]
    assert [(values["change"], values["passkey"]) for values in told] == [("provider_linked", "Contoso")]
    assert (opened, app.test_client().get(answering.links[0]).status_code) == (200, 404)


def test_the_button_stands_where_it_can_be_followed(
    app: Flask, provider: OIDCProvider, ada_client: FlaskClient
) -> None:
    set_up(app, provider)

    pages = {path: ada_client.get(path) for path in ("/sign-in", "/profile")}

    for page in pages.values():
        assert "form-action 'self' https:" in page.headers["Content-Security-Policy"]
    assert "form-action 'self';" in ada_client.get("/forgot-password").headers["Content-Security-Policy"]
    assert csrf_token(ada_client, "/profile")
