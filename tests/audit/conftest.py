"""An audit log with entries of our own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask

from portal import audit
from portal.audit import sealing
from portal.transaction import unit_of_work

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ADA = audit.Actor(UUID("11111111-2222-4333-8444-555555555555"), "Ada Lovelace", "192.0.2.7")

Write = Callable[..., None]


@pytest.fixture
def write(app: Flask) -> Write:
    """Writes so many entries, one a minute."""

    def write(number: int = 1, *, start: datetime = NOW) -> None:
        with app.app_context(), unit_of_work() as session:
            for minute in range(number):
                audit.record(
                    session,
                    action="connection.changed",
                    actor=ADA,
                    subject="connection Übersee",
                    changes={"port": (25, 587), "is_default": (False, True), "password": audit.CHANGED},
                    now=start + timedelta(minutes=minute),
                )

    return write


@pytest.fixture
def seal(app: Flask) -> Callable[[], int]:
    """Seals what waits."""

    def seal() -> int:
        with app.app_context(), unit_of_work() as session:
            return sealing.seal(session)

    return seal
