"""What every test shares: an application on a real database, people who sign in, and a closed network."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import Engine

from portal import create_app
from portal.config import load_config
from portal.extensions import db

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
PASSWORD = "correct horse battery staple 9"
_LOOPBACK = {"127.0.0.1", "::1", "localhost", "0.0.0.0"}


@pytest.fixture(autouse=True)
def closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets off loopback are refused, so that no test depends on the world outside."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith("127.") and address[0] not in _LOOPBACK:
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _postgresql_is_reachable() -> bool:
    try:
        psycopg.connect(POSTGRESQL, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


HAS_POSTGRESQL = _postgresql_is_reachable()


def missing(what: str) -> None:
    """Skip for want of a tool of the machine; with CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing on this machine")
    pytest.skip(f"{what} is missing on this machine")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'portal.sqlite3'}"
        return
    if not HAS_POSTGRESQL:
        missing("a PostgreSQL server")
    name = f"portal_test_{uuid.uuid4().hex}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    yield re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", POSTGRESQL).rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def environ(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment that the application is configured with; a test may add to it before asking for `app`."""
    return {
        "PORTAL_INSTANCE": str(tmp_path),
        "PORTAL_DATABASE_URL": database_url,
        "PORTAL_PUBLIC_URL": "http://localhost",
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8,::1/128",
        "PORTAL_MAIL_PORTS": "25,465,587,2525,10000-65535",
    }


@pytest.fixture
def app(environ: dict[str, str]) -> Iterator[Flask]:
    app = create_app(load_config(environ))
    app.testing = True
    with app.app_context():
        db.create_all()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def engine(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
