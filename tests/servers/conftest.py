"""A fresh portal with its built-in connection, and an administrator's browser."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from portal import connections
from portal.transaction import unit_of_work
from tests.admin_browser import Browser


@pytest.fixture
def portal(app: Flask) -> Flask:
    """The application after its first upgrade."""
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    return app


@pytest.fixture
def admin(portal: Flask) -> Browser:
    return Browser(portal)
