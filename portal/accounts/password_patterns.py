"""An organisation's own rules for passwords: regular expressions, each with the sentence that explains it.

An expression may not take long, whatever somebody types (CWE-1333). `check_expression` counts the ways in which it
can be tried on a text, from its parsed form, and refuses what could exceed MOST_STEPS: repeats within repeats,
many repeats in a row, references back. Only the first 256 characters of a password are looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from portal.wording import N_, Text

JUDGED_LENGTH = 256  # characters of a password
LONGEST_EXPRESSION = 300
LONGEST_MESSAGE = 200
MOST_STEPS = 50_000_000  # at the very worst a second of one core
_ONE_CHARACTER = frozenset({kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY})


@dataclass(frozen=True)
class Pattern:
    """A new password must contain what `expression` describes; `message` tells people so."""

    expression: str
    message: str

    def fits(self, password: str) -> bool:
        return _compiled(self.expression).search(password[:JUDGED_LENGTH]) is not None


class BadExpression(ValueError):
    """The expression is not taken; `reason` says why."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True)
class _Cost:
    ways: int  # in which a part can fit, at most
    steps: int  # that trying them all takes


def check_expression(expression: str) -> str:
    """The expression as it is. Raises BadExpression."""
    if len(expression) > LONGEST_EXPRESSION:
        raise BadExpression(N_("This is longer than %(limit)s characters. Shorten it.", limit=LONGEST_EXPRESSION))
    try:
        _compiled(expression)
        cost = _of_sequence(parser.parse(expression))
    except (re.error, OverflowError, RecursionError) as error:
        raise BadExpression(N_("This is no regular expression: %(error)s.", error=str(error))) from None
    starts = 1 if expression.startswith(("^", r"\A")) else JUDGED_LENGTH
    if cost.steps * starts > MOST_STEPS:
        raise _too_slow()
    return expression


def _of_sequence(sequence: Any) -> _Cost:
    """Each part is tried once for each way in which those before it fit."""
    ways, steps = 1, 0
    for kind, value in sequence:
        part = _of_part(kind, value)
        steps += ways * part.steps
        ways *= part.ways
        if steps > MOST_STEPS:
            raise _too_slow()
    return _Cost(ways, max(steps, 1))


def _of_part(kind: Any, value: Any) -> _Cost:
    if kind in _ONE_CHARACTER or kind is kinds.AT:
        return _Cost(1, 1)
    if kind is kinds.SUBPATTERN:
        return _of_sequence(value[-1])
    if kind in {kinds.ASSERT, kinds.ASSERT_NOT}:
        return _Cost(1, _of_sequence(value[1]).steps)  # it is never gone back into
    if kind is kinds.BRANCH:
        branches = [_of_sequence(branch) for branch in value[1]]
        return _Cost(sum(one.ways for one in branches), sum(one.steps for one in branches))
    if kind in {kinds.MAX_REPEAT, kinds.MIN_REPEAT}:
        return _of_repeat(*value)
    raise _too_slow()


def _of_repeat(least: Any, most: Any, body: Any) -> _Cost:
    """A repeat of what itself fits in one way only: any other doubles its ways with each turn."""
    inner, most = _of_sequence(body), min(int(most), JUDGED_LENGTH)
    if inner.ways > 1 and most > 1:
        raise _too_slow()
    return _Cost((most - min(int(least), most) + 1) * inner.ways, max(most, 1) * inner.steps)


@lru_cache(maxsize=32)
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


def _too_slow() -> BadExpression:
    return BadExpression(
        N_(
            "This expression could take very long on some passwords. Begin it with ^, and leave out repeats within "
            "repeats such as (a+)+ and references such as \\1."
        )
    )
