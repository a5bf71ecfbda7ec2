from __future__ import annotations

from uuid import UUID

from flask import Flask
from sqlalchemy.engine import Engine

from portal.accounts import reset_codes, second_step, security_questions
from portal.accounts import sign_in as signing_in
from portal.accounts.cookies import Device
from portal.accounts.unlocking import unlock
from portal.web import limits
from tests.accounts.browsing import sign_in

ADA = "ada@contoso.test"


def test_an_unlocked_person_may_try_again_at_once(app: Flask, engine: Engine, ada: UUID) -> None:
    client = app.test_client()
    for _ in range(10):
        sign_in(client, ADA, "wrong")
    locked = sign_in(client).status_code

    unlock(engine, ada, ADA)

    assert (locked, sign_in(client).status_code) == (429, 303)


def test_only_the_own_limits_of_the_person_begin_anew(app: Flask, engine: Engine, ada: UUID) -> None:
    device = Device("a device", (ada.hex,))
    keys = {
        "own browser": (signing_in.PER_DEVICE, signing_in.device_key(device.id, ada)),
        "password again": (signing_in.PER_SESSION, signing_in.again_key(ada)),
        "account": (signing_in.PER_ACCOUNT, signing_in.account_key(ADA)),
        "second factor": (second_step.PER_ACCOUNT, second_step.account_key(ada)),
        "code": (("5/hour",), reset_codes.account_key(ada)),
        "answers": (("5/hour",), security_questions.account_key(ada)),
        "another account": (signing_in.PER_ACCOUNT, signing_in.account_key("bob@contoso.test")),
        "another browser": (signing_in.PER_DEVICE, signing_in.device_key("another", ada)),
    }
    for rules, key in keys.values():
        for rule in rules:
            limits.allow(engine, rule, *key)

    unlock(engine, ada, ADA, device=device)

    left = {who: [_remaining(engine, rule, key) for rule in rules] for who, (rules, key) in keys.items()}
    assert left == {
        "own browser": [9, 29],
        "password again": [9],
        "account": [9, 59],
        "second factor": [9, 59],
        "code": [4],
        "answers": [4],
        "another account": [8, 58],
        "another browser": [8, 28],
    }


def _remaining(engine: Engine, rule: str, key: tuple[str, ...]) -> int:
    outcome = limits.allow(engine, rule, *key)
    assert isinstance(outcome, limits.Allowed)
    return outcome.remaining
