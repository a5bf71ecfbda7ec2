"""The command line in this process, on a database of each kind that `portal upgrade` made."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from portal import create_app
from portal.cli import cli
from portal.config import load_config
from portal.extensions import db
from portal.worker_process import run_worker

Portal = Callable[..., Result]


@pytest.fixture
def command(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """Calls `portal` with arguments; an empty installation."""
    for name in [name for name in os.environ if name.startswith("PORTAL_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda *arguments, stdin="": CliRunner().invoke(cli, arguments, input=stdin, prog_name="portal")
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def portal(command: Portal) -> Portal:
    """Calls `portal`; the database is up to date, and there is nobody yet."""
    assert command("upgrade").exit_code == 0
    return command


@pytest.fixture
def worker(portal: Portal, environ: dict[str, str]) -> Iterator[None]:
    """A worker that sends meanwhile."""
    app, stop = create_app(load_config(environ)), threading.Event()
    thread = threading.Thread(target=run_worker, args=(app, stop))
    thread.start()
    yield
    stop.set()
    thread.join()
    with app.app_context():
        db.engine.dispose()
