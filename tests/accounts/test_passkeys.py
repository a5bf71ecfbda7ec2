"""Passkeys: registered, used as the second factor, in place of the password, and misused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from portal.accounts import passkeys
from portal.accounts.factor_models import Ceremony, Passkey
from portal.accounts.models import User, UserSession
from portal.accounts.relying_party import RelyingParty, of_portal
from portal.database import writing
from tests.accounts.authenticator import Authenticator
from tests.accounts.browsing import add_person, csrf_token, is_signed_in, sign_in, submit
from tests.accounts.factors import (
    OWN,
    SECOND_STEP,
    actions,
    add_app,
    add_codes,
    add_passkey,
    answer_with,
    give_code,
    give_password,
    options,
    shown_codes,
)

SIGN_IN, CONFIRM, STEP = "/sign-in/passkey", "/confirm-password/passkey", f"{SECOND_STEP}/passkey"
PARTY = RelyingParty("localhost", "http://localhost")


@pytest.fixture
def key(ada_client: FlaskClient) -> Authenticator:
    """Ada's security key, registered."""
    device = Authenticator()
    assert add_passkey(ada_client, device).status_code == 200
    return device


def stored(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(Passkey.__table__)))


def test_a_passkey_is_registered_with_its_name_and_shows_the_recovery_codes_once(
    ada_client: FlaskClient, engine: Engine
) -> None:
    added = add_passkey(ada_client, Authenticator(), "Blue <b>key</b>")

    page = ada_client.get(OWN).text
    assert (added.status_code, len(shown_codes(added.text))) == (200, 10)
    assert "Blue &lt;b&gt;key&lt;/b&gt;" in page
    assert "not used yet" in page
    [row] = stored(engine)
    assert (row.sign_count, row.transports) == (0, "usb")


def test_a_second_passkey_makes_no_new_recovery_codes(key: Authenticator, ada_client: FlaskClient) -> None:
    added = add_passkey(ada_client, Authenticator(), "Phone")

    assert (added.status_code, added.location) == (303, OWN)
    assert "Phone" in ada_client.get(OWN).text


def test_the_device_is_told_which_passkeys_it_has_already(key: Authenticator, ada_client: FlaskClient) -> None:
    asked = options(ada_client, f"{OWN}/passkeys/options", OWN)

    assert len(asked["excludeCredentials"]) == 1
    assert asked["rp"] == {"name": "Mail Portal", "id": "localhost"}


@pytest.mark.parametrize("flaw", [{"origin": "http://evil.test"}, {"rp_id": "evil.test"}])
def test_a_passkey_made_for_another_site_is_not_registered(
    ada_client: FlaskClient, engine: Engine, flaw: dict[str, str]
) -> None:
    refused = add_passkey(ada_client, Authenticator(**flaw))  # type: ignore[arg-type]

    assert refused.status_code == 422
    assert stored(engine) == []


def test_a_registration_is_not_replayed(ada_client: FlaskClient, engine: Engine) -> None:
    made = Authenticator().create(options(ada_client, f"{OWN}/passkeys/options", OWN))
    form = {"csrf_token": csrf_token(ada_client, OWN), "name": "Mine", "credential": made}

    answers = [ada_client.post(f"{OWN}/passkeys", data=form).status_code for _ in range(2)]

    assert answers == [200, 422]
    assert len(stored(engine)) == 1


def test_the_passkey_of_somebody_else_is_not_registered_again(app: Flask, key: Authenticator, engine: Engine) -> None:
    add_person(app, "grace@contoso.test")
    thief = app.test_client()
    sign_in(thief, "grace@contoso.test")
    taken = next(iter(key.keys))

    class Copy(Authenticator):
        def create(self, options: dict[str, Any]) -> str:
            made = super().create(options)
            [own] = self.keys
            as_bytes = json.loads(made)
            statement = _replaced(as_bytes["response"]["attestationObject"], own, taken)
            as_bytes["response"]["attestationObject"] = statement
            return json.dumps(as_bytes)

    assert add_passkey(thief, Copy()).status_code == 422
    assert len(stored(engine)) == 1


def _replaced(encoded_object: str, old: bytes, new: bytes) -> str:
    from tests.accounts.authenticator import decoded, encoded

    return encoded(decoded(encoded_object).replace(old, new))


def test_a_passkey_signs_in_without_the_password(app: Flask, ada: UUID, key: Authenticator, engine: Engine) -> None:
    client = app.test_client()

    entered = answer_with(client, key, SIGN_IN, "/sign-in")

    assert (entered.status_code, entered.location) == (303, "/")
    assert is_signed_in(client)
    with engine.connect() as connection:
        ways = connection.scalars(select(UserSession.signed_in_with)).all()
    assert sorted(ways) == ["passkey", "password"]


