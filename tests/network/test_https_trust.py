"""Whom the portal believes to be the server, and which exceptions of TLS it names."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from portal.network.https import HTTPS, HTTPSError, HTTPSSettings
from tests.outside.certificates import Authority, ServerCertificate, self_signed
from tests.outside.https_server import HTTPSServer
from tests.outside.smtp_server import SMTPServer


def error_at(server: HTTPSServer, https: HTTPS) -> HTTPSError:
    with pytest.raises(HTTPSError) as caught:
        https.request("POST", server.url("/"), headers={"Authorization": "Bearer abc"}, content=b"{}")
    assert not caught.value.was_handed_over
    assert server.requests == []
    return caught.value


def test_the_operators_bundle_is_trusted(https: HTTPS, server: HTTPSServer) -> None:
    server.on("/", json={"ok": True})

    assert https.request("GET", server.url("/")).json() == {"ok": True}


def test_without_the_bundle_its_servers_are_unknown(server: HTTPSServer) -> None:
    with HTTPS(HTTPSSettings()) as https:
        error = error_at(server, https)

    assert error.code == "tls.unknown_ca"
    assert error.seen == "the certificate of 127.0.0.1 was refused: unable to get local issuer certificate"
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


def test_the_systems_cas_are_trusted_besides_the_bundle(
    server: HTTPSServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority()
    for name, pem in (("system.pem", authority.pem), ("bundle.pem", other.pem)):
        (tmp_path / name).write_text(pem)
    # Where OpenSSL finds the system's CAs.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))

    with (
        HTTPSServer(other.issue("127.0.0.1")) as other_server,
        HTTPS(HTTPSSettings(ca_bundle=tmp_path / "bundle.pem")) as https,
    ):
        statuses = [https.request("GET", each.url("/")).status for each in (server, other_server)]

    assert statuses == [404, 404]


@pytest.mark.parametrize("make", [self_signed, Authority().issue])
def test_a_servers_own_certificate_in_the_bundle_is_trusted_as_it_is(
    tmp_path: Path, make: Callable[[str], ServerCertificate]
) -> None:
    own = make("127.0.0.1")
    (tmp_path / "own.pem").write_text(own.pem)

    with HTTPSServer(own) as server, HTTPS(HTTPSSettings(ca_bundle=tmp_path / "own.pem")) as https:
        status = https.request("GET", server.url("/")).status

    assert status == 404


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda authority: authority.issue("mail.elsewhere.test"), "tls.wrong_name"),
        (
            lambda authority: authority.issue(
                "127.0.0.1", valid_from=timedelta(days=-30), valid_until=timedelta(days=-1)
            ),
            "tls.expired_certificate",
        ),
        (
            lambda authority: authority.issue("127.0.0.1", valid_from=timedelta(days=1)),
            "tls.not_yet_valid_certificate",
        ),
        (lambda authority: Authority().issue("127.0.0.1"), "tls.unknown_ca"),
        (lambda authority: self_signed("127.0.0.1"), "tls.self_signed_certificate"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused_by_name(
    https: HTTPS, authority: Authority, make: Callable[[Authority], ServerCertificate], code: str
) -> None:
    with HTTPSServer(make(authority)) as server:
        error = error_at(server, https)

    assert error.code == code


def test_versions_before_tls_1_2_are_refused(https: HTTPS, certificate: ServerCertificate) -> None:
    context = certificate.context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with HTTPSServer(context=context) as server:
        error = error_at(server, https)

    assert error.code == "tls.protocol_too_old"


def test_tls_1_2_is_spoken(https: HTTPS, certificate: ServerCertificate) -> None:
    context = certificate.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    with HTTPSServer(context=context) as server:
        statuses = [https.request("POST", server.url("/"), content=b"{}").status for _ in range(2)]

    assert (statuses, server.connections) == ([404, 404], 1)


def test_a_server_that_wants_a_certificate_of_the_client_is_named_as_that(
    https: HTTPS, certificate: ServerCertificate, ca_bundle: Path
) -> None:
    context = certificate.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_bundle)

    with HTTPSServer(context=context) as server, pytest.raises(HTTPSError) as caught:
        https.request("GET", server.url("/"))

    assert caught.value.code == "tls.client_certificate_needed"


def test_a_port_without_tls_is_a_failed_handshake(https: HTTPS) -> None:
    with SMTPServer() as mail, pytest.raises(HTTPSError) as caught:
        https.request("GET", f"https://127.0.0.1:{mail.port}/")

    assert (caught.value.code, caught.value.was_handed_over) == ("tls.handshake_failed", False)
    assert caught.value.seen.startswith("the TLS handshake with 127.0.0.1 failed: ")


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_bundle_that_cannot_be_read_is_refused_at_once(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ValueError, match=r"ca\.pem holds no readable PEM certificate"):
        HTTPS(HTTPSSettings(ca_bundle=path))


NONSENSE = (
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"),
)
CALLS = """
    import sys
    from pathlib import Path
    from portal.network.https import HTTPS, HTTPSSettings

    with HTTPS(HTTPSSettings(ca_bundle=Path(sys.argv[1]))) as https:
        print(https.request("GET", sys.argv[2]).status)
        print(https.session().get(sys.argv[2]).status_code)
        print(https.msal_client().post(sys.argv[2], data={"a": "b"}).status_code)
"""


def test_the_environment_of_other_programs_does_not_matter(
    server: HTTPSServer, ca_bundle: Path, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("machine 127.0.0.1 login intruder password x")
    environment = dict.fromkeys(NONSENSE, str(nonsense)) | {
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:1",
        "NETRC": str(nonsense),
    }

    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CALLS), str(ca_bundle), server.url("/")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (run.stdout.split(), run.stderr) == (["404", "404", "404"], "")
    assert ["authorization" in request.headers for request in server.requests] == [False] * 3
