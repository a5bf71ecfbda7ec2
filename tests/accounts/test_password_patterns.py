from __future__ import annotations

import time

import pytest

from portal.accounts.password_patterns import BadExpression, Pattern, check_expression

USUAL = [
    r"[0-9]",
    r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d).{12,}$",
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d).{12,}",
    r"^.*[A-Z].*[0-9].*$",
    r"[^A-Za-z0-9]",
    r"(?i)[a-z]{3}",
    r"^(?!.*contoso).+$",
    r"^\w+\s\w+",
    r"(?:\d[a-z]){2}",
    r"(ab)+",
    r"a|b|c{2}",
]
SLOW = [
    r"(a+)+$",
    r"(a|aa)+$",
    r"(.*)*x",
    r"a*a*a*a*a*b",
    "a?" * 30 + "a" * 30,
    r"(.)\1",
    r"^(.{1,50}){1,50}x",
    r"(x+x+)+y",
    r"(?=(a+)+$)",
    r".*.*.*.*z",
]


@pytest.mark.parametrize("expression", USUAL)
def test_what_organisations_ask_for_is_taken_and_is_quick_on_whatever_is_typed(expression: str) -> None:
    check_expression(expression)
    started = time.process_time()

    for text in ("a" * 1024, "A" * 1024, "1" * 1024, "aB1" * 341 + "\n", "ab" * 512, "x y" * 341, "é" * 1024):
        Pattern(expression, "").fits(text)

    assert time.process_time() - started < 2


@pytest.mark.parametrize("expression", SLOW)
def test_what_could_take_long_is_refused(expression: str) -> None:
    with pytest.raises(BadExpression, match="could take very long"):
        check_expression(expression)


@pytest.mark.parametrize("expression", ["[0-9", "(", "*", "x{99999999999}", "a{3,1}", "(?P<a>x)(?P<a>y)"])
def test_what_is_no_expression_is_refused_with_the_place(expression: str) -> None:
    with pytest.raises(BadExpression, match="This is no regular expression: "):
        check_expression(expression)


def test_an_expression_may_not_be_endless() -> None:
    with pytest.raises(BadExpression, match="longer than 300 characters"):
        check_expression("a" * 301)


def test_a_password_must_contain_what_is_described() -> None:
    assert Pattern("[0-9]", "").fits("harbour 7")
    assert not Pattern("[0-9]", "").fits("harbour")
