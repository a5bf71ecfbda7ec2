"""The worker of an application: hands the outbox what it needs from above, and the rooms' periodic work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy.engine import Engine

from portal import connections
from portal.accounts import password_reset, reset_requests, sessions
from portal.extensions import db
from portal.outbox import worker
from portal.outbox.jobs import Job
from portal.outbox.settings import WorkerSettings
from portal.transaction import unit_of_work
from portal.web import limits
from portal.web.urls import public_url_in

ANSWER_EVERY = timedelta(seconds=30)  # besides answering at once what was just committed
TIDY_EVERY = timedelta(minutes=5)


def run_worker(app: Flask, stop: threading.Event, *, settings: WorkerSettings | None = None) -> None:
    """Send and do periodic work until `stop` is set; returns within 30 s of that. `settings`: other than usual."""
    with app.app_context():
        engine = db.engine
    installation: connections.Installation = app.extensions["installation"]
    worker.run(
        engine,
        box=installation.box,
        ways_out=partial(connections.ways_out, engine, installation=installation),
        open_transport=partial(connections.open_transport, engine, installation=installation),
        jobs=jobs(app, engine),
        stop=stop,
        settings=settings,
    )


def jobs(app: Flask, engine: Engine) -> tuple[Job, ...]:
    """The rooms' periodic work; the outbox adds its own."""
    return (
        Job(
            name="answer_reset_requests",
            every=ANSWER_EVERY,
            run=partial(_answer_reset_requests, app),
            is_waiting=partial(reset_requests.has_waiting, engine),
        ),
        Job(name="purge_connection_checks", every=TIDY_EVERY, run=_in_session(app, connections.purge_candidates)),
        Job(name="purge_reset_requests", every=TIDY_EVERY, run=_in_session(app, reset_requests.purge)),
        Job(name="purge_sessions", every=TIDY_EVERY, run=_in_session(app, sessions.purge)),
        Job(name="purge_limits", every=TIDY_EVERY, run=partial(limits.purge, engine)),
    )


def _answer_reset_requests(app: Flask, now: datetime) -> None:
    with app.app_context():
        password_reset.answer_reset_requests(
            now,
            mail=app.extensions["account_mail"],
            reset_url_for=lambda token: public_url_in(app, "accounts.reset_password", token=token),
        )


def _in_session(app: Flask, work: Callable[..., Any]) -> Callable[[datetime], None]:
    def run(now: datetime) -> None:
        with app.app_context(), unit_of_work() as session:
            work(session, now=now)

    return run
