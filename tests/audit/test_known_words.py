"""The portal's own words in entries are told from names, which stay as they are."""

from __future__ import annotations

import pytest

from portal.audit import NO_PERSONS, actor_in_words
from portal.audit.known_words import by_whom, starting_actor, subject_in_words
from portal.wording import N_, Text


def test_who_is_no_account_is_told_in_marked_words_and_a_name_as_it_is() -> None:
    assert all(isinstance(actor_in_words(name), Text) for name in NO_PERSONS)
    assert {name: str(actor_in_words(name)) for name in NO_PERSONS} == {name: name for name in NO_PERSONS}
    assert actor_in_words("Ada Lovelace") == "Ada Lovelace"


@pytest.mark.parametrize(
    ("name", "at_the_start", "after_a_verb"),
    [
        ("Ada Lovelace", "Ada Lovelace", "by Ada Lovelace"),
        ("command line", "Somebody on the command line", "by somebody on the command line"),
        ("the portal", "The portal itself", "by the portal itself"),
        ("server Wiki", "The server Wiki", "by the server Wiki"),
        ("set-up", "set-up", "by set-up"),
    ],
)
def test_who_acted_fits_into_a_sentence(name: str, at_the_start: str, after_a_verb: str) -> None:
    assert str(starting_actor(name)) == at_the_start
    assert str(by_whom(name)) == after_a_verb
    assert isinstance(by_whom(name), Text)


@pytest.mark.parametrize(
    ("action", "subject", "is_marked"),
    [
        ("recovery_settings.changed", "recovery settings", True),
        ("connection.changed", "connection Main", True),
        ("user.sign_in_failed", "recovery settings", False),  # typed by a stranger
        ("user.sign_in_failed", "connection Main", False),
        ("test_message.sent", "connection Main", False),  # the connection's whole name
        ("connection.changed", "Main", False),
    ],
)
def test_a_subject_is_shown_in_marked_words_where_the_action_says_so(
    action: str, subject: str, is_marked: bool
) -> None:
    shown = subject_in_words(action, subject)

    assert (str(shown), isinstance(shown, Text)) == (subject, is_marked)


@pytest.mark.parametrize("action", ["captured_mail.read", "message.retried", "message.cancelled"])
def test_the_kind_of_a_message_is_shown_by_its_title(action: str) -> None:
    titles = {"password_reset": N_("Forgotten password")}

    shown = subject_in_words(action, "password_reset to ada@contoso.test", lambda kind: titles.get(kind, kind))

    assert str(shown) == "mail of the kind “Forgotten password” to ada@contoso.test"
    assert isinstance(shown, Text)
    assert shown.values["kind"] is titles["password_reset"]


def test_a_kind_of_message_that_nobody_knows_is_shown_by_its_name() -> None:
    assert str(subject_in_words("captured_mail.read", "test to ada@contoso.test")) == (
        "mail of the kind “test” to ada@contoso.test"
    )


def test_a_message_that_is_told_by_its_number_alone_stays_as_it_is() -> None:
    number = "0b0e5b4e-1d1c-4a53-8a52-2a3d0a3f1d11"

    assert subject_in_words("message.retried", number) == number
