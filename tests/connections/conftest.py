"""A fresh portal with its built-in connection, an administrator's browser, and a mail server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask

from portal import connections
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.connections.consenting import Outside, both_providers
from tests.connections.making import wait_for_checks
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.smtp_server import SMTPServer


@pytest.fixture
def portal(app: Flask) -> Iterator[Flask]:
    """The application after its first upgrade; its checks have ended before its database goes."""
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    yield app
    wait_for_checks()


@pytest.fixture
def admin(portal: Flask) -> Browser:
    return Browser(portal)


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    """A submission server without TLS; `relay` signs in with `geheim`."""
    with SMTPServer(accounts={"relay": "geheim"}) as server:
        yield server


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
def outside(certificate: ServerCertificate, ca_file: Path) -> Iterator[Outside]:
    """Google and Microsoft on loopback; a test's `environ` takes `outside.environment`."""
    with both_providers(certificate, ca_file) as outside:
        yield outside
