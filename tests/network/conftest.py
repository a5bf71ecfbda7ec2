"""A server that the portal's HTTPS trusts, and one HTTPS for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.network.https import HTTPS, HTTPSSettings
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.https_server import HTTPSServer


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> ServerCertificate:
    return authority.issue("127.0.0.1", "::1", "localhost", "login.contoso.test")


@pytest.fixture
def ca_bundle(authority: Authority, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(authority.pem)
    return path


@pytest.fixture
def server(certificate: ServerCertificate) -> Iterator[HTTPSServer]:
    with HTTPSServer(certificate) as server:
        yield server


@pytest.fixture
def https(ca_bundle: Path) -> Iterator[HTTPS]:
    with HTTPS(HTTPSSettings(ca_bundle=ca_bundle)) as https:
        yield https
