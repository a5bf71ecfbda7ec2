"""What strangers may send: strategies that the property tests of several rooms share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

ANY_CHARACTER = st.characters()  # halves of surrogate pairs included, as JSON can spell them
ANY_TEXT = st.text(ANY_CHARACTER, max_size=80)
ODD_NUMBERS = st.sampled_from([0, -1, 10**30, -(10**30), 1e308, float("inf"), float("-inf"), float("nan")])


def texts_with(*marks: str, most: int = 12) -> SearchStrategy[str]:
    """Texts that are made of these marks and of anything else, so that they get past the first look of a parser."""
    return st.lists(st.sampled_from(marks) | st.text(ANY_CHARACTER, max_size=4), max_size=most).map("".join)


def octets_with(*marks: bytes, most: int = 12) -> SearchStrategy[bytes]:
    """The same in bytes."""
    return st.lists(st.sampled_from(marks) | st.binary(max_size=4), max_size=most).map(b"".join)


def json_values(*words: str) -> SearchStrategy[Any]:
    """Whatever JSON can say; `words` stand often among its texts."""
    texts = st.sampled_from(words) | st.sampled_from(words) | ANY_TEXT if words else ANY_TEXT
    others = st.none() | st.booleans() | st.integers() | st.floats() | ODD_NUMBERS
    scalars = texts | others
    return scalars | st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )


def json_objects(*keys: str, words: tuple[str, ...] = ()) -> SearchStrategy[dict[str, Any]]:
    """Objects that have some of the keys, each with whatever JSON can say, and others besides."""
    values = json_values(*words)
    known = st.dictionaries(st.sampled_from(keys), values, max_size=len(keys))
    return st.builds(lambda some, others: others | some, known, st.dictionaries(ANY_TEXT, values, max_size=2))


def json_texts(values: SearchStrategy[Any]) -> SearchStrategy[str]:
    """JSON as text, what is nested without end, and what is no JSON at all."""
    nested = st.sampled_from(["[" * 2000, '{"a":' * 2000, '{"error":' * 500 + "1" + "}" * 500])
    whole = values.map(json.dumps)
    return st.one_of(whole, whole, whole, whole.map(lambda text: text[1:]), ANY_TEXT, nested)


def outcome_of(ask: Callable[[], T], error: type[E]) -> T | E:
    """What it returns, or the error of this kind that it raises; every other one is a fault."""
    try:
        return ask()
    except error as raised:
        return raised
