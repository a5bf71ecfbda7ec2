"""The clock of whatever is handed none: times are arguments elsewhere, so that tests can set them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)
