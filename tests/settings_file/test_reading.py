from __future__ import annotations

from itertools import pairwise

import pytest

from portal.settings_file import Node, SettingsFileError, read, refuse_references


def parse(text: str | bytes) -> Node:
    return read(text.encode() if isinstance(text, str) else text, follow=refuse_references)


def refusal(text: str | bytes) -> str:
    with pytest.raises(SettingsFileError) as caught:
        parse(text)
    return str(caught.value)


def test_places_know_their_line_and_path() -> None:
    top = parse("# settings\n\nconnections:\n  - name: main\n    port: 587\n  - {name: second}\n")

    entries = top.child("connections").items()  # type: ignore[union-attr]

    assert [(entry.line, entry.path) for entry in entries] == [(4, "connections[0]"), (6, "connections[1]")]
    assert (entries[0].mapping()["port"].line, entries[0].mapping()["port"].path) == (5, "connections[0].port")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n", "\ufeff"])
def test_a_file_without_settings_has_no_keys(text: str) -> None:
    assert dict(parse(text).mapping()) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("email:\n  format: html\n  format: text\n", "line 3, email.format: this key was given before, on line 2"),
        ("a: &x 1\nb: *x\n", "line 1, a: anchors (&) and aliases (*) are not possible here"),
        ("a: 1\nb: *x\n", "line 2, b: anchors (&) and aliases (*) are not possible here"),
        ("a: [*x]\n", "line 1, a[0]: anchors (&) and aliases (*) are not possible here"),
        ("? *x\n: 1\n", "line 1: anchors (&) and aliases (*) are not possible here"),
        ("? [a]\n: 1\n", "line 1: a key must be a single word"),
        ("a: !!python/object/apply:os.system [id]\n", "line 1, a: tags (!) are not possible here"),
        ("a: !secret x\n", "line 1, a: tags (!) are not possible here"),
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins; one file holds one"),
        ("a: b: c\n", "line 1: this is not YAML: mapping values are not allowed in this context"),
        ("a:\n\t- b\n", "line 2: this is not YAML: found character that cannot start any token"),
        ("a: 1\nb: \x01\n", "line 2: control character U+0001"),
        (b"a: 1\nb: \xff\n", "line 2: this is not UTF-8 text"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text: str | bytes, expected: str) -> None:
    assert refusal(text) == expected


def test_a_file_that_nests_too_deep_is_refused_without_exhausting_the_stack() -> None:
    assert refusal("a: " + "[" * 100_000).endswith("nested too deep")


def test_a_long_key_above_many_values_cannot_grow() -> None:
    assert refusal("? " + "k" * 501 + "\n: [1, 2]\n") == "line 1: keys of more than 500 characters lead here"
    assert refusal("a: [" + "1, " * 100_000 + "1]\n").endswith("this holds too many values")


def test_a_file_of_many_aliases_cannot_grow() -> None:
    bomb = "a: &a [x]\n" + "".join(f"{new}: &{new} [*{old},*{old}]\n" for old, new in pairwise("abcdefghi"))

    assert refusal(bomb) == "line 1, a: anchors (&) and aliases (*) are not possible here"


def test_more_than_a_megabyte_is_refused_before_it_is_read() -> None:
    assert refusal(b"#" * 1_000_001) == "line 1: the file has more than 1,000,000 bytes"


def test_merge_keys_are_keys_like_any_other() -> None:
    top = parse("<<: {email: {}}\n")

    with pytest.raises(SettingsFileError, match="unknown key"):
        top.refuse_unknown(["email"])
