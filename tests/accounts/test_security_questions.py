from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal import connections
from portal.accounts import security_questions
from portal.accounts.recovery_models import SecurityAnswer
from portal.accounts.security_questions import BadAnswers
from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.answering import Answering
from tests.accounts.browsing import NOW, OTHER_PASSWORD, PASSWORD, add_person, sign_in, submit
from tests.accounts.test_recovery_settings import settle
from tests.accounts.test_reset_codes import ADA, WRONG, ask, codes, environ, give

__all__ = ["environ"]  # a fixture: mail leaves
PAGE = "/profile/security-questions"
QUESTIONS = {
    "question_1": "Which meal did you learn to cook first?",
    "answer_1": "Crêpes  Suzette",
    "question_2": "What did your first bicycle look like?",
    "answer_2": "red & rusty",
}
RIGHT = {"answer_1": " CRÊPES suzette", "answer_2": "Red &  rusty "}


@pytest.fixture
def app(app: Flask) -> Flask:
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, NOW)
    settle(app, questions=2, means="both")
    return app


def set_questions(client: FlaskClient, **changes: str) -> TestResponse:
    return submit(client, PAGE, QUESTIONS | {"current_password": PASSWORD} | changes)


@pytest.fixture
def asked(app: Flask, ada: UUID, client: FlaskClient, answering: Answering) -> str:
    """Ada has set her questions, and her browser has asked for a code: the code."""
    assert sign_in(client).status_code == 303
    assert set_questions(client).status_code == 303
    ask(client)
    return codes(answering)[-1]


def answer(client: FlaskClient, code: str, **answers: str) -> TestResponse:
    data = {"identifier": ADA, "code": code, "password": OTHER_PASSWORD, **answers}
    return submit(client, "/forgot-password", data, to="/reset-password")


# ---- Setting them ----


def test_questions_are_shown_again_and_answers_never(engine: Engine, ada_client: FlaskClient) -> None:
    response = set_questions(ada_client)

    page = ada_client.get(PAGE).get_data(as_text=True)
    with engine.connect() as connection:
        stored = connection.execute(select(SecurityAnswer.__table__).order_by(SecurityAnswer.place)).all()
        entry = connection.execute(
            select(AuditEntry.__table__).where(AuditEntry.action == "user.security_questions_changed")
        ).one()
    assert response.location == "/profile"
    assert QUESTIONS["question_2"] in page
    assert "Suzette" not in page
    assert [row.answer_hash.startswith("$argon2id$") for row in stored] == [True, True]
    assert (entry.subject, entry.changes) == (ADA, {"security_questions": "changed"})


def test_the_present_password_is_asked(engine: Engine, ada_client: FlaskClient) -> None:
    response = set_questions(ada_client, current_password="not hers at all 5")

    assert response.status_code == 422
    assert "This is not your current password." in response.get_data(as_text=True)
    with engine.connect() as connection:
        assert connection.scalars(select(SecurityAnswer.id)).all() == []


@pytest.mark.parametrize(
    ("pairs", "place", "said"),
    [
        ([("What?", "ab")], 1, "at least 3 characters"),
        ([("What?", "  a  b ")], 0, ""),
        ([(" ", "answer")], 1, "Write a question"),
        ([("What?", "answer"), ("WHAT?", "other")], 2, "each only once"),
        ([("What?", "answer"), ("Who?", "ANSWER ")], 2, "an answer of its own"),
        ([("Is it blue?", "Blue")], 1, "that the question does not hold"),
    ],
)
def test_what_protects_nothing_is_refused(pairs: list[tuple[str, str]], place: int, said: str) -> None:
    if not place:
        assert len(security_questions.hash_answers(pairs)) == 1
        return

    with pytest.raises(BadAnswers, match=said) as refusal:
        security_questions.hash_answers(pairs)
    assert refusal.value.place == place


def test_where_none_are_asked_there_is_no_page_and_no_card(app: Flask, ada_client: FlaskClient) -> None:
    settle(app, questions=0)

    assert ada_client.get(PAGE).status_code == 404
    assert "Security questions" not in ada_client.get("/profile").get_data(as_text=True)


def test_the_settings_say_how_many_people_have_set_theirs(app: Flask, ada_client: FlaskClient) -> None:
    add_person(app, "bob@contoso.test")
    set_questions(ada_client)

    with app.app_context():
        assert security_questions.people_who_set(db.session()) == (1, 2)


# ---- Being asked ----


def test_a_right_code_leads_to_the_questions_and_right_answers_to_the_new_password(
    client: FlaskClient, asked: str
) -> None:
    before = client.get("/reset-password").get_data(as_text=True)
    wrong = answer(client, WRONG).get_data(as_text=True)
    shown = answer(client, asked).get_data(as_text=True)

    done = answer(client, asked, **RIGHT)

    assert [QUESTIONS["question_1"] in page for page in (before, wrong, shown)] == [False, False, True]
    assert "Type your answer." not in shown
    assert done.status_code == 303
    assert sign_in(client, ADA, OTHER_PASSWORD).status_code == 303


def test_the_link_asks_them_too(client: FlaskClient, asked: str, answering: Answering) -> None:
    link = answering.links[-1]
    page = client.get(link).get_data(as_text=True)
    without = submit(client, "/forgot-password", {"password": OTHER_PASSWORD}, to=link)
    wrong = submit(client, "/forgot-password", {"password": OTHER_PASSWORD, **RIGHT, "answer_2": "blue"}, to=link)

    right = submit(client, "/forgot-password", {"password": OTHER_PASSWORD, **RIGHT}, to=link)

    assert QUESTIONS["question_2"] in page
    assert [answer.status_code for answer in (without, wrong, right)] == [422, 422, 303]
    assert "An answer is not the one that was set." in wrong.get_data(as_text=True)
    assert "blue" not in wrong.get_data(as_text=True)


def test_answers_are_guessed_a_few_times_only(engine: Engine, client: FlaskClient, asked: str) -> None:
    for _ in range(5):
        answer(client, asked, answer_1="pancakes", answer_2="green")

    refused = answer(client, asked, **RIGHT)

    assert refused.status_code == 422
    assert "Wrong answers were given too often." in refused.get_data(as_text=True)
    with engine.connect() as connection:
        failed = select(AuditEntry.subject).where(AuditEntry.action == "user.security_answers_failed")
        assert connection.scalars(failed).all() == [ADA] * 5


def test_whoever_has_set_none_is_not_asked(app: Flask, client: FlaskClient, ada: UUID, answering: Answering) -> None:
    ask(client)

    assert give(client, codes(answering)[-1]).status_code == 303


def test_no_more_are_asked_than_the_settings_say(app: Flask, client: FlaskClient, asked: str) -> None:
    settle(app, questions=1)

    assert answer(client, asked, answer_1=RIGHT["answer_1"]).status_code == 303


def test_answers_stand_nowhere(engine: Engine, client: FlaskClient, asked: str) -> None:
    answer(client, asked, answer_1="pancakes", answer_2="green")

    with engine.connect() as connection:
        rows: list[Any] = list(connection.execute(select(AuditEntry.__table__)))
        rows += list(connection.execute(select(SecurityAnswer.__table__)))
    text = str(rows).casefold()
    assert [word in text for word in ("suzette", "rusty", "pancakes", "green")] == [False] * 4
