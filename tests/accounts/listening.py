"""A portal that listens at a port of its own, for a browser: its mail leaves, and Ada has an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask

from portal import connections, create_app
from portal.config import load_config
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import add_person
from tests.browser.running import free_port
from tests.conftest import copied
from tests.wsgi_server import serving


@contextmanager
def listening(folder: Path, migrated: Path) -> Iterator[Flask]:
    """It listens from the beginning on; `migrated` is the SQLite file that it gets a copy of."""
    port = free_port()
    environ = {
        "PORTAL_INSTANCE": str(folder),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PORTAL_DATABASE_URL": copied(migrated, folder),
        "PORTAL_BUILTIN_SERVICE": "smtp://127.0.0.1:2525?security=none",
    }
    app = create_app(load_config(environ))
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    add_person(app)
    with serving(app, port):
        yield app
    with app.app_context():
        db.engine.dispose()
