"""Which text may stand in a header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.mail.header_text import HeaderTextError, check_header_text, one_line


@pytest.mark.parametrize("separator", list("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"))
def test_every_line_separator_is_refused_as_a_line_break(separator: str) -> None:
    with pytest.raises(HeaderTextError, match="line break"):
        check_header_text(f"a{separator}Bcc: v@x.test", limit=100)


@pytest.mark.parametrize(
    "unseen", list("\0\x01\x08\t\x1b\x1f\x7f\x80\x9b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ud800\udfff")
)
def test_every_control_and_override_is_refused_by_its_number(unseen: str) -> None:
    with pytest.raises(HeaderTextError, match=f"U\\+{ord(unseen):04X}"):
        check_header_text(f"a{unseen}b", limit=100)


@pytest.mark.parametrize("text", ["", "Hello", "Grüße 😀", "שלום", "a  b", "=?utf-8?q?a?=", "100 %", "\u200d"])
def test_other_text_is_kept_as_it_is(text: str) -> None:
    assert check_header_text(f" {text} ", limit=100) == text


def test_a_text_is_as_long_as_the_limit_at_most() -> None:
    assert check_header_text("x" * 10, limit=10) == "x" * 10
    with pytest.raises(HeaderTextError, match="longer than 10 characters"):
        check_header_text("x" * 11, limit=10)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Hello\r\nBcc: v@x.test", "Hello Bcc: v@x.test"),
        ("  a \t\u2028 b\x85", "a b"),
        ("a\0b\u202ec\ud800", "abc"),
        (" \0 ", ""),
        ("a \0 b", "a b"),
    ],
)
def test_any_text_can_be_made_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text())
def test_what_was_made_one_line_may_stand_in_a_header(text: str) -> None:
    line = one_line(text)

    assert check_header_text(line, limit=len(text)) == line
    assert len(line.splitlines()) <= 1
