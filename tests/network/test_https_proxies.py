"""HTTPS_PROXY and NO_PROXY, with a web proxy that opens tunnels."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from portal.network.https import HTTPS, HTTPSError, HTTPSSettings
from portal.network.policy import MailPolicy, parse_mail_ports
from portal.network.proxies import Proxy, goes_direct, parse_proxy
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.https_server import ConnectProxy, HTTPSServer

URL = "https://login.contoso.test/token"
PLACE = "login.contoso.test:443"


@pytest.fixture
def provider(server: HTTPSServer) -> HTTPSServer:
    server.on("/token", json={"access_token": "abc"})
    return server


@pytest.fixture
def proxy(provider: HTTPSServer) -> Iterator[ConnectProxy]:
    with ConnectProxy({PLACE: provider.address}) as proxy:
        yield proxy


def unknown(host: str, port: None, *, type: int) -> list[tuple[object, ...]]:
    """A resolver as networks behind a proxy have it: it knows the proxy alone."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def through(ca_bundle: Path, proxy: str, **others: object) -> HTTPS:
    return HTTPS(HTTPSSettings(ca_bundle=ca_bundle, proxy=proxy, **others), resolver=unknown)  # type: ignore[arg-type]


def error_of(call: Callable[[], object]) -> HTTPSError:
    with pytest.raises(HTTPSError) as caught:
        call()
    assert not caught.value.was_handed_over
    return caught.value


def test_a_call_goes_through_the_proxy_in_a_tunnel(ca_bundle: Path, provider: HTTPSServer, proxy: ConnectProxy) -> None:
    with through(ca_bundle, proxy.url) as https:
        answers = [https.post_form(URL, {"grant_type": "refresh_token"}) for _ in range(2)]
        session = https.session().post(URL, data={"a": "b"})

    assert [answer.json() for answer in answers] == [{"access_token": "abc"}] * 2
    assert session.json() == {"access_token": "abc"}
    assert (proxy.targets, proxy.authorizations) == ([PLACE], [""])
    assert provider.requests[0].headers["host"] == "login.contoso.test"


def test_the_proxys_password_goes_to_the_proxy_alone(ca_bundle: Path, provider: HTTPSServer) -> None:
    with (
        ConnectProxy({PLACE: provider.address}, account=("portal", "g:e@h/eim ü")) as proxy,
        through(ca_bundle, f"http://portal:g%3Ae%40h%2Feim%20%C3%BC@127.0.0.1:{proxy.port}") as https,
    ):
        answer = https.request("GET", URL)

    assert answer.json() == {"access_token": "abc"}
    assert proxy.authorizations == ["Basic cG9ydGFsOmc6ZUBoL2VpbSDDvA=="]
    assert "proxy-authorization" not in provider.requests[0].headers


@pytest.mark.parametrize("credentials", ["", "portal:wrong@"])
def test_a_proxy_that_wants_a_sign_in_is_named_as_that(
    ca_bundle: Path, provider: HTTPSServer, credentials: str
) -> None:
    with (
        ConnectProxy({PLACE: provider.address}, account=("portal", "geheim")) as proxy,
        through(ca_bundle, f"http://{credentials}127.0.0.1:{proxy.port}") as https,
    ):
        error = error_of(lambda: https.request("POST", URL, content=b"{}"))

    assert error.code == "network.proxy_sign_in_needed"
    assert error.seen.startswith(f"the web proxy 127.0.0.1:{proxy.port} answered 407")
    assert "wrong" not in str(error)
    assert provider.connections == 0


def test_a_proxy_that_knows_no_way_is_named_with_its_answer(ca_bundle: Path, proxy: ConnectProxy) -> None:
    with through(ca_bundle, proxy.url) as https:
        error = error_of(lambda: https.request("POST", "https://graph.contoso.test/", content=b"{}"))

    assert error.code == "network.unreachable"
    assert error.seen == (
        f"the web proxy 127.0.0.1:{proxy.port} answered 502 when it was asked for a way to graph.contoso.test:443"
    )


def test_a_proxy_that_is_not_there_is_named_itself(ca_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with through(ca_bundle, f"http://127.0.0.1:{port}") as https:
        error = error_of(lambda: https.request("POST", URL, content=b"{}"))

    assert error.code == "network.connection_refused"
    assert error.seen == f"the web proxy 127.0.0.1:{port} refused the connection: Connection refused"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "network.connection_lost"),
        (b"SSH-2.0-OpenSSH\r\n", "http.unreadable_answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "http.answer_too_large"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://portal.hotel.test/\r\n\r\n", "network.unreachable"),
    ],
)
def test_a_proxy_that_answers_something_else_is_given_up(ca_bundle: Path, raw: bytes, code: str) -> None:
    with ConnectProxy({}, raw=raw) as proxy, through(ca_bundle, proxy.url) as https:
        error = error_of(lambda: https.request("POST", URL, content=b"{}"))

    assert error.code == code


