from __future__ import annotations

from tests.connections.conftest import admin, portal

__all__ = ["admin", "portal"]
