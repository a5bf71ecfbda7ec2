"""Calls to HTTPS servers: what is sent, what is read, and what is known when it breaks off."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest

from portal.network.https import HTTPS, Answer, HTTPSError, HTTPSSettings, Stopped
from portal.network.policy import MailPolicy, parse_mail_allow, parse_mail_ports
from tests.outside.certificates import ServerCertificate
from tests.outside.https_server import HTTPSServer, Reply

BODY = b'{"subject": "Hello"}'
SECRET = "geheim-9f2c"


def error_of(call: Callable[[], object]) -> HTTPSError:
    with pytest.raises(HTTPSError) as caught:
        call()
    return caught.value


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# Requests and answers


def test_a_request_arrives_as_it_was_made_and_the_answer_as_it_was_sent(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/v1.0/sendMail", status=202, content=b"taken", headers={"Retry-After": "7"})

    answer = https.request(
        "POST",
        server.url("/v1.0/sendMail"),
        headers={"Authorization": "Bearer abc", "Content-Type": "application/json"},
        content=BODY,
        params={"save": "yes & no"},
    )

    [request] = server.requests
    assert (answer.status, answer.headers["retry-after"], answer.content) == (202, "7", b"taken")
    assert (request.method, request.path, request.query, request.content) == (
        "POST",
        "/v1.0/sendMail",
        {"save": "yes & no"},
        BODY,
    )
    assert dict(request.headers) == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "Mail Portal",
        "accept-encoding": "identity",
        "authorization": "Bearer abc",
        "content-type": "application/json",
        "content-length": "20",
    }


def test_a_form_is_sent_as_forms_are(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/token", json={"access_token": "abc", "expires_in": 3599})

    answer = https.post_form(server.url("/token"), {"client_secret": "a b+ä&=", "grant_type": "refresh_token"})

    [request] = server.requests
    assert answer.json() == {"access_token": "abc", "expires_in": 3599}
    assert request.content == b"client_secret=a+b%2B%C3%A4%26%3D&grant_type=refresh_token"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


def test_a_post_without_content_says_that_it_has_none_and_a_get_says_nothing(https: HTTPS, server: HTTPSServer) -> None:
    https.request("POST", server.url("/"))
    https.request("GET", server.url("/"))

    assert [request.headers.get("content-length") for request in server.requests] == ["0", None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503])
def test_every_status_but_a_redirection_is_an_answer(https: HTTPS, server: HTTPSServer, status: int) -> None:
    server.on("/", status=status, json={"error": "x"})

    answer = https.request("POST", server.url("/"), content=BODY)

    assert (answer.status, answer.json()) == (status, {"error": "x"})


def test_answers_without_content_are_answers(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/gone", status=204)
    server.on("/there", content=b"not sent for a HEAD")

    gone = https.request("DELETE", server.url("/gone"))
    there = https.request("HEAD", server.url("/there"))

    assert (gone.status, gone.content) == (204, b"")
    assert (there.status, there.content) == (200, b"")
    assert server.connections == 1


def test_an_answer_in_chunks_is_put_together(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", content=b"0123456789" * 20_000, chunked=True)

    answers = [https.request("GET", server.url("/")) for _ in range(2)]

    assert [answer.content for answer in answers] == [b"0123456789" * 20_000] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(BODY, mtime=0)), ("deflate", zlib.compress(BODY)), ("GZIP", gzip.compress(BODY, mtime=0))],
)
def test_an_answer_that_is_packed_unasked_is_unpacked(
    https: HTTPS, server: HTTPSServer, encoding: str, packed: bytes
) -> None:
    server.on("/", content=packed, headers={"Content-Encoding": encoding})

    answer = https.request("GET", server.url("/"))

    assert (answer.content, "content-encoding" in answer.headers) == (BODY, False)


def test_the_same_header_sent_twice_is_one_list(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", raw=b"HTTP/1.1 200 OK\r\nX-Note: a\r\nx-note: b\r\n c\r\nContent-Length: 0\r\n\r\n")

    answer = https.request("GET", server.url("/"))

    assert answer.headers["X-Note"] == "a, b c"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Sign in to the network</html>",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 200_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\xfa",
    ],
)
def test_content_that_is_no_json_says_so_without_repeating_it(content: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        Answer(200, {}, content).json()

    assert str(caught.value) == "the answer with status 200 is not JSON"
    assert caught.value.__suppress_context__


def test_an_answer_shows_nothing_of_its_content_in_a_log() -> None:
    answer = Answer(200, {"Set-Cookie": SECRET}, SECRET.encode())

    assert SECRET not in repr(answer)


# What is not sent at all


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://login.contoso.test/token", "login.contoso.test is not this machine itself"),
        ("http://10.0.0.1/token", "10.0.0.1 is not this machine itself"),
        ("http://127.0.0.1.contoso.test/", "127.0.0.1.contoso.test is not this machine itself"),
        ("http://127.1/", "the URL's host is an address in an unusual spelling"),
        ("https://2130706433/", "the URL's host is an address in an unusual spelling"),
        ("ftp://login.contoso.test/", "the URL does not begin with https:// and a host"),
        ("file:///etc/passwd", "the URL does not begin with https:// and a host"),
        ("login.contoso.test/token", "the URL does not begin with https:// and a host"),
        ("https:///token", "the URL does not begin with https:// and a host"),
        ("https://login.contoso.test/a\r\nX-Evil: yes", "a space, a backslash or a control character"),
        ("https://login.contoso.test/a b", "a space, a backslash or a control character"),
        ("https://login.contoso.test\\@127.0.0.1/", "a space, a backslash or a control character"),
        ("https://login.contoso.test@127.0.0.1/", "the URL holds a user name"),
        ("https://login.contoso.test:0/", "the URL's port is 0"),
        ("https://-login-/", "the URL's host is neither a host name nor an IP address"),
    ],
)
def test_a_url_that_the_portal_does_not_call_is_refused(https: HTTPS, url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        https.request("GET", url)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}\r\nX-Evil: yes"},
        {"Authorization": f"Bearer {SECRET}\n"},
        {"Authorization": f" Bearer {SECRET}"},
        {"Authorization": f"Bearer {SECRET}\x00"},
        {"Authorization": f"Bearer {SECRET}€"},
    ],
)
def test_a_header_with_a_line_break_is_refused_without_repeating_it(
    https: HTTPS, server: HTTPSServer, headers: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="the header Authorization holds a line break") as caught:
        https.request("GET", server.url("/"), headers=headers)

    assert SECRET not in str(caught.value)
    assert server.connections == 0


def test_a_method_or_header_name_that_is_none_is_refused(https: HTTPS, server: HTTPSServer) -> None:
    with pytest.raises(ValueError, match="the method holds"):
        https.request("GET /evil HTTP/1.1\r\nX:", server.url("/"))
    with pytest.raises(ValueError, match="a header's name holds"):
        https.request("GET", server.url("/"), headers={"X-Note: a\r\nX-Evil": "yes"})

    assert server.connections == 0


def test_the_framing_of_a_request_is_not_the_callers(https: HTTPS, server: HTTPSServer) -> None:
    https.request(
        "POST",
        server.url("/"),
        headers={"Content-Length": "3", "Transfer-Encoding": "chunked", "Host": "evil.test", "Connection": "close"},
        content=BODY,
    )

    [request] = server.requests
    assert (request.content, request.headers["host"]) == (BODY, f"127.0.0.1:{server.port}")
    assert "transfer-encoding" not in request.headers
    assert "connection" not in request.headers


def test_plain_http_reaches_this_machine_itself(https: HTTPS) -> None:
    with HTTPSServer() as stand_in:
        stand_in.on("/token", json={"ok": True})

        answers = [https.request("GET", stand_in.url("/token", host=host)) for host in ("127.0.0.1", "localhost")]

    assert [answer.json() for answer in answers] == [{"ok": True}, {"ok": True}]


def test_plain_http_does_not_leave_this_machine_whatever_the_name_leads_to() -> None:
    def elsewhere(host: str, port: None, *, type: int) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, type, 6, "", ("10.1.2.3", 0))]

    with HTTPS(HTTPSSettings(), resolver=elsewhere) as https:
        error = error_of(lambda: https.request("GET", "http://localhost/"))

    assert error.code == "network.address_refused"


# Redirections


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_refused_and_only_its_host_is_named(https: HTTPS, server: HTTPSServer, status: int) -> None:
    server.on("/", status=status, headers={"Location": f"https://u:p@169.254.169.254/latest?{SECRET}"})

    error = error_of(lambda: https.request("POST", server.url("/"), content=BODY))

    assert (error.code, error.was_handed_over) == ("http.redirected", True)
    assert error.seen == f"127.0.0.1 answered {status}, a redirection to 169.254.169.254"
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["/elsewhere", "https://[::1", "https://evil\x1b[2J.test/", None])
def test_a_redirection_to_no_host_that_can_be_named_is_refused_all_the_same(
    https: HTTPS, server: HTTPSServer, location: str | None
) -> None:
    server.on("/", status=302, headers={"Location": location} if location else {})

    error = error_of(lambda: https.request("GET", server.url("/")))

    assert error.seen == "127.0.0.1 answered 302, a redirection to another address"


# Time


def test_the_time_is_that_of_the_whole_call_however_the_server_trickles(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", content=b"x" * 1000, trickle=0.05)
    started = monotonic()

    error = error_of(lambda: https.request("POST", server.url("/"), content=BODY, seconds=0.5))

    assert (error.code, error.was_handed_over) == ("network.too_slow", True)
    assert isinstance(error.__cause__, TimeoutError)
    assert 0.4 < monotonic() - started < 1.5


def test_headers_that_trickle_are_cut_too(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", headers={"X-Long": "x" * 5000}, trickle=0.02)
    started = monotonic()

    error = error_of(lambda: https.request("GET", server.url("/"), seconds=0.5))

    assert error.code == "network.too_slow"
    assert monotonic() - started < 1.5


def test_a_server_that_takes_its_time_within_the_time_is_waited_for(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", json={"ok": True}, delay=0.4)

    answer = https.request("POST", server.url("/"), content=BODY, seconds=5)

    assert answer.json() == {"ok": True}


def test_a_server_that_never_reads_is_given_up(https: HTTPS, certificate: ServerCertificate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        started = monotonic()

        error = error_of(lambda: https.request("POST", f"https://127.0.0.1:{port}/", content=BODY, seconds=0.3))

    assert (error.code, error.was_handed_over) == ("network.too_slow", False)
    assert "had not completed the TLS handshake" in error.seen
    assert monotonic() - started < 1.5


def test_a_body_that_the_server_does_not_take_is_given_up_in_time(https: HTTPS) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        error = error_of(
            lambda: https.request("POST", f"http://127.0.0.1:{port}/", content=b"x" * 30_000_000, seconds=0.4)
        )

    assert (error.code, error.was_handed_over) == ("network.too_slow", True)


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_a_kept_connection_has_the_time_of_the_new_call(
    https: HTTPS, certificate: ServerCertificate, is_encrypted: bool
) -> None:
    with HTTPSServer(certificate if is_encrypted else None) as server:
        server.on("/stalls", stall=True)
        https.request("GET", server.url("/"), seconds=30)
        started = monotonic()

        error = error_of(lambda: https.request("POST", server.url("/stalls"), content=b"x" * 30_000_000, seconds=0.4))

    assert (error.code, error.was_handed_over, server.connections) == ("network.too_slow", True, 1)
    assert monotonic() - started < 2.5


def test_plain_http_has_the_same_deadline(https: HTTPS) -> None:
    with HTTPSServer() as stand_in:
        stand_in.on("/", content=b"x" * 1000, trickle=0.02)
        started = monotonic()

        error = error_of(lambda: https.request("GET", stand_in.url("/"), seconds=0.4))

    assert error.code == "network.too_slow"
    assert monotonic() - started < 1.5


def test_a_resolver_that_hangs_is_given_up_in_time() -> None:
    def hangs(host: str, port: None, *, type: int) -> list[tuple[object, ...]]:
        sleep(1.5)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with HTTPS(HTTPSSettings(), resolver=hangs) as https:
        started = monotonic()
        error = error_of(lambda: https.request("GET", "https://login.contoso.test/", seconds=0.3))

    assert (error.code, error.was_handed_over) == ("network.resolve_failed", False)
    assert monotonic() - started < 1.2


# Size


def test_an_answer_at_the_limit_is_read_and_one_above_it_is_not(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", content=b"x" * 1000)

    answer = https.request("GET", server.url("/"), most_octets=1000)
    error = error_of(lambda: https.request("GET", server.url("/"), most_octets=999))

    assert len(answer.content) == 1000
    assert (error.code, error.was_handed_over) == ("http.answer_too_large", True)
    assert error.seen == "127.0.0.1 sent an answer of more than 999 bytes"


def test_an_endless_answer_is_cut_at_the_limit(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", flood=b"x" * 65536)

    error = error_of(lambda: https.request("GET", server.url("/"), most_octets=200_000))

    server.wait_until_closed()
    assert error.code == "http.answer_too_large"
    assert server.bytes_sent < 20_000_000


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + b"x" * 500_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n" + b"x" * 500_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + b"x" * 500_000,
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_whose_size_lies_is_cut_all_the_same(https: HTTPS, server: HTTPSServer, raw: bytes) -> None:
    server.on("/", raw=raw)

    error = error_of(lambda: https.request("GET", server.url("/"), most_octets=100_000))

    assert error.code == "http.answer_too_large"


def test_a_small_answer_that_unpacks_to_a_large_one_is_cut_before_it_is_large(
    https: HTTPS, server: HTTPSServer
) -> None:
    server.on("/", content=gzip.compress(b"\0" * 50_000_000, mtime=0), headers={"Content-Encoding": "gzip"})
    tracemalloc.start()

    error = error_of(lambda: https.request("GET", server.url("/"), most_octets=100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert error.code == "http.answer_too_large"
    assert peak < 5_000_000


# Losses


@pytest.mark.parametrize("leave", ["content", "request", "answer"])
def test_a_loss_after_the_content_began_is_in_doubt(https: HTTPS, server: HTTPSServer, leave: str) -> None:
    server.on("/", content=b"taken", leave=leave)

    error = error_of(lambda: https.request("POST", server.url("/"), content=b"x" * 3_000_000))

    assert (error.code, error.was_handed_over) == ("network.connection_lost", True)


def test_an_answer_in_chunks_that_breaks_off_is_lost(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntaken\r\n")

    error = error_of(lambda: https.request("POST", server.url("/"), content=BODY))

    assert (error.code, error.was_handed_over) == ("network.connection_lost", True)


def test_a_server_that_leaves_before_the_content_was_handed_nothing(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", leave="head")

    def slowly() -> bool:
        server.wait_for_requests(1)
        server.wait_until_closed()
        return True

    error = error_of(lambda: https.request("POST", server.url("/"), content=BODY, may_proceed=slowly))

    assert (error.code, error.was_handed_over) == ("network.connection_lost", False)
    assert [request.content for request in server.requests] == [b""]


def test_what_a_server_answers_to_the_headers_alone_is_the_answer(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", status=401, json={"error": "invalid_token"}, early=True)

    def slowly() -> bool:
        server.wait_for_requests(1)
        server.wait_until_closed()
        return True

    answer = https.request("POST", server.url("/"), content=BODY, may_proceed=slowly)

    assert (answer.status, answer.json()) == (401, {"error": "invalid_token"})


def test_a_refusal_in_the_middle_of_the_content_is_the_answer(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", status=413, json={"error": "too large"}, early=True)
    server.on("/next", status=202)

    answer = https.request("POST", server.url("/"), content=b"x" * 20_000_000)
    following = https.request("POST", server.url("/next"), content=BODY)

    assert (answer.status, answer.json(), following.status) == (413, {"error": "too large"}, 202)


def test_a_yes_to_headers_without_their_content_is_no_yes(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", status=202, early=True)

    def slowly() -> bool:
        server.wait_for_requests(1)
        server.wait_until_closed()
        return True

    error = error_of(lambda: https.request("POST", server.url("/"), content=BODY, may_proceed=slowly))

    assert (error.code, error.was_handed_over) == ("network.connection_lost", False)


def test_a_request_without_content_is_in_doubt_once_it_was_sent(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", leave="request")

    error = error_of(lambda: https.request("GET", server.url("/")))

    assert (error.code, error.was_handed_over) == ("network.connection_lost", True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"220 mail.contoso.test ESMTP ready\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(200)) + b"\r\n",
    ],
)
def test_what_is_no_http_answer_is_named_as_that(https: HTTPS, server: HTTPSServer, raw: bytes) -> None:
    server.on("/", raw=raw)

    error = error_of(lambda: https.request("POST", server.url("/"), content=BODY))

    assert (error.code, error.was_handed_over) == ("http.unreadable_answer", True)
    assert error.seen == "127.0.0.1 sent something that is not an HTTP answer"


def test_a_refused_connection_names_its_host(https: HTTPS) -> None:
    port = unused_port()

    error = error_of(lambda: https.request("POST", f"https://127.0.0.1:{port}/", content=BODY))

    assert (error.code, error.was_handed_over) == ("network.connection_refused", False)
    assert error.seen == "127.0.0.1 refused the connection: Connection refused"
    assert isinstance(error.__cause__, ConnectionRefusedError)


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 whose queue is full, so that the system drops what comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for client in waiting:
            client.close()


def test_silence_instead_of_a_connection_is_a_timeout(https: HTTPS, black_hole: int) -> None:
    error = error_of(lambda: https.request("POST", f"https://127.0.0.1:{black_hole}/", content=BODY, seconds=0.3))

    assert (error.code, error.was_handed_over) == ("network.connect_timeout", False)
    assert error.seen == "127.0.0.1 did not answer within 0.3 s"


def resolving(*addresses: str) -> Callable[..., list[tuple[object, ...]]]:
    def resolver(host: str, port: None, *, type: int) -> list[tuple[object, ...]]:
        if host != "login.contoso.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in addresses]

    return resolver


def test_the_next_address_of_a_name_is_tried(server: HTTPSServer, https: HTTPS, ca_bundle: object) -> None:
    server.on("/", json={"ok": True})
    with HTTPS(HTTPSSettings(ca_bundle=ca_bundle), resolver=resolving("127.0.0.2", "127.0.0.1")) as named:  # type: ignore[arg-type]
        answer = named.request("GET", server.url("/", host="login.contoso.test"))

    assert answer.json() == {"ok": True}
    assert server.requests[0].headers["host"] == f"login.contoso.test:{server.port}"


def test_a_name_that_does_not_exist_is_named() -> None:
    with HTTPS(HTTPSSettings(), resolver=resolving()) as https:
        error = error_of(lambda: https.request("GET", "https://logn.contoso.test/"))

    assert (error.code, error.was_handed_over) == ("network.name_not_found", False)
    assert error.seen.startswith("The name logn.contoso.test is unknown to the DNS server")


@pytest.mark.parametrize(
    "url", ["https://169.254.169.254/", "https://[fd00:ec2::254]/", "https://metadata.google.internal/"]
)
def test_a_policy_closes_addresses(url: str) -> None:
    policy = MailPolicy(allow=(), ports=parse_mail_ports("25"))

    with HTTPS(HTTPSSettings(), policy=policy) as https:
        error = error_of(lambda: https.request("GET", url))

    assert (error.code, error.was_handed_over) == ("network.address_refused", False)


def test_a_policys_ports_for_mail_do_not_close_those_for_https(server: HTTPSServer, ca_bundle: object) -> None:
    policy = MailPolicy(allow=parse_mail_allow("127.0.0.0/8"), ports=parse_mail_ports("25"))

    with HTTPS(HTTPSSettings(ca_bundle=ca_bundle), policy=policy) as https:  # type: ignore[arg-type]
        answer = https.request("GET", server.url("/"))

    assert answer.status == 404


# The point of no return


def test_the_question_comes_once_when_headers_are_sent_and_no_content_yet(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", status=413, early=True)
    server.on("/", status=202, times=1)
    asked: list[int] = []

    def may_proceed() -> bool:
        asked.append(len(server.requests))
        return True

    answer = https.request("POST", server.url("/"), content=BODY, may_proceed=may_proceed)

    assert (answer.status, asked) == (202, [0])
    assert [request.content for request in server.requests] == [BODY]


def test_a_no_hands_over_nothing_of_the_content(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", leave="content")

    with pytest.raises(Stopped):
        https.request("POST", server.url("/"), content=BODY, may_proceed=lambda: False)

    server.wait_until_closed()
    assert server.requests == []


def test_a_no_to_a_request_without_content_sends_nothing_at_all(https: HTTPS, server: HTTPSServer) -> None:
    with pytest.raises(Stopped):
        https.request("GET", server.url("/"), may_proceed=lambda: False)

    server.wait_until_closed()
    assert (server.connections, server.requests) == (1, [])


def test_an_error_of_the_question_itself_comes_through_and_nothing_is_sent(https: HTTPS, server: HTTPSServer) -> None:
    def broken() -> bool:
        raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError, match="the database is gone"):
        https.request("POST", server.url("/"), content=BODY, may_proceed=broken)

    server.wait_until_closed()
    assert server.requests == []


# Connections


def test_a_connection_is_used_again(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", json={"ok": True})

    for _ in range(3):
        https.request("POST", server.url("/"), content=BODY)
    https.session().get(server.url("/"))

    assert (len(server.requests), server.connections) == (4, 1)


@pytest.mark.parametrize("how", [{"close": True}, {"raw": b"HTTP/1.0 200 OK\r\n\r\nwithout a length"}])
def test_a_connection_that_the_server_closes_is_not(https: HTTPS, server: HTTPSServer, how: dict[str, object]) -> None:
    server.on("/", **how)  # type: ignore[arg-type]

    answers = [https.request("GET", server.url("/")) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert server.connections == 2


def test_a_connection_that_ended_while_it_waited_costs_nothing(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", status=202)
    https.request("POST", server.url("/"), content=BODY)
    server.hang_up()

    answer = https.request("POST", server.url("/"), content=BODY)

    assert (answer.status, server.connections) == (202, 2)
    assert [request.content for request in server.requests] == [BODY, BODY]


def test_a_connection_that_ends_at_its_next_headers_is_replaced_before_anything_is_asked(
    https: HTTPS, server: HTTPSServer
) -> None:
    server.on("/", status=202)
    asked: list[int] = []
    https.request("POST", server.url("/"), content=BODY)
    server.on("/", leave="line", times=1)

    def may_proceed() -> bool:
        asked.append(server.connections)
        return True

    answer = https.request(
        "POST", server.url("/"), headers={"X-Long": "x" * 20_000_000}, content=BODY, may_proceed=may_proceed
    )

    assert (answer.status, asked) == (202, [2])
    assert [request.content for request in server.requests] == [BODY, BODY]


def test_a_new_connection_that_ends_at_its_headers_is_not_replaced(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", leave="line")

    error = error_of(lambda: https.request("POST", server.url("/"), headers={"X-Long": "x" * 20_000_000}, content=BODY))

    assert (error.code, error.was_handed_over, server.connections) == ("network.connection_lost", False, 1)


def test_a_connection_that_ends_while_the_question_is_asked_was_handed_nothing(
    https: HTTPS, server: HTTPSServer
) -> None:
    server.on("/", status=202)
    https.request("POST", server.url("/"), content=BODY)
    asked: list[int] = []

    def may_proceed() -> bool:
        asked.append(server.connections)
        if len(asked) == 1:
            server.hang_up()
        return True

    error = error_of(lambda: https.request("POST", server.url("/"), content=BODY, may_proceed=may_proceed))

    assert (error.code, error.was_handed_over, asked) == ("network.connection_lost", False, [1])
    assert len(server.requests) == 1


def test_an_answer_that_came_unasked_is_not_taken_for_the_next_request(https: HTTPS, server: HTTPSServer) -> None:
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    server.on("/first", answer=lambda request: Reply(200, b"1"))
    server.on("/next", json={"ok": True})
    server.on("/first", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1" + late, times=1)
    https.request("GET", server.url("/first"))
    server.wait_until_closed()

    answer = https.request("GET", server.url("/next"))

    assert answer.json() == {"ok": True}


def test_many_threads_share_one_https(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/echo", answer=lambda request: Reply(200, request.content), delay=0.01)

    def call(number: int) -> bytes:
        return https.request("POST", server.url("/echo"), content=str(number).encode()).content

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(call, range(80)))

    assert answers == [str(number).encode() for number in range(80)]
    assert server.connections <= 8


def test_closing_ends_the_connections_that_wait(https: HTTPS, server: HTTPSServer) -> None:
    https.request("GET", server.url("/"))

    https.close()

    server.wait_until_closed()


def test_a_connection_that_comes_back_after_the_close_is_ended_too(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", answer=lambda request: https.close() or Reply(202))  # type: ignore[func-returns-value]

    answer = https.request("POST", server.url("/"), content=BODY)

    server.wait_until_closed()
    assert answer.status == 202


def test_cookies_are_neither_kept_nor_sent(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", headers={"Set-Cookie": "a=b"})
    session = https.session()

    for _ in range(2):
        https.request("GET", server.url("/"))
        session.get(server.url("/"))

    assert ["cookie" in request.headers for request in server.requests] == [False] * 4
