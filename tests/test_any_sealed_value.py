"""Whatever stands where a sealed value should: the value that was sealed, or that it cannot be read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portal.secret_box import SecretBox, Unreadable
from tests.strangers import ANY_TEXT, texts_with

BOX, OTHER = SecretBox(["a" * 32]), SecretBox(["b" * 32])
CONTEXT = "connection_secret.sealed:1"


@given(st.text() | st.binary(), st.text(), st.text())
def test_what_was_sealed_opens_with_its_key_in_its_place_alone(value: str | bytes, context: str, other: str) -> None:
    sealed = BOX.seal(value, context)

    octets = value.encode() if isinstance(value, str) else value
    assert BOX.open_bytes(sealed, context) == octets
    assert BOX.open(sealed, context) == (octets.decode() if _is_text(octets) else Unreadable("not a text"))
    assert isinstance(BOX.open_bytes(sealed, other), Unreadable) or other == context
    assert isinstance(OTHER.open_bytes(sealed, context), Unreadable)
    assert SecretBox(["b" * 32, "a" * 32]).open_bytes(sealed, context) == octets


def _is_text(octets: bytes) -> bool:
    return octets.decode("utf-8", "ignore").encode() == octets


@given(texts_with("v1", ".", BOX.key_id, OTHER.key_id, "AAAAAAAAAAAAAAAA", "=", "-", "_", "é", "A" * 200) | ANY_TEXT)
def test_any_text_cannot_be_read(text: str) -> None:
    assert isinstance(BOX.open(text, CONTEXT), Unreadable)
    assert isinstance(BOX.open(text, text), Unreadable)


@given(value=st.text(), data=st.data())
def test_no_damage_makes_another_value(value: str, data: Any) -> None:
    sealed = BOX.seal(value, CONTEXT)
    place = data.draw(st.integers(0, len(sealed) - 1))
    mark = data.draw(st.sampled_from("AZaz09-_.=+/ \n") | st.characters())

    opened = {BOX.open(damaged, CONTEXT) for damaged in _damaged(sealed, place, mark)}

    assert opened <= {value, *(one for one in opened if isinstance(one, Unreadable))}


def _damaged(sealed: str, place: int, mark: str) -> list[str]:
    before, after = sealed[:place], sealed[place + 1 :]
    return [before + mark + after, before + after, before + mark + sealed[place:], before, sealed + mark]
