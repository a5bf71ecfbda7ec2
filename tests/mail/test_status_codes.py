"""Enhanced status codes at the start of what a server says."""

from __future__ import annotations

import pytest

from portal.mail.status_codes import split_status_code


@pytest.mark.parametrize(
    ("text", "code", "rest"),
    [
        ("5.7.139 Authentication unsuccessful", "5.7.139", "Authentication unsuccessful"),
        ("2.0.0 OK", "2.0.0", "OK"),
        ("4.2.1", "4.2.1", ""),
        (" 4.7.0  wait", "4.7.0", "wait"),
        ("5.7.1: Relay access denied", "5.7.1", "Relay access denied"),
        ("5.1.1 <a@x.test>: unknown", "5.1.1", "<a@x.test>: unknown"),
        ("#5.1.0 Address rejected", "5.1.0", "Address rejected"),
        ("5.7.1\nsecond line", "5.7.1", "second line"),
    ],
)
def test_a_code_at_the_start_is_taken_off(text: str, code: str, rest: str) -> None:
    assert split_status_code(text) == (code, rest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OK",
        "queued as 5.7.1",
        "3.0.0 no class",
        "5.7 short",
        "5.7.1.2 address",
        "5.7.1234 long",
        "5.7.1x",
        "15.1.1 x",
        "٥.1.1 x",
    ],
)
def test_a_text_without_a_code_is_left_alone(text: str) -> None:
    assert split_status_code(text) == (None, text)
