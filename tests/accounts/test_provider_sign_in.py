"""Signing in with the organisation's provider: whose account it opens, and whose it does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from portal import audit
from portal.accounts import ceremonies, invitations, people
from portal.accounts.models import User, UserSession
from portal.accounts.provider_models import ProviderIdentity, ProviderSignIn
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import NOW, PASSWORD, add_person, csrf_token, is_signed_in, sign_in, submit
from tests.accounts.factors import SECOND_STEP, actions, add_app, give_code
from tests.accounts.people_at_work import user_of, user_with
from tests.accounts.providing import ADA, START, add_unopened, assert_nobody, count, go_through, link, set_up, start
from tests.browser.running import free_port
from tests.outside.oidc_provider import CLIENT_SECRET, OIDCProvider

NO_ACCOUNT = "no account here is open to you"
LINK_FIRST = "is not linked with the provider yet"


@pytest.fixture
def known(app: Flask, provider: OIDCProvider) -> UUID:
    """Ada has no password, and her account is linked with the one at the provider."""
    set_up(app, provider)
    ada = add_unopened(app)
    link(app, provider, ada)
    return ada


def test_somebody_linked_is_signed_in_and_comes_to_the_page_that_was_wanted(
    provider: OIDCProvider, known: UUID, client: FlaskClient, engine: Engine
) -> None:
    answer = go_through(client, provider, next_path="/profile?from=mail")

    assert (answer.status_code, answer.location) == (303, "/profile?from=mail")
    assert is_signed_in(client)
    with engine.connect() as connection:
        assert connection.scalar(select(UserSession.signed_in_with)) == "provider"
    assert actions(engine)[-1] == "user.signed_in"


def test_the_way_there_asks_for_what_protects_the_way_back(
    provider: OIDCProvider, known: UUID, client: FlaskClient, engine: Engine
) -> None:
    asked = parse_qs(urlsplit(start(client)).query)

    assert asked["response_type"] == ["code"]
    assert asked["scope"] == ["openid email profile"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://localhost/sign-in/oidc/callback"]
    assert len(asked["state"][0]) == len(asked["nonce"][0]) == 43
    with engine.connect() as connection:
        row = str(connection.execute(select(ProviderSignIn)).one())
    assert asked["state"][0] not in row
    assert asked["nonce"][0] not in row


def test_an_address_of_another_site_is_not_gone_to_afterwards(
    provider: OIDCProvider, known: UUID, client: FlaskClient
) -> None:
    answer = go_through(client, provider, next_path="//evil.test/profile")

    assert answer.location == "/"


def test_a_second_factor_is_asked_all_the_same(
    provider: OIDCProvider, known: UUID, app: Flask, client: FlaskClient
) -> None:
    app_of_ada = add_app(app, known)

    answer = go_through(client, provider, next_path="/profile")

    assert answer.location == SECOND_STEP
    assert not is_signed_in(client)
    assert give_code(client, app_of_ada.now()).location == "/profile"
    assert is_signed_in(client)


def test_what_came_back_counts_once(provider: OIDCProvider, known: UUID, app: Flask, client: FlaskClient) -> None:
    back = provider.sign_in(start(client))
    client.get(back)
    submit(client, "/profile", {}, to="/sign-out")

    again = client.get(back)

    assert (again.status_code, provider.count("/token")) == (400, 1)
    assert "Start again from the sign-in page" in again.text
    assert not is_signed_in(client)


def test_of_two_that_come_back_at_once_one_is_signed_in(
    provider: OIDCProvider, known: UUID, app: Flask, client: FlaskClient
) -> None:
    back, cookie = provider.sign_in(start(client)), client.get_cookie("portal-ceremony-provider")
    assert cookie is not None

    def come_back(_number: int) -> int:
        browser = app.test_client()
        browser.set_cookie("portal-ceremony-provider", cookie.value)
        return browser.get(back).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(come_back, range(4)))

    assert sorted(statuses) == [303, 400, 400, 400]
    assert count(app, UserSession) == 1


@pytest.mark.parametrize("state", ["", "nonsense", "x" * 43, "x" * 5000])
def test_a_state_that_nobody_waits_for_leads_nowhere(
    provider: OIDCProvider, known: UUID, client: FlaskClient, state: str
) -> None:
    back = provider.sign_in(start(client), state=state)

    assert client.get(back).status_code == 400
    assert provider.count("/token") == 0


def test_what_one_browser_began_another_does_not_end(
    provider: OIDCProvider, known: UUID, app: Flask, client: FlaskClient
) -> None:
    back = provider.sign_in(start(client))
    other = app.test_client()
    start(other)

    assert other.get(back).status_code == 400
    assert not is_signed_in(other)
    assert client.get(back).status_code == 303


def test_who_stays_away_too_long_starts_again(
    provider: OIDCProvider, known: UUID, app: Flask, client: FlaskClient
) -> None:
    back = provider.sign_in(start(client))
    with app.app_context(), unit_of_work() as session:
        session.execute(update(ProviderSignIn).values(expires_at=NOW))

    assert client.get(back).status_code == 400
    with app.app_context(), unit_of_work() as session:
        ceremonies.purge(session, now=NOW)
    assert count(app, ProviderSignIn) == 0


def test_a_disabled_account_stays_closed(
    app: Flask, provider: OIDCProvider, known: UUID, client: FlaskClient, engine: Engine
) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(is_disabled=True))

    assert_nobody(client, go_through(client, provider), NO_ACCOUNT)
    assert actions(engine)[-1] == "user.sign_in_failed"


def test_who_must_choose_a_new_password_does_so_first(
    app: Flask, provider: OIDCProvider, known: UUID, client: FlaskClient
) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(must_reset=True))

    assert_nobody(client, go_through(client, provider), "You must choose a new password first")


# ---- The first time ----


def test_somebody_invited_is_linked_by_a_proved_address_and_the_invitation_is_used_up(
    app: Flask, provider: OIDCProvider, client: FlaskClient, engine: Engine
) -> None:
    set_up(app, provider)
    ada = add_unopened(app)
    with app.app_context(), unit_of_work() as session:
        invited = invitations.invite(
            session,
            people.get(session, ada),
            actor=audit.COMMAND_LINE,
            mail=None,
            link_for=lambda token: f"/invitations/{token}",
            now=NOW,
        )
    provider.claims = {**provider.claims, "email": "Ada@Contoso.test"}

    answer = go_through(client, provider)

    assert answer.location == "/"
    assert is_signed_in(client)
    assert "user.provider_linked" in actions(engine)
    with app.app_context():
        assert invitations.newest(db.session(), ada, now=NOW) is None
    assert invited.link


@pytest.mark.parametrize("proof", [False, None, "true", 1, "yes"])
def test_an_address_that_is_not_proved_opens_nothing(
    app: Flask, provider: OIDCProvider, client: FlaskClient, proof: object
) -> None:
    set_up(app, provider, adds_people=True)
    add_unopened(app)
    provider.claims = {**provider.claims, "email_verified": proof}

    assert_nobody(client, go_through(client, provider), "does not confirm that your email address is yours")
    assert count(app, ProviderIdentity) == 0
    assert count(app, User) == 1


def test_the_answer_to_an_unproved_address_tells_nothing_of_accounts(
    app: Flask, provider: OIDCProvider, client: FlaskClient
) -> None:
    set_up(app, provider)
    add_person(app)
    provider.claims = {**provider.claims, "email_verified": False}
    known = client.get(go_through(client, provider).location).text

    provider.claims = {**provider.claims, "email": "nobody@contoso.test"}
    unknown = client.get(go_through(client, provider).location).text

    assert "does not confirm" in known
    assert "does not confirm" in unknown
    assert LINK_FIRST not in known


def test_an_account_with_a_password_is_not_taken_over(app: Flask, provider: OIDCProvider, client: FlaskClient) -> None:
    set_up(app, provider, adds_people=True)
    add_person(app)

    assert_nobody(client, go_through(client, provider), LINK_FIRST)
    assert count(app, ProviderIdentity) == 0


@pytest.mark.parametrize("role", ["helpdesk", "admin"])
def test_an_account_with_a_rank_is_not_taken_over(
    app: Flask, provider: OIDCProvider, client: FlaskClient, role: str
) -> None:
    set_up(app, provider)
    add_unopened(app, role=role)

    assert_nobody(client, go_through(client, provider), LINK_FIRST)


def test_an_account_that_is_linked_already_is_not_given_to_another_one_there(
    app: Flask, provider: OIDCProvider, known: UUID, client: FlaskClient
) -> None:
    provider.claims = {**provider.claims, "sub": "2002"}

    assert_nobody(client, go_through(client, provider), LINK_FIRST)


def test_a_disabled_account_gets_the_words_of_an_unknown_one(
    app: Flask, provider: OIDCProvider, client: FlaskClient
) -> None:
    set_up(app, provider)
    unknown = client.get(go_through(client, provider).location)
    add_unopened(app, is_disabled=True)

    disabled = client.get(go_through(client, provider).location)

    assert NO_ACCOUNT in unknown.text
    assert NO_ACCOUNT in disabled.text
    assert not is_signed_in(client)


def test_unknown_people_are_added_where_an_administrator_said_so(
    app: Flask, provider: OIDCProvider, client: FlaskClient, engine: Engine
) -> None:
    set_up(app, provider, adds_people=True)

    answer = go_through(client, provider)

    added = user_with(app, ADA)
    assert (answer.location, added.role, added.name, added.password_hash) == ("/", "user", "Ada Lovelace", None)
    assert actions(engine)[-2:] == ["user.provider_linked", "user.signed_in"]


def test_who_is_added_keeps_the_account_when_the_address_there_changes_hands(
    app: Flask, provider: OIDCProvider, client: FlaskClient
) -> None:
    set_up(app, provider, adds_people=True)
    go_through(client, provider)
    provider.claims = {**provider.claims, "sub": "2002"}

    other = app.test_client()

    assert_nobody(other, go_through(other, provider), LINK_FIRST)


# ---- Roles ----


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"realm": {"roles": ["staff", "desk"]}}, "helpdesk"),
        ({"realm": {"roles": ["desk", "ops", "staff"]}}, "admin"),
        ({"realm": {"roles": "ops"}}, "admin"),
        ({"realm": {"roles": ["staff"]}}, "user"),
        ({"realm": {"roles": [["ops"], {"ops": 1}, 7, None]}}, "user"),
        ({"realm": "ops"}, "user"),
        ({}, "user"),
        ({"realm.roles": ["ops"]}, "admin"),
    ],
)
def test_the_highest_role_of_the_claim_counts(
    app: Flask, provider: OIDCProvider, client: FlaskClient, claims: dict[str, object], role: str
) -> None:
    set_up(app, provider, adds_people=True, role_claim="realm.roles", roles={"desk": "helpdesk", "ops": "admin"})
    provider.claims = {**provider.claims, **claims}

    go_through(client, provider)

    assert user_with(app, ADA).role == role


def test_a_role_that_was_taken_away_there_is_gone_at_the_next_sign_in(
    app: Flask, provider: OIDCProvider, known: UUID, client: FlaskClient, engine: Engine
) -> None:
    set_up(app, provider, role_claim="groups", roles={"ops": "admin"})
    add_person(app, "root@contoso.test", role="admin")
    provider.claims = {**provider.claims, "groups": ["ops"]}
    go_through(client, provider)
    elsewhere = app.test_client()
    provider.claims = {**provider.claims, "groups": []}

    go_through(elsewhere, provider)

    changed = user_of(app, known)
    assert changed is not None
    assert changed.role == "user"
    assert actions(engine).count("user.changed") == 2
    assert not is_signed_in(client)
    assert is_signed_in(elsewhere)


def test_the_last_administrator_stays_one(app: Flask, provider: OIDCProvider, client: FlaskClient) -> None:
    set_up(app, provider, role_claim="groups", roles={"ops": "admin"})
    root = add_unopened(app, role="admin")
    link(app, provider, root)

    go_through(client, provider)

    assert is_signed_in(client)
    assert user_with(app, ADA).role == "admin"


def test_groups_that_microsoft_left_out_change_no_role(app: Flask, provider: OIDCProvider, client: FlaskClient) -> None:
    set_up(app, provider, role_claim="groups", roles={"ops": "helpdesk"})
    link(app, provider, add_unopened(app, role="helpdesk"))
    provider.claims = {**provider.claims, "_claim_names": {"groups": "src1"}}

    go_through(client, provider)

    assert user_with(app, ADA).role == "helpdesk"


# ---- Where there is no way ----


def test_without_a_provider_nothing_is_offered(client: FlaskClient) -> None:
    answer = submit(client, "/sign-in", {}, to=START)

    assert_nobody(client, answer, "not set up here")
    assert "oidc" not in client.get("/sign-in").text
    assert client.get(START).location == "/sign-in"


def test_a_provider_out_of_reach_is_said_at_once(app: Flask, provider: OIDCProvider, client: FlaskClient) -> None:
    set_up(app, provider, issuer=f"https://localhost:{free_port()}")

    answer = submit(client, "/sign-in", {"next": "/profile"}, to=START)

    assert answer.location == "/sign-in?next=/profile"
    assert "cannot be reached at the moment" in client.get(answer.location).text


def test_a_provider_that_was_changed_meanwhile_gets_no_code(
    app: Flask, provider: OIDCProvider, known: UUID, client: FlaskClient
) -> None:
    back = provider.sign_in(start(client))
    set_up(app, provider, client_id="another")

    assert_nobody(client, client.get(back), "was changed here while you signed in")
    assert provider.count("/token") == 0


def test_starts_from_one_address_are_limited(provider: OIDCProvider, known: UUID, client: FlaskClient) -> None:
    token = csrf_token(client, "/sign-in")

    statuses = [client.post(START, data={"csrf_token": token}).status_code for _ in range(101)]

    assert statuses == [303] * 100 + [429]


def test_the_secret_stands_nowhere_in_the_clear(provider: OIDCProvider, known: UUID, client: FlaskClient) -> None:
    there = start(client)
    pages = client.get("/sign-in").text + client.get(provider.refuse(there, "invalid_client")).text

    assert CLIENT_SECRET not in pages + there
    assert sign_in(client, ADA, PASSWORD).status_code == 422
