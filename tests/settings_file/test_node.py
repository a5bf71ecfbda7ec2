from __future__ import annotations

from pathlib import Path

import pytest

from portal.settings_file import (
    Node,
    SettingsFileError,
    follow_on_this_machine,
    read,
    refuse_references,
)


def entry(value: str) -> Node:
    """A file whose line 2 gives `key` this value."""
    return read(f"# one line before\nkey: {value}\n".encode(), follow=follow_on_this_machine)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("no", "no"),
        ("007", "007"),
        ("1e3", "1e3"),
        ("2026-11-21", "2026-11-21"),
        ("'null'", "null"),
        ('"grüße\\n"', "grüße\n"),
        ("", ""),
        ("null", ""),
        ("~", ""),
        ('""', ""),
    ],
)
def test_a_text_is_what_is_written_and_empty_values_are_empty(written: str, expected: str) -> None:
    assert entry(written).text("key") == expected


@pytest.mark.parametrize(("written", "expected"), [("25", 25), ("+7", 7), ("", None), ("null", None)])
def test_a_whole_number_is_read(written: str, expected: int | None) -> None:
    assert entry(written).integer("key", 1, 65535) == expected


@pytest.mark.parametrize("written", ["0", "65536", "2.0", "0x19", "2_5", '"25"', "x", "٢٥", "9" * 5000, "[1]"])
def test_what_is_no_whole_number_within_bounds_is_refused(written: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        entry(written).integer("key", 1, 65535)

    assert str(caught.value) == "line 2, key: expected a whole number from 1 to 65535"


@pytest.mark.parametrize(
    ("written", "expected"), [("true", True), ("True", True), ("on", True), ("no", False), ("false", False)]
)
def test_booleans_have_the_words_of_yaml(written: str, expected: bool) -> None:
    assert entry(written).boolean("key") is expected


@pytest.mark.parametrize("written", ["1", '"true"', "", "maybe", "{}"])
def test_what_is_no_boolean_is_refused(written: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        entry(written).boolean("key")

    assert str(caught.value) == "line 2, key: expected true or false"


def test_a_choice_is_one_of_the_words() -> None:
    assert entry("none").choice("key", ("auto", "none")) == "none"
    with pytest.raises(SettingsFileError) as caught:
        entry("ssl").choice("key", ("auto", "none"))

    assert str(caught.value) == "line 2, key: ssl is not one of: auto, none"


def test_what_the_file_does_not_name_is_told_from_what_it_empties() -> None:
    node = entry("")

    assert node.has("key")
    assert not node.has("other")
    assert [node.text("other"), node.boolean("other"), node.secret("other"), node.choice("other", ("a",))] == [None] * 4


def test_a_required_text_must_be_there() -> None:
    for written in ("", '""'):
        with pytest.raises(SettingsFileError) as caught:
            entry(written).required_text("key")
        assert str(caught.value) == "line 2, key: key is missing"

    with pytest.raises(SettingsFileError, match="other is missing"):
        entry("x").required_text("other")


@pytest.mark.parametrize("written", ["[a]", "{a: b}"])
def test_a_list_or_mapping_is_no_text(written: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        entry(written).text("key")

    assert str(caught.value) == "line 2, key: expected a text"


def test_a_text_is_neither_a_list_nor_a_mapping() -> None:
    value = entry("x").child("key")
    assert value is not None

    with pytest.raises(SettingsFileError, match="expected keys with values"):
        value.mapping()
    with pytest.raises(SettingsFileError, match="expected a list"):
        value.items()


def test_an_unknown_key_is_refused_with_its_line_and_the_known_ones() -> None:
    with pytest.raises(SettingsFileError) as caught:
        entry("x").refuse_unknown(["port", "host"])

    assert str(caught.value) == "line 2, key: unknown key; known here: host, port"


def test_a_secret_is_a_text_or_a_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("SMTP_PASSWORD", "from the environment")

    given = [
        entry("s3cret").secret("key"),
        entry("{env: SMTP_PASSWORD}").secret("key"),
        entry(f"{{file: {tmp_path / 'secret'}}}").secret("key"),
        entry("").secret("key"),
    ]

    assert [secret.value if secret else None for secret in given] == [
        "s3cret",
        "from the environment",
        "from a file",
        "",
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{env: NOT_SET}", "the environment has no variable NOT_SET"),
        ("{env: EMPTY}", "EMPTY is empty"),
        ("{file: /nowhere/secret}", "/nowhere/secret cannot be read: No such file or directory"),
        ("{file: /dev/zero}", "/dev/zero is too large for a secret"),
        ("{vault: x}", "expected a text, {env: NAME} or {file: PATH}"),
        ("{env: A, file: B}", "expected a text, {env: NAME} or {file: PATH}"),
        ("{}", "expected a text, {env: NAME} or {file: PATH}"),
        ("[x]", "expected a text, {env: NAME} or {file: PATH}"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, written: str, expected: str
) -> None:
    monkeypatch.setenv("EMPTY", "")

    with pytest.raises(SettingsFileError) as caught:
        entry(written).secret("key")

    assert str(caught.value) == f"line 2, key: {expected}"


def test_references_are_refused_where_no_command_line_resolves_them() -> None:
    node = read(b"password: {env: HOME}\n", follow=refuse_references)

    with pytest.raises(SettingsFileError, match="work on the command line only"):
        node.secret("password")


def test_secrets_are_in_no_representation() -> None:
    node = entry("canary-4711")

    assert "canary-4711" not in repr(node)
    assert "canary-4711" not in repr(node.secret("key"))
    assert "canary-4711" not in repr(node.child("key").content)  # type: ignore[union-attr]
