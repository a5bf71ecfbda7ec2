"""Sentences inside sentences: in English, in another language, and stored."""

from __future__ import annotations

import json

from portal.wording import N_, Text, joined

GERMAN = {
    "%(name)s is paused. %(reason)s": "%(name)s ruht. %(reason)s",
    "Draft": "Entwurf",
    "": "Project-Id-Version: 1",
}
PAUSED = N_("%(name)s is paused. %(reason)s", name="100% Main", reason=N_("Draft"))


def german(text: str) -> str:
    return GERMAN.get(text, text)


def test_a_sentence_inside_another_is_translated_with_it() -> None:
    assert PAUSED.in_words(german) == "100% Main ruht. Entwurf"
    assert str(PAUSED) == "100% Main is paused. Draft"


def test_a_row_of_parts_is_translated_part_by_part_and_leaves_empty_ones_out() -> None:
    row = joined(" 50% ", ("Draft", "", N_("Draft"), N_("100%%")))

    assert row.in_words(german) == "Draft 50% Entwurf 50% 100%"
    assert (str(joined(", ", ("", ""))), bool(joined(", ", ()))) == ("", False)


def test_nothing_is_not_translated_into_the_header_of_a_catalogue() -> None:
    assert joined(", ", ()).in_words(german) == ""


def test_a_sentence_is_stored_whole_and_one_stored_by_an_earlier_version_is_read() -> None:
    stored = json.loads(json.dumps(joined("; ", (PAUSED, "250 ok")).to_json()))

    assert Text.read(stored).in_words(german) == "100% Main ruht. Entwurf; 250 ok"
    assert str(Text.from_json({"template": "in %(days)s days", "values": {"days": 5}})) == "in 5 days"
    assert Text.from_json(None) is None
