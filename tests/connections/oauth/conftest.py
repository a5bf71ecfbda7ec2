"""What the tests of the providers share: HTTPS that trusts one authority, and a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portal.network.https import HTTPS, HTTPSSettings
from tests.outside.certificates import Authority, ServerCertificate


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
def https(ca_file: Path) -> Iterator[HTTPS]:
    with HTTPS(HTTPSSettings(ca_bundle=ca_file)) as https:
        yield https


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
