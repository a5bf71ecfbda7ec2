"""Whatever an HTTP server answers, byte by byte: an answer within its bounds, or an error with a name."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.network.https import HTTPS, Answer, HTTPSError, HTTPSSettings
from portal.transports.diagnosis import all_codes
from tests.outside.https_server import HTTPSServer
from tests.strangers import json_values, octets_with, outcome_of

CODES = {code for code, _ in all_codes()}
MOST_OCTETS = 5000
FIRST_LINES = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 404 no", b"HTTP/1.0 200 OK"]) | st.sampled_from(
    [
        *(
            b"HTTP/1.1 302 Found",
            b"HTTP/1.1 99999 x",
            b"HTTP/9.9 -1",
            b"HTTP/1.1 2_00 ",
            b"HTTP/1.1 204 ",
            b"",
            b"ICY 200 OK",
        ),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ",
    ]
)
PACKED, PARTED = b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n"
# Headers and content that belong together, more or less.
STARTS = st.sampled_from(
    [
        (b"", b"x" * 6000),
        (b"X: a\r\n folded\r\n", b"hello"),
        (b"Content-Length: 5\r\n", b"hel"),
        (b"Content-Length: 50000\r\n", b""),
        (b"Content-Length: -1\r\n", b"hello"),
        (b"Content-Length: 1_0\r\n", b"hello"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"hello"),
        (PACKED, gzip.compress(b"x" * 100_000)),
        (PACKED, gzip.compress(b"hello")[:15]),
        (PACKED, b"\x1f\x8bhello"),
        (PARTED, b"5\r\nhello\r\n0\r\n\r\n"),
        (PARTED, b"1770\r\n" + b"x" * 6000 + b"\r\n0\r\n\r\n"),
        (PARTED, b"-1\r\nhello"),
        (PARTED, b"F" * 20 + b"\r\nhello"),
        (PARTED, b"1_0\r\nhello"),
        (PARTED + PACKED, b"5\r\nhello\r\n0\r\n\r\n"),
    ]
)
ODD_LINES = st.just(b"") | st.sampled_from(
    [
        *(
            b"Content-Type: multipart/mixed; boundary=x",
            b"Location: http://[x",
            b"X: \xff\xe4",
            b"X: a\rY: b",
            b" folded",
        ),
        *(b"X" * 70_000, b"X: 1\r\n" * 101, b"\0", b":", b"--x", b"X : y"),
    ]
).map(lambda line: line + b"\r\n")
LIKELY_ANSWERS = st.builds(
    lambda first, start, line, rest: first + b"\r\n" + start[0] + line + b"\r\n" + start[1] + rest,
    FIRST_LINES,
    STARTS,
    ODD_LINES,
    octets_with(b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello", b"--x\r\n", most=3),
)

RAW_ANSWERS = st.one_of(
    LIKELY_ANSWERS,
    LIKELY_ANSWERS,
    octets_with(b"HTTP/1.1 200 OK", b"\r\n", b"\n", b"\r", b"\0", b"X: y", b"\x15\x03"),
)


@pytest.fixture(scope="module")
def plain_server() -> Iterator[HTTPSServer]:
    with HTTPSServer() as server:
        yield server


@pytest.fixture(scope="module")
def client() -> HTTPS:
    """It keeps no connection, since the server ends each, perhaps only when the next request is under way."""
    https = HTTPS(HTTPSSettings())
    https.close()
    return https


def answered(client: HTTPS, server: HTTPSServer, method: str, raw: bytes) -> Answer:
    server.on("/", raw=raw)
    return client.request(method, server.url("/"), content=b"x", most_octets=MOST_OCTETS, seconds=5)


@given(method=st.sampled_from(["GET", "POST", "HEAD"]), raw=RAW_ANSWERS)
def test_any_bytes_are_an_answer_within_its_bounds_or_an_error_with_a_name(
    client: HTTPS, plain_server: HTTPSServer, method: str, raw: bytes
) -> None:
    answer = outcome_of(lambda: answered(client, plain_server, method, raw), HTTPSError)

    if isinstance(answer, HTTPSError):
        assert answer.code in CODES - {"network.too_slow"}
        assert str(answer).isprintable()
        return
    assert 200 <= answer.status <= 999
    assert len(answer.content) <= MOST_OCTETS
    assert not any(line in f"{name}{value}" for name, value in answer.headers.items() for line in "\r\n")


TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_", min_size=1, max_size=12).map("X-".__add__)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f\x85\xa0"), max_size=20)
PACKINGS: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes, "br": bytes}


@given(
    status=st.integers(200, 299).filter(lambda status: status != 204) | st.integers(400, 599),
    headers=st.dictionaries(TOKENS.map(str.lower), VALUES, max_size=5),
    content=st.binary(max_size=2000),
    packing=st.sampled_from(sorted(PACKINGS)),
    chunk=st.integers(0, 700),
)
def test_a_proper_answer_is_read_as_it_was_sent_however_it_was_packed(
    client: HTTPS,
    plain_server: HTTPSServer,
    status: int,
    headers: dict[str, str],
    content: bytes,
    packing: str,
    chunk: int,
) -> None:
    packed = PACKINGS[packing](content)
    told = headers | {"Content-Encoding": packing}
    if chunk:
        told, body = told | {"Transfer-Encoding": "chunked"}, _in_chunks(packed, chunk)
    else:
        told, body = told | {"Content-Length": str(len(packed))}, packed
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())

    answer = answered(client, plain_server, "POST", f"HTTP/1.1 {status} x\r\n{head}\r\n".encode("latin-1") + body)

    assert (answer.status, answer.content) == (status, content)
    assert {name: answer.headers.get(name) for name in headers} == headers


@given(content=st.binary(min_size=1, max_size=200), data=st.data())
def test_an_answer_that_ends_too_early_is_none(
    client: HTTPS, plain_server: HTTPSServer, content: bytes, data: Any
) -> None:
    sent = data.draw(st.integers(0, len(content) - 1))
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content[:sent])

    with pytest.raises(HTTPSError) as caught:
        answered(client, plain_server, "POST", raw)

    assert caught.value.code == "network.connection_lost"


def _in_chunks(content: bytes, size: int) -> bytes:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@given(st.binary(max_size=60) | json_values().map(json.dumps).map(str.encode) | st.just(b"[" * 2000))
def test_any_content_is_json_or_is_said_to_be_none(content: bytes) -> None:
    answer = Answer(200, {}, content)

    value = outcome_of(answer.json, ValueError)

    if isinstance(value, ValueError):
        assert str(value) == "the answer with status 200 is not JSON"
        return
    assert json.dumps(value) == json.dumps(json.loads(content))
