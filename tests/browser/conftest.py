"""A real portal (`portal run`) and a real Chromium, for the flows that people go through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.running import RunningPortal, ServedPortal, environment_at, free_port
from tests.browser.windows import Watched, window
from tests.conftest import copied
from tests.furnished import ENVIRONMENT, Furnishing


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[RunningPortal]:
    """An empty folder in which `portal run` can be started."""
    port = free_port()
    portal = RunningPortal(tmp_path, f"http://127.0.0.1:{port}", environment_at(port, tmp_path))
    yield portal
    portal.end()


@pytest.fixture(scope="module")
def served(
    furnished_sqlite: tuple[Path, Furnishing], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedPortal]:
    """For all tests of a module."""
    folder, port, (database, things) = tmp_path_factory.mktemp("served"), free_port(), furnished_sqlite
    environ = environment_at(port, folder) | ENVIRONMENT | {"PORTAL_DATABASE_URL": copied(database, folder)}
    portal = RunningPortal(folder, f"http://127.0.0.1:{port}", environ)
    portal.begin("web")
    portal.wait_until_ready()
    yield ServedPortal(portal.url, things)
    portal.end()


@pytest.fixture
def watched(browser: Browser, portal: RunningPortal, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A window of a stranger; `params` may say {"script": False}."""
    with window(browser, portal.url, **getattr(request, "param", {})) as watched:
        yield watched
