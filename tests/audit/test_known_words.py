"""The portal's own words in entries are told from names, which stay as they are."""

from __future__ import annotations

import pytest

from portal.audit import NO_PERSONS, actor_in_words
from portal.audit.known_words import subject_in_words
from portal.wording import Text


def test_who_is_no_account_is_told_in_marked_words_and_a_name_as_it_is() -> None:
    assert all(isinstance(actor_in_words(name), Text) for name in NO_PERSONS)
    assert {name: str(actor_in_words(name)) for name in NO_PERSONS} == {name: name for name in NO_PERSONS}
    assert actor_in_words("Ada Lovelace") == "Ada Lovelace"


@pytest.mark.parametrize(
    ("action", "subject", "is_marked"),
    [
        ("recovery_settings.changed", "recovery settings", True),
        ("connection.changed", "connection Main", True),
        ("captured_mail.read", "test to ada@contoso.test", True),
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