def test_anybody_is_asked_for_any_passkey_so_that_nobody_learns_who_has_one(app: Flask, key: Authenticator) -> None:
    asked = options(app.test_client(), f"{SIGN_IN}/options", "/sign-in")

    assert asked["allowCredentials"] == []
    assert asked["userVerification"] == "required"


def test_pages_side_by_side_in_one_browser_share_their_challenge(app: Flask, key: Authenticator) -> None:
    client = app.test_client()

    first = options(client, f"{SIGN_IN}/options", "/sign-in")
    second = options(client, f"{SIGN_IN}/options", "/sign-in")

    assert first["challenge"] == second["challenge"]
    assert options(app.test_client(), f"{SIGN_IN}/options", "/sign-in")["challenge"] != first["challenge"]


@pytest.mark.parametrize(
    "flaw",
    [{"origin": "http://evil.test"}, {"origin": "https://localhost"}, {"rp_id": "evil.test"}, {"checks_owner": False}],
    ids=["foreign origin", "another scheme", "wrong relying party", "owner not checked"],
)
def test_a_passkey_signs_nobody_in_where_anything_is_wrong(
    app: Flask, key: Authenticator, flaw: dict[str, Any], engine: Engine
) -> None:
    for name, value in flaw.items():
        setattr(key, name, value)
    client = app.test_client()

    refused = answer_with(client, key, SIGN_IN, "/sign-in")

    assert refused.status_code == 422
    assert "This passkey signs nobody in" in refused.text
    assert not is_signed_in(client)
    assert actions(engine)[-1] == "user.sign_in_failed"


def test_an_answer_is_not_replayed(app: Flask, key: Authenticator) -> None:
    key.counts = False
    client, thief = app.test_client(), app.test_client()
    said = key.get(options(client, f"{SIGN_IN}/options", "/sign-in"))
    cookie = client.get_cookie("portal-ceremony-passkey")
    assert cookie is not None
    thief.set_cookie("portal-ceremony-passkey", cookie.value)

    answers = []
    for browser in (client, thief):
        form = {"csrf_token": csrf_token(browser, "/sign-in"), "credential": said}
        answers.append(browser.post(SIGN_IN, data=form).status_code)

    assert answers == [303, 422]
    assert not is_signed_in(thief)


def test_an_answer_to_the_challenge_of_another_browser_is_refused(app: Flask, key: Authenticator) -> None:
    asked = options(app.test_client(), f"{SIGN_IN}/options", "/sign-in")
    thief = app.test_client()
    options(thief, f"{SIGN_IN}/options", "/sign-in")

    form = {"csrf_token": csrf_token(thief, "/sign-in"), "credential": key.get(asked)}

    assert thief.post(SIGN_IN, data=form).status_code == 422


def test_of_many_that_give_one_answer_at_once_one_gets_in(app: Flask, key: Authenticator) -> None:
    key.counts = False
    first = app.test_client()
    said = key.get(options(first, f"{SIGN_IN}/options", "/sign-in"))
    cookie = first.get_cookie("portal-ceremony-passkey")
    assert cookie is not None
    browsers = [app.test_client() for _ in range(6)]
    for browser in browsers:
        browser.set_cookie("portal-ceremony-passkey", cookie.value)
    forms = [{"csrf_token": csrf_token(browser, "/sign-in"), "credential": said} for browser in browsers]

    with ThreadPoolExecutor(6) as at_once:
        sent = [at_once.submit(one.post, SIGN_IN, data=form) for one, form in zip(browsers, forms, strict=True)]

    assert sorted(one.result().status_code for one in sent) == [303] + [422] * 5


def test_a_challenge_that_is_too_old_is_refused(app: Flask, key: Authenticator, engine: Engine) -> None:
    client = app.test_client()
    said = key.get(options(client, f"{SIGN_IN}/options", "/sign-in"))
    with writing(engine).begin() as connection:
        connection.execute(update(Ceremony).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))

    refused = client.post(SIGN_IN, data={"csrf_token": csrf_token(client, "/sign-in"), "credential": said})

    assert refused.status_code == 422


def test_a_count_that_does_not_rise_is_refused_and_recorded(app: Flask, key: Authenticator, engine: Engine) -> None:
    assert answer_with(app.test_client(), key, SIGN_IN, "/sign-in").status_code == 303
    [copied] = key.keys.values()
    copied.count = 0

    refused = answer_with(app.test_client(), key, SIGN_IN, "/sign-in")

    assert refused.status_code == 422
    assert actions(engine)[-2:] == ["user.passkey_count_fell", "user.sign_in_failed"]