def test_a_proxy_that_says_nothing_is_given_up_in_time(ca_bundle: Path) -> None:
    with ConnectProxy({}, silent=True) as proxy, through(ca_bundle, proxy.url) as https:
        started = monotonic()
        error = error_of(lambda: https.request("POST", URL, content=b"{}", seconds=0.3))

    assert error.code == "network.too_slow"
    assert monotonic() - started < 1.5


def test_a_proxy_may_be_encrypted_itself(
    ca_bundle: Path, provider: HTTPSServer, certificate: ServerCertificate
) -> None:
    provider.on("/large", content=b"x" * 300_000)
    with (
        ConnectProxy({PLACE: provider.address}, certificate=certificate) as proxy,
        through(ca_bundle, proxy.url) as https,
    ):
        answers = [https.request("POST", URL, content=b"x" * 300_000) for _ in range(2)]
        large = https.request("GET", "https://login.contoso.test/large")

    assert [answer.json() for answer in answers] == [{"access_token": "abc"}] * 2
    assert len(large.content) == 300_000
    assert proxy.targets == [PLACE]


def test_the_time_holds_inside_an_encrypted_proxy_too(
    ca_bundle: Path, provider: HTTPSServer, certificate: ServerCertificate
) -> None:
    provider.on("/token", content=b"x" * 1000, trickle=0.02)
    with (
        ConnectProxy({PLACE: provider.address}, certificate=certificate) as proxy,
        through(ca_bundle, proxy.url) as https,
    ):
        started = monotonic()
        with pytest.raises(HTTPSError) as caught:
            https.request("POST", URL, content=b"{}", seconds=0.5)

    assert (caught.value.code, caught.value.was_handed_over) == ("network.too_slow", True)
    assert monotonic() - started < 1.5


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_proxy_cannot_stand_in_for_the_server(
    ca_bundle: Path, certificate: ServerCertificate, is_encrypted: bool
) -> None:
    with (
        HTTPSServer(Authority().issue("login.contoso.test")) as intruder,
        ConnectProxy({PLACE: intruder.address}, certificate=certificate if is_encrypted else None) as proxy,
        through(ca_bundle, proxy.url) as https,
    ):
        error = error_of(lambda: https.request("POST", URL, content=b"{}"))

    assert error.code == "tls.unknown_ca"
    assert intruder.requests == []


def test_a_proxy_with_a_certificate_of_nobody_is_told_nothing(ca_bundle: Path, provider: HTTPSServer) -> None:
    with (
        ConnectProxy({PLACE: provider.address}, certificate=Authority().issue("127.0.0.1")) as proxy,
        through(ca_bundle, f"https://portal:geheim@127.0.0.1:{proxy.port}") as https,
    ):
        error = error_of(lambda: https.request("POST", URL, content=b"{}"))

    assert error.code == "tls.unknown_ca"
    assert error.seen.startswith(f"the certificate of the web proxy 127.0.0.1:{proxy.port} was refused")
    assert (proxy.targets, proxy.authorizations) == ([], [])


def test_loopback_never_goes_through_the_proxy(ca_bundle: Path, provider: HTTPSServer, proxy: ConnectProxy) -> None:
    with HTTPS(HTTPSSettings(ca_bundle=ca_bundle, proxy=proxy.url)) as https, HTTPSServer() as plain:
        statuses = [
            https.request("GET", url).status
            for url in (provider.url("/token"), provider.url("/token", host="localhost"), plain.url("/"))
        ]

    assert (statuses, proxy.targets) == ([200, 200, 404], [])


def test_hosts_of_no_proxy_are_called_directly(ca_bundle: Path, provider: HTTPSServer, proxy: ConnectProxy) -> None:
    def resolver(host: str, port: None, *, type: int) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, type, 6, "", ("127.0.0.1", 0))]

    settings = HTTPSSettings(ca_bundle=ca_bundle, proxy=proxy.url, no_proxy="contoso.test")
    with HTTPS(settings, resolver=resolver) as https:
        answer = https.request("GET", provider.url("/token", host="login.contoso.test"))

    assert (answer.status, proxy.targets) == (200, [])


