"""A process that runs on while its database is upgraded, or brought back from a backup, keeps its hands off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.engine import Engine

from portal import connections, schema
from portal.database import writing
from portal.outbox.models import Delivery
from portal.outbox.settings import WorkerSettings
from portal.transaction import unit_of_work
from portal.worker_process import run_worker
from tests.conftest import opened
from tests.connections.making import queue_mail
from tests.outbox.conftest import until


@contextmanager
def at_schema(engine: Engine, revision: str) -> Iterator[None]:
    """As if the database had been brought there by another version."""
    _say_that_it_is_at(engine, revision)
    try:
        yield
    finally:
        _say_that_it_is_at(engine, schema.NEWEST)


def _say_that_it_is_at(engine: Engine, revision: str) -> None:
    with writing(engine).begin() as connection:
        connection.execute(text("update alembic_version set version_num = :revision"), {"revision": revision})


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("9999", f"the database is at schema 9999, newer than {schema.NEWEST}"),
        ("0000", f"the database is at schema 0000, older than {schema.OLDEST}; run: portal upgrade"),
    ],
)
def test_a_schema_that_is_changed_underneath_is_noticed_and_so_is_its_return(
    engine: Engine, revision: str, said: str
) -> None:
    told: list[str] = []
    watch = schema.Watch(engine, every_seconds=0, on_change=told.append)

    before = watch.mismatch()
    with at_schema(engine, revision):
        meanwhile = [watch.mismatch(), watch.mismatch()]
    after = watch.mismatch()

    assert (before, after) == ("", "")
    assert [one.startswith(said) for one in meanwhile] == [True, True]
    assert told == [meanwhile[0], ""]


def test_a_watch_that_many_threads_ask_reads_the_database_once_in_its_time(engine: Engine) -> None:
    reads: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *details: reads.append(details[2]))
    watch = schema.Watch(engine, every_seconds=60)

    def ask() -> None:
        for _ in range(200):
            watch.mismatch()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([one for one in reads if "version_num" in one]) == 1
    assert len(reads) <= 4


def test_a_database_that_cannot_be_read_changes_no_answer(tmp_path: Path) -> None:
    nowhere = create_engine(f"sqlite:///{tmp_path / 'no such folder' / 'portal.sqlite3'}")
    told: list[str] = []

    found = schema.Watch(nowhere, every_seconds=0, on_change=told.append).mismatch()

    assert (found, told) == ("", [])


@pytest.mark.parametrize("revision", ["9999", "0000"])
def test_pages_are_answered_503_with_a_sentence_and_nothing_is_written(
    engine: Engine, environ: Mapping[str, str], revision: str
) -> None:
    with at_schema(engine, revision), opened(environ) as app:
        client = app.test_client()

        page = client.get("/sign-in")
        fragment = client.get("/sign-in", headers={"HX-Request": "true"})
        form = client.post("/forgot-password", data={"identifier": "ada@contoso.test"})
        style = client.get("/static/portal.css")
        style.close()

    assert (page.status_code, fragment.status_code, form.status_code, style.status_code) == (503, 503, 503, 200)
    assert page.headers["Retry-After"] == "60"
    assert "<h1" in page.text
    assert "The portal and its database do not fit together" in page.text
    assert "whoever runs this portal has to finish the upgrade" in page.text
    assert f"schema {revision}" not in page.text
    assert fragment.headers["HX-Retarget"] == "#notices"
    assert "The portal and its database do not fit together" in fragment.text
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from reset_request")) == 0


def test_the_probes_answer_and_the_one_for_readiness_says_why(engine: Engine, environ: Mapping[str, str]) -> None:
    with at_schema(engine, "9999"), opened(environ) as app:
        alive = app.test_client().get("/healthz")
        ready = app.test_client().get("/readyz")

    assert (alive.status_code, alive.json) == (200, {"status": "ok"})
    assert ready.status_code == 503
    assert checks_of(ready)["schema"].startswith(f"the database is at schema 9999, newer than {schema.NEWEST}")
    assert (checks_of(ready)["database"], checks_of(ready)["key"]) == ("ok", "ok")


def test_readiness_tells_a_schema_that_fits_apart_from_a_worker_that_is_missing(app: Flask) -> None:
    ready = app.test_client().get("/readyz")

    assert ready.status_code == 503
    assert checks_of(ready) == {"database": "ok", "schema": "ok", "key": "ok", "worker": "no worker is running"}


def checks_of(answer: Any) -> dict[str, str]:
    found: dict[str, str] = answer.json["checks"]
    return found


@pytest.mark.slow
def test_a_running_worker_and_a_running_web_process_stop_and_go_on_with_the_schema(app: Flask, engine: Engine) -> None:
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    stop = threading.Event()
    quick = WorkerSettings(look_every=timedelta(seconds=0.05), sweep_every=timedelta(seconds=0.2))
    worker = threading.Thread(target=run_worker, args=(app, stop), kwargs={"settings": quick})
    worker.start()
    try:
        queue_mail(app)
        until(lambda: states(engine) == ["sent"])
        until(lambda: status_of(app, "/sign-in") == 200)
        with at_schema(engine, "9999"):
            until(lambda: status_of(app, "/sign-in") == 503)
            time.sleep(schema.WATCH_EVERY_SECONDS)  # until the worker has looked as well
            queue_mail(app)
            time.sleep(1)
            meanwhile = states(engine)
        until(lambda: states(engine) == ["sent", "sent"])
        until(lambda: status_of(app, "/sign-in") == 200)
    finally:
        stop.set()
        worker.join()

    assert meanwhile == ["sent", "queued"]


def states(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(Delivery.state).order_by(Delivery.id)))


def status_of(app: Flask, path: str) -> int:
    return app.test_client().get(path).status_code
