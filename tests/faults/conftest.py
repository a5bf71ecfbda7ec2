"""An installation on each kind of database, with processes to kill, and a server that stops where it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.supervisor.test_portal_run import free_port

# What does not hang on the database is shown on one, so that all is shown in a minute.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """The installation has an address of its own, for its web server."""
    bind = f"127.0.0.1:{free_port()}"
    return environ | {"PORTAL_BIND": bind, "PORTAL_PUBLIC_URL": f"http://{bind}", "PORTAL_WEB_THREADS": "4"}


@pytest.fixture
def installation(environ: dict[str, str], tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(environ, tmp_path)
    yield installation
    installation.close()
    print(installation.said())  # shown for a test that failed


@pytest.fixture
def server(installation: Installation) -> Iterator[HoldingServer]:
    """The installation's default connection leads here."""
    with HoldingServer() as server:
        installation.connect(server)
        yield server