@pytest.mark.parametrize("url", ["https://169.254.169.254/", "https://metadata.google.internal/", "https://[fe80::1]/"])
def test_a_policy_closes_addresses_behind_the_proxy_too(ca_bundle: Path, proxy: ConnectProxy, url: str) -> None:
    policy = MailPolicy(allow=(), ports=parse_mail_ports("25"))

    with HTTPS(HTTPSSettings(ca_bundle=ca_bundle, proxy=proxy.url), policy=policy) as https:
        error = error_of(lambda: https.request("GET", url))

    assert (error.code, proxy.targets) == ("network.address_refused", [])


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "is_direct"),
    [
        ("login.contoso.test", 443, "", False),
        ("login.contoso.test", 443, "*", True),
        ("login.contoso.test", 443, "login.contoso.test", True),
        ("login.contoso.test", 443, "Contoso.Test", True),
        ("login.contoso.test", 443, ".contoso.test", True),
        ("login.contoso.test", 443, "*.contoso.test", True),
        ("contoso.test", 443, ".contoso.test", True),
        ("notcontoso.test", 443, "contoso.test", False),
        ("contoso.test.evil.test", 443, "contoso.test", False),
        ("login.contoso.test", 443, "a.test, contoso.test", True),
        ("login.contoso.test", 443, "a.test contoso.test", True),
        ("login.contoso.test", 443, "contoso.test:443", True),
        ("login.contoso.test", 8443, "contoso.test:443", False),
        ("xn--bcher-kva.test", 443, "bücher.test", True),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("10.1.2.3", 443, "10.1.2.9/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("10.1.2.3", 8443, "10.1.2.3:443", False),
        ("10.1.2.3", 443, "2.3", False),
        ("fd00::1", 443, "fd00::/8", True),
        ("fd00::1", 443, "[fd00::1]:443", True),
        ("fd00::1", 443, "[fd00::1]:8443", False),
        ("login.contoso.test", 443, ",, ;,.", False),
        ("127.0.0.1", 443, "", True),
        ("127.9.9.9", 443, "", True),
        ("::1", 443, "", True),
        ("localhost", 443, "", True),
        ("google.localhost", 443, "", True),
        ("localhost.contoso.test", 443, "", False),
    ],
)
def test_no_proxy_is_read_as_other_programs_read_it(host: str, port: int, no_proxy: str, is_direct: bool) -> None:
    assert goes_direct(host, port, no_proxy) is is_direct


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("", None),
        ("  ", None),
        ("http://proxy.contoso.test:3128", Proxy("proxy.contoso.test", 3128, False)),
        ("http://proxy.contoso.test:3128/", Proxy("proxy.contoso.test", 3128, False)),
        ("proxy.contoso.test:3128", Proxy("proxy.contoso.test", 3128, False)),
        ("http://proxy", Proxy("proxy", 80, False)),
        ("HTTPS://Proxy", Proxy("proxy", 443, True)),
        ("http://[fd00::1]:3128", Proxy("fd00::1", 3128, False)),
        ("http://portal:geheim@proxy", Proxy("proxy", 80, False, "Basic cG9ydGFsOmdlaGVpbQ==")),
        ("portal:ge@heim@proxy:3128", Proxy("proxy", 3128, False, "Basic cG9ydGFsOmdlQGhlaW0=")),
        ("http://portal@proxy", Proxy("proxy", 80, False, "Basic cG9ydGFsOg==")),
    ],
)
def test_a_proxys_address_is_read(text: str, proxy: Proxy | None) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "socks5://portal:geheim@proxy:1080",
        "http://",
        "http://portal:geheim@",
        "http://portal:geh#eim@proxy:3128",
        "http://portal:geh/eim@proxy:3128",
        "http://proxy:99999",
        "http://proxy:geheim",
        "http://proxy:0",
        "http://proxy:3128/geheim",
        "http://proxy\r\nX-Evil: geheim",
        "http://pro xy",
        "http://-proxy-",
        "http://[::1",
    ],
)
def test_what_is_no_proxys_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        HTTPS(HTTPSSettings(proxy=text))

    assert str(caught.value) == "it is not a web proxy's address such as http://proxy.contoso.test:3128"
    assert caught.value.__cause__ is None


def test_a_proxys_password_is_in_no_text_of_the_settings() -> None:
    text = "http://portal:geheim@proxy:3128"

    shown = repr(HTTPSSettings(proxy=text)) + repr(parse_proxy(text)) + str(parse_proxy(text))

    assert "geheim" not in shown
    assert "cG9ydGFsOmdlaGVpbQ==" not in shown
