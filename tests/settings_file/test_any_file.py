"""Whatever a settings file holds: values with their lines, or one error that names a line of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portal.settings_file import (
    Node,
    ReferenceFailed,
    SecretReference,
    SettingsFileError,
    follow_on_this_machine,
    read,
    refuse_references,
)
from portal.settings_file.node import Scalar
from tests.strangers import ANY_TEXT, octets_with, outcome_of, texts_with

FILES = octets_with(
    *(
        b"a",
        b"email",
        b"connections",
        b": ",
        b":",
        b"- ",
        b"-",
        b"  ",
        b"    ",
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b"{",
        b"}",
    ),
    *(
        b"[",
        b"]",
        b",",
        b'"',
        b"'",
        b"|\n",
        b">-\n",
        b"&x ",
        b"*x",
        b"!!int ",
        b"!x ",
        b"? ",
        b"# ",
        b"---\n",
        b"...\n",
    ),
    *(
        b"%YAML 1.1\n",
        b"<<",
        b"~",
        b"null",
        b"true",
        b"no",
        b"587",
        b"007",
        b"0x1F",
        b"1e3",
        b"{env: A}",
        b"\\0",
        b"\\x",
    ),
    *(
        b"\xff",
        b"\xef\xbb\xbf",
        "ä".encode(),
        "\u2028".encode(),
        b"\x85",
        b"\0",
        b"@",
        b"`",
        b"[" * 2000,
        b"{a: " * 2000,
    ),
    *(b"? [a]\n: b\n", b"? {a: b}\n: c\n", b"{[a]: b}\n"),
    most=16,
)


def questions(node: Node) -> list[Any]:
    """Every question that a room may ask of a place."""
    return [
        node.mapping,
        node.items,
        node.as_text,
        node.as_boolean,
        lambda: node.as_integer(1, 65535),
        lambda: node.secret("a"),
        lambda: node.required_text("a"),
        lambda: node.choice("a", ["html", "text"]),
        lambda: node.refuse_unknown({"a"}),
    ]


@given(FILES | st.binary(max_size=80))
def test_any_bytes_are_values_with_lines_or_an_error_that_names_one(content: bytes) -> None:
    lines = (
        content.count(b"\n") + content.count(b"\r") + content.count(b"\xe2\x80\xa8") + content.count(b"\xc2\x85") + 1
    )

    top = outcome_of(lambda: read(content, follow=refuse_references), SettingsFileError)

    if isinstance(top, SettingsFileError):
        assert 1 <= top.line <= lines + 1
        assert str(top.reason)
        return
    places = [top]
    for node in places:
        assert 1 <= node.line <= lines + 1
        places += [*node.content] if isinstance(node.content, tuple) else []
        places += [] if isinstance(node.content, tuple | Scalar) else [*node.content.values()]
        for ask in questions(node):
            answer = outcome_of(ask, SettingsFileError)
            assert not isinstance(answer, SettingsFileError) or 1 <= answer.line <= lines + 1


KEYS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufeff\ufffe\uffff"),
    min_size=1,
    max_size=30,
)
TREES = st.recursive(
    TEXTS | st.integers(-(10**9), 10**9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, TREES, max_size=4), st.booleans())
def test_what_is_written_is_read_back(written: dict[str, Any], as_json: bool) -> None:
    text = json.dumps(written, ensure_ascii=False) if as_json else yaml.safe_dump(written, allow_unicode=True)

    assert _plain(read(text.encode(), follow=refuse_references)) == _as_texts(written)


def _plain(node: Node) -> Any:
    if isinstance(node.content, tuple):
        return [_plain(one) for one in node.content]
    if isinstance(node.content, Scalar):
        return node.content.written
    return {key: _plain(value) for key, value in node.content.items()}


def _as_texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_texts(one) for one in value]
    if isinstance(value, dict):
        return {key: _as_texts(one) for key, one in value.items()}
    return str(value).lower() if isinstance(value, bool) else str(value)


@given(
    st.sampled_from(["env", "file"]),
    ANY_TEXT | texts_with("~", "~nobody-of-that-name", "/", "..", "\0", "\n", "/proc/self/mem", "/dev/null", "PATH"),
)
def test_any_reference_leads_to_a_secret_or_there_is_a_reason(kind: str, target: str) -> None:
    secret = outcome_of(lambda: follow_on_this_machine(SecretReference(kind, target)), ReferenceFailed)

    if isinstance(secret, ReferenceFailed):
        assert str(secret.reason)
        return
    assert 0 < len(secret) <= 65_536


@pytest.mark.parametrize("kind", ["env", "file"])
@pytest.mark.parametrize("target", ["a\0b", "~nobody-of-that-name/secret", "\ud800", "x" * 100_000])
def test_a_reference_that_no_machine_can_follow_is_refused_with_its_name(kind: str, target: str) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        follow_on_this_machine(SecretReference(kind, target))

    assert target in str(caught.value.reason)
