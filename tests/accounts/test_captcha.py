from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal.accounts import captcha
from portal.accounts.captcha import Captcha, Outcome
from portal.accounts.models import ResetRequest
from tests.accounts.browsing import NOW, csrf_token
from tests.accounts.test_recovery_settings import settle

KEYS = ("a signing key",)
EASY = Captcha(KEYS, bits=8)
CLIENT = "192.0.2.7"


def solved(challenge: str, bits: int) -> str:
    """What the page's script finds."""
    return next(str(number) for number in count() if captcha._is_proof(challenge, str(number), bits))


def judged(engine: Engine, challenge: str, answer: str, *, seconds: int = 0, address: str = CLIENT) -> Outcome:
    return EASY.judge(engine, challenge, answer, address=address, now=NOW + timedelta(seconds=seconds))


def test_a_proof_counts_once_and_for_half_an_hour(engine: Engine) -> None:
    first, second = EASY.challenge(NOW), EASY.challenge(NOW)

    assert judged(engine, first, solved(first, 8)) == Outcome.PASSED
    assert judged(engine, first, solved(first, 8)) == Outcome.WORTHLESS
    assert judged(engine, second, solved(second, 8), seconds=1800) == Outcome.PASSED
    assert judged(engine, second, solved(second, 8), seconds=1801) == Outcome.WORTHLESS


def test_a_wrong_or_forged_proof_is_worth_nothing(engine: Engine) -> None:
    challenge = EASY.challenge(NOW)
    wrong = next(str(number) for number in count() if not captcha._is_proof(challenge, str(number), 8))
    forged = Captcha(("another key",), bits=1).challenge(NOW)

    for sent, answer in (
        (challenge, wrong),
        (challenge, "-1"),
        (challenge, "1" * 16),
        (challenge, "٣"),
        (forged, solved(forged, 1)),
        ("", ""),
        ("x", "1"),
        (challenge[:-1], ""),
    ):
        assert judged(engine, sent, answer, seconds=60) == Outcome.WORTHLESS

    assert judged(engine, challenge, solved(challenge, 8)) == Outcome.PASSED


def test_without_script_the_page_must_stand_open_and_few_are_taken(engine: Engine) -> None:
    early = EASY.challenge(NOW)

    assert judged(engine, early, "", seconds=19) == Outcome.TOO_EARLY
    assert EASY.seconds_left(early, NOW + timedelta(seconds=15)) == 5
    outcomes = [judged(engine, EASY.challenge(NOW), "", seconds=20) for _ in range(6)]
    assert outcomes == [Outcome.PASSED] * 5 + [Outcome.TOO_OFTEN]
    assert judged(engine, early, "", seconds=20, address="192.0.2.8") == Outcome.PASSED
    assert judged(engine, early, "", seconds=21, address="192.0.2.8") == Outcome.WORTHLESS


# ---- On the page ----


@pytest.fixture
def app(app: Flask) -> Flask:
    settle(app, captcha=True)
    return app


def requests_in(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(connection.scalars(select(ResetRequest.id)).all())


def carried(page: str) -> str:
    found = re.search(r'name="captcha" value="([^"]+)"', page)
    assert found
    return found[1]


def send(client: FlaskClient, challenge: str, answer: str, path: str = "/forgot-password") -> TestResponse:
    data = {"csrf_token": csrf_token(client, "/forgot-password"), "identifier": "ada@contoso.test"}
    fields = {"captcha": challenge, "captcha_answer": answer, "code": "00000000", "password": "whatever it is 42"}
    return client.post(path, data=data | fields)


def test_a_form_goes_through_with_its_proof_and_not_without(engine: Engine, client: FlaskClient) -> None:
    challenge = carried(client.get("/forgot-password").get_data(as_text=True))

    early = send(client, challenge, "")
    kept = carried(early.get_data(as_text=True))
    passed = send(client, challenge, solved(challenge, captcha.BITS))
    used = send(client, challenge, solved(challenge, captcha.BITS))

    assert early.status_code == 422
    assert re.search(r"send it in (20|19|18) seconds", early.get_data(as_text=True))
    assert kept == challenge
    assert passed.status_code == 303
    assert used.status_code == 422
    assert "Please send it once more." in used.get_data(as_text=True)
    assert carried(used.get_data(as_text=True)) != challenge
    assert requests_in(engine) == 1


def test_a_form_without_its_field_or_with_an_own_challenge_goes_nowhere(engine: Engine, client: FlaskClient) -> None:
    easy = Captcha(("another key",), bits=1).challenge(datetime.now(UTC))

    answers = [send(client, *sent).status_code for sent in (("", ""), ("x", "0"), (easy, solved(easy, 1)))]

    assert answers == [422] * 3
    assert requests_in(engine) == 0


def test_codes_need_a_proof_too(client: FlaskClient) -> None:
    client.set_cookie("portal-reset", "x" * 43)
    challenge = carried(client.get("/reset-password").get_data(as_text=True))

    early = send(client, challenge, "", "/reset-password").get_data(as_text=True)
    judged_code = send(client, challenge, solved(challenge, captcha.BITS), "/reset-password").get_data(as_text=True)

    assert "This code does not work." not in early
    assert "This code does not work." in judged_code
    assert carried(judged_code) != challenge


def test_a_page_without_captcha_carries_nothing_of_it(app: Flask, client: FlaskClient) -> None:
    settle(app, captcha=False)

    page = client.get("/forgot-password").get_data(as_text=True)

    assert "captcha" not in page
