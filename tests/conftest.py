"""What every test shares: an application on a real database, people who sign in, and a closed network."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings
from jinja2.bccache import Bucket, BytecodeCache
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy.engine import Engine
from werkzeug.routing import Rule

from portal import create_app
from portal.config import load_config
from portal.extensions import db
from portal.schema import upgrade
from tests import furnished
from tests.furnished import FurnishedPortal, Furnishing
from tests.outside.smtp_server import SMTPServer

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
PASSWORD = "correct horse battery staple 9"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# The deadline of one example finds what takes ever longer; hypothesis' own 200 ms would find a busy machine.
LONGEST_EXAMPLE = timedelta(seconds=5)
# Of `make fuzz`. With CI=true hypothesis tries the same examples each time, which would make every round the first.
settings.register_profile(
    "fuzz", max_examples=300, deadline=LONGEST_EXAMPLE, print_blob=True, derandomize=False, database=None
)
if settings.get_current_profile_name() == "default":  # with CI=true it is another, without a deadline
    settings.register_profile("default", deadline=LONGEST_EXAMPLE)
    settings.load_profile("default")

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests: Playwright allows one event loop in a thread."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


def _migrate(url: str, instance: Path) -> None:
    app = create_app(load_config({"PORTAL_INSTANCE": str(instance), "PORTAL_DATABASE_URL": url}))
    upgrade(app)
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file that every migration was run on; tests get copies."""
    folder = tmp_path_factory.mktemp("migrated")
    path = folder / "portal.sqlite3"
    _migrate(f"sqlite:///{path}", folder)
    return path


@contextmanager
def postgresql_database() -> Iterator[str]:
    """An empty database of its own, as the portal's variable names it; gone afterwards."""
    if not HAS_POSTGRESQL:
        missing("a PostgreSQL server")
    name = f"portal_test_{uuid.uuid4().hex}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    yield re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", POSTGRESQL).rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def migrated_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL database that every migration was run on; it is emptied before each test that uses it."""
    with postgresql_database() as url:
        _migrate(url, tmp_path_factory.mktemp("migrated"))
        yield url


def _empty(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        deletions = [f'delete from "{table.name}"' for table in reversed(db.metadata.sorted_tables)]
        connection.execute(";".join(deletions))  # one question for all: each answer takes its time


def copied(source: Path, folder: Path) -> str:
    """A copy of an SQLite database, which may have changes in its log still."""
    path = folder / "portal.sqlite3"
    path.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(path)) as new:
        old.backup(new)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind, migrated and empty."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("migrated_postgresql")
        _empty(url)
        return url
    return copied(request.getfixturevalue("migrated_sqlite"), tmp_path)


def environment(database_url: str, instance: Path) -> dict[str, str]:
    """The variables that applications under test are configured with."""
    return {
        "PORTAL_INSTANCE": str(instance),
        "PORTAL_DATABASE_URL": database_url,
        "PORTAL_PUBLIC_URL": "http://localhost",
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8,::1/128",
        "PORTAL_MAIL_PORTS": "25,465,587,2525,10000-65535",
    }


@pytest.fixture
def environ(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment that the application is configured with; a test may add to it before asking for `app`."""
    return environment(database_url, tmp_path)


class _CompiledTemplates(BytecodeCache):
    """Templates are compiled once for all tests, not once for each application."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


_compiled_templates = _CompiledTemplates()


@pytest.fixture(scope="session", autouse=True)
def compiled_url_rules() -> Iterator[None]:
    """URL rules are compiled once for all tests, not once for each application: it takes most of opening one."""
    compile_builder = Rule._compile_builder
    builders: dict[tuple[object, ...], Callable[..., tuple[str, str]]] = {}

    def compiled(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (rule.rule, tuple(rule._trace), repr(rule.defaults), append_unknown)
        if key not in builders:
            builders[key] = compile_builder(rule, append_unknown)
        return builders[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compiled)
        yield


@contextmanager
def opened(environ: Mapping[str, str]) -> Iterator[Flask]:
    """The application on the database that `environ` names."""
    app = create_app(load_config(environ))
    app.testing = True
    app.jinja_env.bytecode_cache = _compiled_templates
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def app(environ: dict[str, str]) -> Iterator[Flask]:
    with opened(environ) as app:
        yield app


@pytest.fixture
def engine(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def relay_server() -> Iterator[SMTPServer]:
    """The submission server that furnished portals sign in to."""
    with SMTPServer(accounts={"relay": furnished.STORED}) as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, relay_server: SMTPServer
) -> Iterator[FurnishedPortal]:
    """A furnished portal on a database of each kind, for all tests of a module: they only look at it."""
    folder = tmp_path_factory.mktemp("shown")
    with ExitStack() as stack:
        if request.param == "postgresql":
            url = stack.enter_context(postgresql_database())
            _migrate(url, folder)
        else:
            url = copied(request.getfixturevalue("migrated_sqlite"), folder)
        app = stack.enter_context(opened(environment(url, folder) | furnished.ENVIRONMENT))
        yield FurnishedPortal(app, furnished.furnish(app, relay_server))


@pytest.fixture(scope="module")
def furnished_sqlite(
    migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory, relay_server: SMTPServer
) -> tuple[Path, Furnishing]:
    """A furnished SQLite file; tests get copies. Made anew for each module: what is in it holds for some minutes."""
    folder = tmp_path_factory.mktemp("furnished")
    url = copied(migrated_sqlite, folder)
    with opened(environment(url, folder) | furnished.ENVIRONMENT) as app:
        things = furnished.furnish(app, relay_server)
    return Path(url.removeprefix("sqlite:///")), things


@pytest.fixture
def furnished_portal(furnished_sqlite: tuple[Path, Furnishing], tmp_path: Path) -> Iterator[FurnishedPortal]:
    """A furnished portal of one's own, to change."""
    path, things = furnished_sqlite
    with opened(environment(copied(path, tmp_path), tmp_path) | furnished.ENVIRONMENT) as app:
        yield FurnishedPortal(app, things)
