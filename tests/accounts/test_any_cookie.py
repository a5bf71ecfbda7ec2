"""Whatever cookies a browser brings: a device that is known by our own signature, or a new one that knows nobody."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from portal.accounts.cookies import Device, Jar
from portal.accounts.tokens import could_be_token, new_token, token_hash
from tests.strangers import ANY_TEXT, octets_with

ADA = UUID(int=1)
KEYS = ("a" * 64,)
JAR = Jar(False, KEYS)
COOKIES = octets_with(
    *(
        b"portal-device",
        b"portal-session",
        b"__Host-",
        b"=",
        b";",
        b",",
        b'"',
        b"\\",
        b"\\073",
        b" ",
        b".",
        b"eyJ9",
        b"\xff",
    ),
    *(b"WyJhIixbXV0", b"aXbYcA", b"-", b"_", b"a" * 5000),
)


def bringing(cookies: bytes) -> Request:
    return Request(
        EnvironBuilder(headers={"Cookie": cookies.translate(None, b"\r\n\0").decode("latin-1")}).get_environ()
    )


def kept_device() -> str:
    response = Response()
    JAR.keep_device(response, Device("desk", (ADA.hex,)))
    return response.headers["Set-Cookie"].partition(";")[0]


@given(COOKIES)
def test_any_cookies_are_those_of_a_new_device_and_perhaps_a_token(cookies: bytes) -> None:
    request = bringing(cookies)

    assert JAR.device(request).people == ()
    assert len(token_hash(JAR.session_token(request))) == 32


@given(place=st.integers(0, 200), mark=st.sampled_from("AZaz09-_.= ;") | st.characters(max_codepoint=0xFF))
def test_a_cookie_that_was_changed_makes_no_other_device(place: int, mark: str) -> None:
    kept = kept_device()
    at = place % len(kept)

    device = JAR.device(bringing((kept[:at] + mark + kept[at + 1 :]).encode("latin-1")))

    assert device == Device("desk", (ADA.hex,)) or device.people == ()


@given(ANY_TEXT | st.text("\ud800\udfffé", max_size=50) | st.just(new_token()))
def test_any_text_has_a_hash_and_only_the_shape_of_a_token_is_looked_up(text: str) -> None:
    assert len(token_hash(text)) == 32
    assert could_be_token(text) == (len(text) == 43 and text.isascii())