def test_a_passkey_that_does_not_count_is_taken_again_and_again(app: Flask, key: Authenticator) -> None:
    key.counts = False

    answers = [answer_with(app.test_client(), key, SIGN_IN, "/sign-in").status_code for _ in range(3)]

    assert answers == [303, 303, 303]


def test_a_disabled_person_is_not_signed_in_by_a_passkey(app: Flask, key: Authenticator, engine: Engine) -> None:
    with writing(engine).begin() as connection:
        connection.execute(update(User).values(is_disabled=True))
    client = app.test_client()

    assert answer_with(client, key, SIGN_IN, "/sign-in").status_code == 422
    assert not is_signed_in(client)


def test_a_passkey_with_the_handle_of_somebody_else_is_refused(app: Flask, key: Authenticator) -> None:
    [own] = key.keys.values()
    own.handle = add_person(app, "grace@contoso.test").bytes

    assert answer_with(app.test_client(), key, SIGN_IN, "/sign-in").status_code == 422


def test_a_signature_of_another_key_is_refused(app: Flask, key: Authenticator, ada: UUID) -> None:
    other = Authenticator()
    other.create({"user": {"id": "AAAA"}, "challenge": "AAAA"})
    [own], [foreign] = key.keys.values(), other.keys.values()
    own.private = foreign.private

    assert answer_with(app.test_client(), key, SIGN_IN, "/sign-in").status_code == 422


def test_a_passkey_is_a_second_factor(app: Flask, key: Authenticator) -> None:
    key.checks_owner = False  # the password is the first one
    client = give_password(app)

    asked = options(client, f"{STEP}/options", SECOND_STEP)
    entered = answer_with(client, key, STEP, SECOND_STEP)

    assert len(asked["allowCredentials"]) == 1
    assert (entered.status_code, entered.location) == (303, "/")
    assert is_signed_in(client)


def test_the_passkey_of_somebody_else_is_no_second_factor(app: Flask, key: Authenticator) -> None:
    add_app(app, add_person(app, "grace@contoso.test"))
    client = give_password(app, "grace@contoso.test")

    refused = answer_with(client, key, STEP, SECOND_STEP)

    assert refused.status_code == 422
    assert not is_signed_in(client)


def test_wrong_passkeys_use_the_tries_up(app: Flask, key: Authenticator) -> None:
    key.origin = "http://evil.test"
    client = give_password(app)

    answers = [answer_with(client, key, STEP, SECOND_STEP).status_code for _ in range(5)]

    assert answers == [422] * 4 + [303]
    assert client.get(SECOND_STEP).location == "/sign-in"


def test_a_second_step_without_a_challenge_is_refused(app: Flask, key: Authenticator) -> None:
    client = give_password(app)
    said = key.get({"challenge": ""})

    refused = client.post(STEP, data={"csrf_token": csrf_token(client, SECOND_STEP), "credential": said})

    assert refused.status_code == 422


def test_whoever_lost_the_only_passkey_signs_in_by_a_recovery_code(app: Flask, ada: UUID, key: Authenticator) -> None:
    code = add_codes(app, ada)[0]

    assert give_code(give_password(app), code).status_code == 303


def test_a_passkey_confirms_in_place_of_the_password(
    key: Authenticator, ada_client: FlaskClient, engine: Engine
) -> None:
    with writing(engine).begin() as connection:
        connection.execute(update(UserSession).values(confirmed_at=datetime.now(UTC) - timedelta(minutes=16)))
    asked_again = ada_client.get(OWN)
    said = key.get(options(ada_client, f"{CONFIRM}/options", asked_again.location))

    form = {"csrf_token": csrf_token(ada_client, asked_again.location), "credential": said, "next": OWN}
    confirmed = ada_client.post(CONFIRM, data=form)

    assert (confirmed.status_code, confirmed.location) == (303, OWN)
    assert ada_client.get(OWN).status_code == 200


def test_the_passkey_of_somebody_else_confirms_nothing(app: Flask, key: Authenticator) -> None:
    add_person(app, "grace@contoso.test")
    client = app.test_client()
    sign_in(client, "grace@contoso.test")

    refused = answer_with(client, key, CONFIRM, "/confirm-password")

    assert refused.status_code == 422


def test_a_challenge_to_sign_in_confirms_nothing(app: Flask, key: Authenticator, ada_client: FlaskClient) -> None:
    said = key.get(options(ada_client, f"{SIGN_IN}/options", "/sign-in"))
    form = {"csrf_token": csrf_token(ada_client, OWN), "credential": said}

    assert ada_client.post(CONFIRM, data=form).status_code == 422


