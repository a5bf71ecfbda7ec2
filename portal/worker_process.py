"""The worker of an application: hands the outbox what it needs from above, and the rooms' periodic work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy.engine import Engine

from portal import connection_alerts, connections, schema
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
RENEW_EVERY = timedelta(hours=1)  # a look at which grants were idle for a day
READ_EXPIRY_EVERY = timedelta(days=1)


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
        on_paused=partial(connection_alerts.tell_administrators, app),
        obstacle=schema.Watch(engine).mismatch,
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
        Job(name="purge_consents", every=TIDY_EVERY, run=_in_session(app, connections.purge_consents)),
        Job(name="purge_reset_requests", every=TIDY_EVERY, run=_in_session(app, reset_requests.purge)),
        Job(name="purge_sessions", every=TIDY_EVERY, run=_in_session(app, sessions.purge)),
        Job(name="purge_limits", every=TIDY_EVERY, run=partial(limits.purge, engine)),
        Job(
            name="renew_idle_grants",
            every=RENEW_EVERY,
            run=partial(connections.renew_idle_grants, engine, installation=app.extensions["installation"]),
            asks_others=True,
        ),
        Job(
            name="read_secret_expiries",
            every=READ_EXPIRY_EVERY,
            run=partial(_read_secret_expiries, app, engine),
            asks_others=True,
        ),
    )


def _answer_reset_requests(app: Flask, now: datetime) -> None:
    with app.app_context():
        password_reset.answer_reset_requests(
            now,
            mail=app.extensions["account_mail"],
            reset_url_for=lambda token: public_url_in(app, "accounts.reset_password", token=token),
        )


def _read_secret_expiries(app: Flask, engine: Engine, now: datetime) -> None:
    installation: connections.Installation = app.extensions["installation"]
    for expiry in connections.read_secret_expiries(engine, installation=installation):
        with app.app_context(), unit_of_work() as session:
            connections.store_secret_expiry(session, expiry, installation=installation, now=now)


def _in_session(app: Flask, work: Callable[..., Any]) -> Callable[[datetime], None]:
    def run(now: datetime) -> None:
        with app.app_context(), unit_of_work() as session:
            work(session, now=now)

    return run
