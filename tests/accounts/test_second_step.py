"""Signing in with a second factor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.engine import Engine

from portal.accounts.factor_models import Ceremony, RecoveryCode
from portal.accounts.models import User, UserSession
from portal.accounts.totp import matching_step
from portal.database import writing
from portal.outbox.models import Message
from tests.accounts.browsing import PASSWORD, add_person, csrf_token, is_signed_in, sign_in, submit
from tests.accounts.factors import SECOND_STEP, actions, add_app, add_codes, give_code, give_password

STEP = timedelta(seconds=30)


@pytest.fixture
def authenticator(app: Flask, ada: UUID) -> pyotp.TOTP:
    return add_app(app, ada)


def sessions_in(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(UserSession)) or 0


def test_a_right_password_begins_no_session_until_the_code_is_given(
    app: Flask, authenticator: pyotp.TOTP, engine: Engine
) -> None:
    client = give_password(app)

    before = (is_signed_in(client), sessions_in(engine))
    given = give_code(client, authenticator.now())

    assert before == (False, 0)
    assert (given.status_code, given.location) == (303, "/")
    assert is_signed_in(client)
    assert actions(engine) == ["user.second_factor_asked", "user.signed_in"]


def test_the_session_knows_how_it_began_and_the_account_when(
    app: Flask, authenticator: pyotp.TOTP, engine: Engine
) -> None:
    give_code(give_password(app), authenticator.now())

    with engine.connect() as connection:
        assert connection.scalar(select(UserSession.signed_in_with)) == "password"
        last = connection.scalar(select(User.last_sign_in_at))
    assert last is not None
    assert datetime.now(UTC) - last < timedelta(minutes=1)


def test_the_page_that_was_asked_for_is_kept_over_the_second_step(app: Flask, authenticator: pyotp.TOTP) -> None:
    client = app.test_client()
    submit(client, "/sign-in", {"email": "ada@contoso.test", "password": PASSWORD, "next": "/profile"})

    assert give_code(client, authenticator.now()).location == "/profile"


def test_no_other_site_is_kept_over_the_second_step(app: Flask, authenticator: pyotp.TOTP) -> None:
    client = app.test_client()
    submit(client, "/sign-in", {"email": "ada@contoso.test", "password": PASSWORD, "next": "//evil.test"})

    assert give_code(client, authenticator.now()).location == "/"


def test_a_wrong_password_never_leads_to_the_second_step(
    app: Flask, authenticator: pyotp.TOTP, client: FlaskClient
) -> None:
    refused = sign_in(client, password="wrong horse battery staple 9")

    assert refused.status_code == 422
    assert client.get(SECOND_STEP).location == "/sign-in"


def test_a_wrong_code_is_refused_and_recorded(app: Flask, authenticator: pyotp.TOTP, engine: Engine) -> None:
    client = give_password(app)

    refused = give_code(client, wrong_code(authenticator))

    assert refused.status_code == 422
    assert "This code is wrong" in refused.text
    assert not is_signed_in(client)
    assert actions(engine) == ["user.second_factor_asked", "user.second_factor_failed"]


def test_a_code_is_taken_once(app: Flask, authenticator: pyotp.TOTP) -> None:
    code = authenticator.now()

    first = give_code(give_password(app), code)
    second = give_code(give_password(app), code)

    assert (first.status_code, second.status_code) == (303, 422)


def test_after_a_code_no_earlier_one_is_taken(app: Flask, authenticator: pyotp.TOTP) -> None:
    now = datetime.now(UTC)
    give_code(give_password(app), authenticator.at(now + STEP))

    assert give_code(give_password(app), authenticator.at(now)).status_code == 422


def test_of_eight_browsers_that_give_one_code_at_once_one_gets_in(app: Flask, authenticator: pyotp.TOTP) -> None:
    browsers = [give_password(app) for _ in range(8)]
    tokens = [csrf_token(browser, SECOND_STEP) for browser in browsers]
    code = authenticator.now()

    def give(number: int) -> int:
        data = {"csrf_token": tokens[number], "code": code}
        return browsers[number].post(SECOND_STEP, data=data).status_code

    with ThreadPoolExecutor(8) as at_once:
        answers = sorted(at_once.map(give, range(8)))

    assert answers == [303] + [422] * 7
    assert [is_signed_in(browser) for browser in browsers].count(True) == 1


def test_codes_of_one_step_before_and_after_are_taken_and_no_others() -> None:
    secret, now = pyotp.random_base32(), datetime(2026, 11, 21, 9, 5, 12, tzinfo=UTC)
    codes = pyotp.TOTP(secret)

    taken = [matching_step(secret, codes.at(now + shift * STEP), now) is not None for shift in range(-3, 4)]

    assert taken == [False, False, True, True, True, False, False]


def test_a_code_of_the_past_is_refused(app: Flask, authenticator: pyotp.TOTP) -> None:
    old = authenticator.at(datetime.now(UTC) - 3 * STEP)

    assert give_code(give_password(app), old).status_code == 422


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "0" * 5000, "\x00", "null", "-1"])
def test_what_is_no_code_is_refused(app: Flask, authenticator: pyotp.TOTP, code: str) -> None:
    client = give_password(app)

    assert give_code(client, code).status_code == 422
    assert not is_signed_in(client)


def test_blanks_in_a_code_do_not_matter(app: Flask, authenticator: pyotp.TOTP) -> None:
    code = authenticator.now()

    assert give_code(give_password(app), f" {code[:3]} {code[3:]} ").status_code == 303


def test_after_five_wrong_codes_the_password_is_asked_for_again(app: Flask, authenticator: pyotp.TOTP) -> None:
    client, wrong = give_password(app), wrong_code(authenticator)
    cookie = client.get_cookie("portal-ceremony-sign_in")
    assert cookie is not None

    answers = [give_code(client, wrong).status_code for _ in range(5)]
    client.set_cookie("portal-ceremony-sign_in", cookie.value)  # a guesser keeps it
    right = give_code(client, authenticator.now())

    assert answers == [422] * 4 + [303]
    assert right.location == "/sign-in"
    assert not is_signed_in(client)


def test_a_thousand_guesses_are_stopped_after_ten(app: Flask, authenticator: pyotp.TOTP, engine: Engine) -> None:
    """A guesser who knows the password begins anew each time that the tries are over."""
    wrong, answers = wrong_code(authenticator), []
    for _ in range(4):
        client = give_password(app)
        answers += [give_code(client, wrong).status_code for _ in range(5)]

    assert answers == [422] * 4 + [303] + [422] * 4 + [303] + [429] * 10
    assert give_code(give_password(app), authenticator.now()).status_code == 429
    assert actions(engine).count("user.second_factor_failed") == 10


def test_a_guesser_does_not_lock_the_owner_out_of_a_known_device(app: Flask, authenticator: pyotp.TOTP) -> None:
    now, owner = datetime.now(UTC), give_password(app)
    give_code(owner, authenticator.at(now))
    submit(owner, "/profile", {}, to="/sign-out")
    for _ in range(3):
        client = give_password(app)
        for _ in range(5):
            give_code(client, wrong_code(authenticator))

    sign_in(owner)

    assert give_code(owner, authenticator.at(now + STEP)).status_code == 303


def test_a_second_step_that_took_too_long_begins_anew(app: Flask, authenticator: pyotp.TOTP, engine: Engine) -> None:
    client = give_password(app)
    with writing(engine).begin() as connection:
        connection.execute(update(Ceremony).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))

    page, given = client.get(SECOND_STEP), give_code(client, authenticator.now())

    assert (page.location, given.location) == ("/sign-in", "/sign-in")
    assert not is_signed_in(client)


@pytest.mark.parametrize("change", [{"is_disabled": True}, {"password_changed_at": datetime(2026, 1, 1, tzinfo=UTC)}])
def test_a_second_step_dies_with_the_password_and_the_account(
    app: Flask, authenticator: pyotp.TOTP, engine: Engine, change: dict[str, object]
) -> None:
    client = give_password(app)
    with writing(engine).begin() as connection:
        connection.execute(update(User).values(**change))

    assert give_code(client, authenticator.now()).location == "/sign-in"
    assert not is_signed_in(client)


def test_a_second_step_is_finished_once(app: Flask, authenticator: pyotp.TOTP) -> None:
    now, client = datetime.now(UTC), give_password(app)
    thief = app.test_client()
    cookie = client.get_cookie("portal-ceremony-sign_in")
    assert cookie is not None
    thief.set_cookie("portal-ceremony-sign_in", cookie.value)

    give_code(client, authenticator.at(now))

    assert give_code(thief, authenticator.at(now + STEP)).location == "/sign-in"


def test_the_code_of_somebody_else_is_refused(app: Flask, authenticator: pyotp.TOTP) -> None:
    others = add_app(app, add_person(app, "grace@contoso.test"))

    assert give_code(give_password(app), others.now()).status_code == 422


def test_a_recovery_code_signs_in_once_and_the_owner_gets_a_mail(
    app: Flask, ada: UUID, authenticator: pyotp.TOTP, engine: Engine
) -> None:
    code = add_codes(app, ada)[3]
    client = give_password(app)

    first = give_code(client, code.lower().replace("-", " "))
    told = client.get("/profile").text
    second = give_code(give_password(app), code)

    assert (first.status_code, second.status_code) == (303, 422)
    assert "9 are left" in told
    with engine.connect() as connection:
        assert connection.scalars(select(Message.kind)).all() == ["second_factor_changed"]


def test_the_recovery_code_of_somebody_else_is_refused(app: Flask, authenticator: pyotp.TOTP) -> None:
    code = add_codes(app, add_person(app, "grace@contoso.test"))[0]

    assert give_code(give_password(app), code).status_code == 422


def test_of_recovery_codes_only_hashes_are_kept(app: Flask, ada: UUID, engine: Engine) -> None:
    codes = add_codes(app, ada)

    with engine.connect() as connection:
        hashes = connection.scalars(select(RecoveryCode.code_hash)).all()
    assert (len(set(codes)), len(hashes), {len(one) for one in hashes}) == (10, 10, {32})


def test_a_password_that_must_be_reset_opens_nothing(app: Flask, ada: UUID, engine: Engine) -> None:
    with writing(engine).begin() as connection:
        connection.execute(update(User).values(must_reset=True))
    client = app.test_client()

    assert sign_in(client).status_code == 422
    assert not is_signed_in(client)


def test_a_recovered_password_does_not_bypass_the_second_factor(
    app: Flask, authenticator: pyotp.TOTP, engine: Engine
) -> None:
    from portal.accounts import people
    from portal.accounts.passwords import hash_password
    from portal.extensions import db
    from portal.transaction import unit_of_work

    with app.app_context(), unit_of_work() as session:
        person = people.find(db.session(), "ada@contoso.test")
        assert person is not None
        people.set_password(
            session,
            person,
            hash_password("a lighthouse sings to nobody"),
            action="user.password_reset",
            actor=people.audit.Actor(None, "reset link", ""),
            now=datetime.now(UTC),
        )
    client = app.test_client()

    given = sign_in(client, password="a lighthouse sings to nobody")

    assert given.location == SECOND_STEP
    assert not is_signed_in(client)


def wrong_code(codes: pyotp.TOTP) -> str:
    """Six digits that the app shows neither now nor around now."""
    now = datetime.now(UTC)
    right = {codes.at(now + shift * STEP) for shift in range(-4, 5)}
    return next(code for code in ("000000", "111111", "222222", "333333", "444444") if code not in right)