def test_whoever_has_no_password_is_asked_for_a_passkey_or_told_whom_to_ask(
    app: Flask, key: Authenticator, ada_client: FlaskClient, engine: Engine
) -> None:
    with writing(engine).begin() as connection:
        connection.execute(update(User).values(password_hash=None))

    with_passkey = ada_client.get("/confirm-password").text
    with writing(engine).begin() as connection:
        connection.execute(Passkey.__table__.delete())  # type: ignore[attr-defined]
    without = ada_client.get("/confirm-password").text

    assert 'name="password"' not in with_passkey + without
    assert "data-passkey" in with_passkey
    assert "ask an administrator for a link to choose a password" in without


def test_a_passkey_is_removed_by_its_owner_alone(
    app: Flask, key: Authenticator, ada_client: FlaskClient, engine: Engine
) -> None:
    [row] = stored(engine)
    path = f"{OWN}/passkeys/{row.id}/removal"
    add_person(app, "grace@contoso.test")
    other = app.test_client()
    sign_in(other, "grace@contoso.test")

    foreign = (other.get(path).status_code, submit(other, OWN, {}, to=path).status_code)
    own = submit(ada_client, path, {})

    assert foreign == (404, 404)
    assert (own.status_code, own.location) == (303, OWN)
    assert stored(engine) == []
    assert actions(engine)[-1] == "user.second_factor_removed"


@pytest.mark.parametrize(
    ("public_url", "party"),
    [
        ("https://portal.contoso.test", RelyingParty("portal.contoso.test", "https://portal.contoso.test")),
        ("https://portal.contoso.test:8443", RelyingParty("portal.contoso.test", "https://portal.contoso.test:8443")),
        ("https://Portal.contoso.test:443", RelyingParty("portal.contoso.test", "https://portal.contoso.test")),
        ("http://localhost:8000", RelyingParty("localhost", "http://localhost:8000")),
    ],
)
def test_the_portal_is_the_host_of_its_public_url(public_url: str, party: RelyingParty) -> None:
    assert of_portal(public_url) == party


@pytest.mark.parametrize(
    ("public_url", "why"),
    [
        ("http://127.0.0.1:8000", "Passkeys need a host name"),
        ("https://192.0.2.7", "Passkeys need a host name"),
        ("https://[2001:db8::7]", "Passkeys need a host name"),
        ("http://portal.contoso.test", "Passkeys need https"),
    ],
)
def test_where_there_can_be_no_passkeys_the_reason_is_given(public_url: str, why: str) -> None:
    assert str(of_portal(public_url)).startswith(why)


def test_a_portal_without_passkeys_offers_none_and_says_why(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["PORTAL_PUBLIC_URL"] = "http://127.0.0.1"
    app = request.getfixturevalue("app")
    add_person(app)
    client = app.test_client()
    base: dict[str, Any] = {"base_url": "http://127.0.0.1"}
    page = client.get("/sign-in", **base).text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "email": "ada@contoso.test", "password": "correct horse battery staple 9"}

    asked = client.post(f"{SIGN_IN}/options", data=form, **base)
    client.post("/sign-in", data=form, **base)

    assert ("passkey" in page, asked.status_code) == (False, 404)
    assert "Passkeys need a host name" in client.get(OWN, **base).text


_rubbish = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_parts = ("clientDataJSON", "authenticatorData", "attestationObject", "signature", "userHandle", "transports")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    whole=_rubbish,
    response=st.dictionaries(st.sampled_from(_parts), _rubbish | st.binary(max_size=60).map(bytes.hex)),
    name=st.text(max_size=12),
)
def test_no_answer_of_a_browser_is_an_error_of_the_portal(whole: Any, response: dict[str, Any], name: str) -> None:
    made = {"id": name, "rawId": name, "type": "public-key", "response": response}

    for answer in (json.dumps(whole), json.dumps(made), name, "[" * 20_000, '{"id": 1' * 3):
        assert passkeys.judge_new(answer, challenge=b"x", party=PARTY) is None


@pytest.mark.parametrize(
    "changed", ["clientDataJSON", "authenticatorData", "signature", "userHandle", "id", "rawId", "type", "response"]
)
def test_an_answer_that_is_damaged_is_refused(app: Flask, key: Authenticator, changed: str) -> None:
    client, answers = app.test_client(), []
    for value in (None, "", "AAAA", "%%%", 7, [], {}, "null", "W10", "e30", "ew"):
        said = json.loads(key.get(options(client, f"{SIGN_IN}/options", "/sign-in")))
        (said if changed in said else said["response"])[changed] = value
        form = {"csrf_token": csrf_token(client, "/sign-in"), "credential": json.dumps(said)}
        answers.append(client.post(SIGN_IN, data=form).status_code)

    assert answers == [422] * 11
