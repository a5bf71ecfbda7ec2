from __future__ import annotations

import pytest
from flask import Flask

from portal.accounts import known_words
from portal.accounts.password_rules import WeakPassword, require_good, weakness
from portal.extensions import db
from tests.accounts.browsing import name_organisation

ADA = ("ada.lovelace@contoso.test", "Ada Lovelace")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple 9",
        "plum-violin-harbour-42",
        "drei kleine Wörter am Fluss",
        "сегодня идёт мелкий дождь",
        "long " * 3 + "winding sentences about nothing in particular that go on for well over seventy characters",
    ],
)
def test_a_long_password_of_any_characters_is_good_enough(password: str) -> None:
    assert weakness(password, about=ADA) is None


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("plum-violin", "at least 12 characters"),
        ("", "at least 12 characters"),
        ("x" * 1025, "at most 1024 characters"),
        ("1qaz2wsx3edc4rfv", "leaked elsewhere"),
        ("1QAZ2WSX3EDC4RFV", "leaked elsewhere"),
        ("abababababab", "repeats itself"),
        ("qwertyuiop[]", "keys of the keyboard"),
        ("ghijklmnopqrst", "a row such as"),
        ("Ada.Lovelace1", "little more than your name"),
        ("ada.lovelace@contoso.test", "little more than your name"),
        ("MailPortal2026", "little more than your name"),
        ("zanzibarabcd", "close to a very common one"),
        ("11.11.1999 12", "mostly a date"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, said: str) -> None:
    reason = weakness(password, about=ADA)

    assert said in str(reason)


def test_the_words_about_one_person_do_not_weaken_anothers_password() -> None:
    password = "wxkvbqzj-marigold"

    assert weakness(password, about=("Wxkvbqzj Marigold",)) is not None
    assert weakness(password, about=("Bob",)) is None


@pytest.mark.parametrize(
    ("public_host", "words"),
    [
        ("wxkvbqzj.contoso.test", ("Fabrikam Widgets", "wxkvbqzj")),
        ("localhost", ("Fabrikam Widgets", "localhost")),
        ("192.0.2.7", ("Fabrikam Widgets",)),
        ("::1", ("Fabrikam Widgets",)),
    ],
)
def test_of_the_organisation_its_name_and_its_host_are_known(
    app: Flask, public_host: str, words: tuple[str, ...]
) -> None:
    name_organisation(app, "Fabrikam Widgets")

    with app.app_context():
        assert known_words.of_organisation(db.session(), public_host) == words


def test_letters_in_another_form_are_judged_as_what_they_mean() -> None:
    full_width = "１ｑａｚ２ｗｓｘ３ｅｄｃ４ｒｆｖ"

    with pytest.raises(WeakPassword, match="leaked elsewhere"):
        require_good(full_width, about=ADA)
