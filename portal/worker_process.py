"""The worker of an application: hands the outbox what it needs from above, and the rooms' periodic work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import connection_alerts, connections, expiry_warnings, schema
from portal.accounts import bulk_invitations, ceremonies, import_work, password_reset, reset_requests, sessions
from portal.audit import sealing
from portal.clock import utc_now
from portal.extensions import db
from portal.installation import Gate
from portal.network.https import HTTPS
from portal.outbox import worker
from portal.outbox.jobs import Job
from portal.outbox.prepared import WayOut
from portal.outbox.settings import WorkerSettings
from portal.servers import routing, sender_matrix, webhook_calls
from portal.servers.webhook_ends import EndedMessages
from portal.transaction import unit_of_work
from portal.transports import Transport
from portal.transports.redirecting import RedirectingTransport
from portal.web import limits
from portal.web.urls import public_url_in

FROM_SERVERS = connections.FromServers(routing.asked_way, sender_matrix.rules)
ANSWER_EVERY = timedelta(seconds=30)  # besides answering at once what was just committed
TIDY_EVERY = timedelta(minutes=5)
TELL_EVERY = timedelta(seconds=30)
RENEW_EVERY = timedelta(hours=1)  # a look at which grants were idle for a day
SEAL_EVERY = timedelta(minutes=1)
READ_EXPIRY_EVERY = timedelta(days=1)
CATCH_UP_EVERY = timedelta(minutes=1)  # with what a crash, or another process, kept from being noted
TELL_WEBHOOKS_EVERY = timedelta(seconds=5)
WARN_EVERY = timedelta(hours=1)  # each warning once: soon after its day begins, or once a connection works again
_REDIRECTED = "not told: all mail was redirected when the message ended"


def run_worker(app: Flask, stop: threading.Event, *, settings: WorkerSettings | None = None) -> None:
    """Send and do periodic work until `stop` is set; returns within 30 s of that. `settings`: other than usual."""
    with app.app_context():
        engine = db.engine
    installation: connections.Installation = app.extensions["installation"]
    gate = Gate(engine, app.config["PORTAL"], partial(_unit_of_work, app))
    ends = EndedMessages(
        engine, partial(_unit_of_work, app), withheld=lambda: _REDIRECTED if gate.is_redirecting() else ""
    )
    all_jobs = (*jobs(app, engine), *webhook_jobs(app, engine, ends))
    worker.run(
        engine,
        box=installation.box,
        ways_out=lambda route: gate.redirected(
            connections.ways_out(engine, route, installation=installation, above=FROM_SERVERS)
        ),
        open_transport=partial(_open_transport, engine, installation),
        on_paused=partial(connection_alerts.tell_administrators, app),
        on_end_state=ends.note,
        obstacle=schema.Watch(engine).mismatch,
        hold=gate.obstacle,
        jobs=tuple(_of_the_original(job, gate) if job.asks_others else job for job in all_jobs),
        stop=stop,
        settings=settings,
    )
    ends.close()


def _of_the_original(job: Job, gate: Gate) -> Job:
    """A job that is left out while this installation may be a copy: what it asks others would concern the original.

    A webhook would tell a real application of mail that never left; a renewed consent is one more answer to an account
    that the original lives by. Redirected mail gets the tokens that it needs as it is sent.
    """

    def run(now: datetime) -> None:
        if gate.acts_as_original():
            job.run(now)

    is_waiting = job.is_waiting
    return replace(
        job,
        run=run,
        is_waiting=(lambda: gate.acts_as_original() and is_waiting()) if is_waiting is not None else None,
    )


@contextmanager
def _unit_of_work(app: Flask) -> Iterator[Session]:
    with app.app_context(), unit_of_work() as session:
        yield session


def _open_transport(engine: Engine, installation: connections.Installation, way_out: WayOut) -> Transport:
    transport = connections.open_transport(engine, way_out, installation=installation)
    return RedirectingTransport(transport, way_out.redirect_to) if way_out.redirect_to else transport


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
        Job(
            name="invite_listed_people",
            every=ANSWER_EVERY,
            run=partial(_invite_listed_people, app),
            is_waiting=partial(bulk_invitations.has_waiting, engine),
        ),
        Job(name="purge_imports", every=TIDY_EVERY, run=_in_session(app, bulk_invitations.purge)),
        Job(name="purge_sessions", every=TIDY_EVERY, run=_in_session(app, sessions.purge)),
        Job(name="purge_ceremonies", every=TIDY_EVERY, run=_in_session(app, ceremonies.purge)),
        Job(name="seal_audit_entries", every=SEAL_EVERY, run=partial(_seal_audit_entries, app)),
        Job(name="purge_limits", every=TIDY_EVERY, run=partial(limits.purge, engine)),
        Job(
            name="tell_of_ended_consents",
            every=TELL_EVERY,
            run=partial(connection_alerts.tell_of_ended_consents, app, engine),
        ),
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
        Job(name="warn_of_expiries", every=WARN_EVERY, run=partial(expiry_warnings.warn_of_expiries, app)),
    )


def webhook_jobs(app: Flask, engine: Engine, ends: EndedMessages) -> tuple[Job, ...]:
    """Telling applications how their messages ended."""
    installation: connections.Installation = app.extensions["installation"]
    https = HTTPS(installation.https.settings, policy=replace(installation.policy, closes_private=True))
    return (
        Job(name="note_ended_messages", every=CATCH_UP_EVERY, run=ends.catch_up),
        Job(
            name="tell_webhooks",
            every=TELL_WEBHOOKS_EVERY,
            run=partial(_tell_webhooks, app, https),
            is_waiting=partial(webhook_calls.has_waiting, engine, now=utc_now),
            asks_others=True,
        ),
    )


def _tell_webhooks(app: Flask, https: HTTPS, now: datetime) -> None:
    webhook_calls.tell(partial(_unit_of_work, app), https=https, box=app.extensions["secret_box"], now=now)


def _answer_reset_requests(app: Flask, now: datetime) -> None:
    with app.app_context():
        password_reset.answer_reset_requests(
            now,
            mail=app.extensions["account_mail"],
            reset_url_for=lambda token: public_url_in(app, "accounts.reset_password", token=token),
        )


def _invite_listed_people(app: Flask, now: datetime) -> None:
    with app.app_context():
        import_work.invite_listed_people(
            now,
            mail=app.extensions["account_mail"],
            mail_state=app.extensions["mail_state"],
            link_for=lambda token: public_url_in(app, "accounts.invitation", token=token),
        )


def _read_secret_expiries(app: Flask, engine: Engine, now: datetime) -> None:
    installation: connections.Installation = app.extensions["installation"]
    for expiry in connections.read_secret_expiries(engine, installation=installation):
        with app.app_context(), unit_of_work() as session:
            connections.store_secret_expiry(session, expiry, installation=installation, now=now)


def _seal_audit_entries(app: Flask, _now: datetime) -> None:
    """All that wait, so many in one transaction: what was sealed before a crash stays."""
    sealed = sealing.AT_ONCE
    while sealed == sealing.AT_ONCE:
        with app.app_context(), unit_of_work() as session:
            sealed = sealing.seal(session)


def _in_session(app: Flask, work: Callable[..., Any]) -> Callable[[datetime], None]:
    def run(now: datetime) -> None:
        with app.app_context(), unit_of_work() as session:
            work(session, now=now)

    return run
