"""What the tests of the stand-ins share: one authority, and an application that is registered at Google's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.google import GoogleServer
from tests.outside.google_application import CALLBACK, CLIENT_ID, CLIENT_SECRET, PORTAL, Application


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> ServerCertificate:
    return authority.issue("127.0.0.1", "localhost")


@pytest.fixture(scope="session")
def ca_file(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_text(authority.pem)
    return path


@pytest.fixture
def google(certificate: ServerCertificate) -> Iterator[GoogleServer]:
    """A stand-in that knows the application and three accounts, one of them at another organisation."""
    with GoogleServer(certificate=certificate) as google:
        google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK])
        for address in (PORTAL, "ada@contoso.test", "bob@fabrikam.test"):
            google.add_account(address)
        yield google


@pytest.fixture
def application(google: GoogleServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    # Google answers with scopes by other names than it was asked for, which oauthlib takes for an attack.
    monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")
    return Application(google, ca_file)
