"""Whatever a browser or a stranger's program sends: an answer, and never a fault of the portal."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from urllib.parse import quote_from_bytes, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.web.local_paths import safe_next
from portal.web.log_lines import harmless
from tests.every_route import CHANGING, READING, SIGN_IN, address, outcome, path_of, token_of
from tests.furnished import FurnishedPortal
from tests.strangers import ANY_TEXT, octets_with, texts_with

RAW = octets_with(
    *(
        b"/",
        b"//",
        b"\\",
        b"..",
        b"%",
        b"%00",
        b"?",
        b"&",
        b"=",
        b";",
        b",",
        b'"',
        b"<script>",
        b"\xff",
        b"\xc3\xa4",
        b"\0",
    ),
    *(
        b"http://",
        b"javascript:",
        b"[",
        b"]",
        b"@",
        b":",
        b"portal-session",
        b"__Host-",
        b"token",
        b"page",
        b"-1",
        b"9" * 30,
    ),
    *(b"00000000-0000-4000-8000-000000000000", b"\r", b"\n", b"\x1b[2J", "\u202e".encode(), b"a" * 3000),
    most=6,
)
AS_WSGI = RAW.map(lambda octets: octets.decode("latin-1"))
IN_HEADERS = RAW.map(lambda octets: octets.translate(None, b"\r\n\0").decode("latin-1"))
UNFIT_FOR_A_REQUEST_LINE = bytes([*range(0x21), 0x7F])
# The web server refuses a request whose address holds one of these, or is no UTF-8.
QUERIES = RAW.map(
    lambda octets: (
        octets.translate(None, UNFIT_FOR_A_REQUEST_LINE).decode("utf-8", "replace").encode().decode("latin-1")
    )
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("HTTP_COOKIE", "HTTP_USER_AGENT", "HTTP_ACCEPT_LANGUAGE", "HTTP_ACCEPT", "HTTP_REFERER", "HTTP_ORIGIN"),
            *("HTTP_HX_BOOSTED", "HTTP_HX_TARGET", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_HOST"),
            *("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_RANGE", "HTTP_AUTHORIZATION", "CONTENT_TYPE"),
            *("HTTP_X_CSRFTOKEN", "HTTP_X_REQUEST_ID", "REMOTE_ADDR"),
        ]
    ),
    IN_HEADERS | st.sampled_from(["application/json", "bytes=0-", "a=b; a=c", "de;q=x"]),
    max_size=4,
)
AROUND = texts_with(
    "localhost", "/", "//", "?", "#", "[", "]", ":", "@", "9" * 9, "%0d", "%5c", "connections", most=3
).map(lambda rest: f"http://{rest}".encode("utf-8", "replace").translate(None, b"\r\n\0").decode("latin-1"))
READ = sorted(path_of(route) for route in READING if path_of(route) not in {"/healthz", "/readyz"})


@settings(max_examples=50)
@given(
    identity=st.sampled_from(["stranger", "admin"]),
    rule=st.sampled_from(READ),
    tail=st.just(b"") | RAW,
    query=QUERIES,
    headers=HEADERS,
    around=st.none() | AROUND,
)
def test_any_address_with_any_headers_is_answered(
    shown: FurnishedPortal,
    identity: str,
    rule: str,
    tail: bytes,
    query: str,
    headers: dict[str, str],
    around: str | None,
) -> None:
    path = address(f"GET {rule}", shown.things).encode() + tail
    sent = {"PATH_INFO": path.decode("latin-1"), "QUERY_STRING": query, **headers}
    if around is not None:
        sent |= {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": around}

    answer = shown.client(identity).get("/", environ_overrides=sent)

    assert answer.status_code < 500
    assert urlsplit(answer.headers.get("Location", "")).hostname in {None, "localhost"}


@pytest.mark.parametrize("around", ["http://[", "http://]", "//[::1"])
def test_what_is_no_address_around_a_fragment_leads_to_the_first_page(shown: FurnishedPortal, around: str) -> None:
    answer = shown.client("stranger").get("/connections", headers={"HX-Request": "true", "HX-Current-URL": around})

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=%2F"


OPEN_FORMS = [route for route in CHANGING if outcome(route, "stranger") not in {SIGN_IN, 401, 403}]
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "email",
                "password",
                "password_again",
                "identifier",
                "code",
                "token",
                "next",
                "theme",
                "name",
                "csrf_token",
            ),
            *("seen_error", "state", "action"),
        ]
    ),
    ANY_TEXT.map(lambda text: text.encode("utf-8", "replace").decode()) | AS_WSGI,
    max_size=5,
)


@settings(max_examples=20)
@given(route=st.sampled_from(OPEN_FORMS), fields=FIELDS, part=RAW, number=st.integers(1, 2**32 - 2))
def test_any_form_that_a_stranger_sends_is_answered(
    shown: FurnishedPortal, route: str, fields: dict[str, str], part: bytes, number: int
) -> None:
    client = shown.client("stranger")
    path = re.sub("<.+?>", quote_from_bytes(part, safe="") or "x", path_of(route))
    sender = {"REMOTE_ADDR": str(IPv4Address(number))}  # nobody meets the limits of another

    answer = client.post(path, data={"csrf_token": token_of(client), **fields}, environ_overrides=sender)

    assert answer.status_code < 500
    assert urlsplit(answer.headers.get("Location", "")).hostname in {None, "localhost"}


TYPED = ("/profile", "/email-settings", "/test-messages/new", "/confirm-password", "/profile/password")
TYPED_FIELDS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "name",
                "phone",
                "email",
                "from_address",
                "display_name",
                "reply_to",
                "automatic_bcc",
                "format",
                "version",
            ),
            *("administrator_contact", "enabled", "to", "connection", "current_password", "password", "next"),
        ]
    ),
    st.text(st.characters(codec="utf-8"), max_size=30)
    | texts_with("\0", "ada@contoso.test", "\r\n", "1", "html", most=3).map(
        lambda text: text.encode("utf-8", "replace").decode()
    ),
    max_size=6,
)


@settings(max_examples=10)
@given(path=st.sampled_from(TYPED), fields=TYPED_FIELDS)
def test_any_form_that_an_administrator_sends_is_answered(
    shown: FurnishedPortal, path: str, fields: dict[str, str]
) -> None:
    client = shown.client("admin")

    answer = client.post(path, data={"csrf_token": token_of(client), **fields})

    assert answer.status_code < 500


TARGETS = texts_with("/", "\\", "%2f", "%5c", "%252f", "\t", "evil.test", "?", "#", most=4).map(
    "/{}".format
) | texts_with(*("/", "//", "http:", "javascript:", "[", "@", ":", "..", "%0a", "\u2028", "／", "é", " "))


@given(TARGETS | ANY_TEXT)
def test_what_is_gone_to_next_is_a_path_of_this_portal(target: str) -> None:
    path = safe_next(target)

    # Browsers drop tabs and line breaks, and read a backslash as a slash (WHATWG URL).
    seen = path.translate({ord(mark): None for mark in "\t\r\n"}).replace("\\", "/")
    whole = urlsplit(urljoin("https://mail.contoso.test/sign-in", seen))
    assert (whole.scheme, whole.netloc) == ("https", "mail.contoso.test")
    assert path == target or path == "/"
    assert path.startswith("/")
    assert safe_next(path) == path


@given(ANY_TEXT | texts_with("\x1b[2J", "\r\n", "\u2028", "\u202e", "\x85", "\0"))
def test_any_text_is_one_line_of_the_log(text: str) -> None:
    line = harmless(text)

    assert len(line.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)
    assert harmless(line) == line
