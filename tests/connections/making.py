"""Connections made by hand, and what is stored of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from flask import Flask
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from portal import audit, outbox
from portal.audit.models import AuditEntry
from portal.connections import saving
from portal.connections.installation import Installation
from portal.connections.smtp_values import SMTPValues
from portal.connections.stored import StoredConnection, find_named
from portal.connections.values import ConnectionValues, Method, Role, SecretAction, SecretChange
from portal.connections.ways_out import open_transport, ways_out
from portal.extensions import db
from portal.mail.addresses import Mailbox
from portal.outbox import worker
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from tests.admin_browser import HTMX, Browser
from tests.outside.smtp_server import SMTPServer

T = TypeVar("T")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ADA = audit.Actor(None, "Ada", "192.0.2.7")
PASSWORD = "geheim"
CONTOSO = SMTPValues(host="smtp.contoso.test", security=Security.STARTTLS, username="relay")


def smtp_values(name: str = "Main", smtp: SMTPValues = CONTOSO, **changes: Any) -> ConnectionValues:
    values: dict[str, Any] = {"role": Role.AVAILABLE, "from_address": "portal@contoso.test", **changes}
    return ConnectionValues(name=name, method=Method.SMTP, smtp=smtp, **values)


def replaced(password: str = PASSWORD) -> SecretChange:
    return SecretChange(SecretAction.REPLACE, password)


def installation_of(app: Flask) -> Installation:
    found: Installation = app.extensions["installation"]
    return found


def engine_of(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


def create(app: Flask, values: ConnectionValues | None = None, secret: SecretChange | None = None) -> UUID:
    with app.app_context(), unit_of_work() as session:
        return saving.create(
            session,
            values or smtp_values(),
            {"password": replaced() if secret is None else secret},
            box=installation_of(app).box,
            actor=ADA,
            now=NOW,
        )


def change(app: Flask, connection_id: UUID, values: ConnectionValues, secret: SecretChange, **options: Any) -> None:
    with app.app_context(), unit_of_work() as session:
        box = installation_of(app).box
        saving.change(session, connection_id, values, {"password": secret}, box=box, actor=ADA, now=NOW, **options)


def stored(app: Flask, name: str = "Main") -> StoredConnection:
    found = find(app, name)
    assert found is not None, f"there is no connection {name}"
    return found


def while_another_saves(app: Flask, save: Callable[[Session], object], act: Callable[[], T]) -> Future[T]:
    """What became of `act`, which began after another transaction had saved and before it was committed."""
    with ThreadPoolExecutor(1) as thread:
        with app.app_context(), unit_of_work() as session:
            save(session)
            waiting = thread.submit(act)
            time.sleep(0.5)  # until it waits for the other's commit
            assert not waiting.done()
        wait([waiting])
    return waiting


def find(app: Flask, name: str) -> StoredConnection | None:
    with app.app_context():
        return find_named(db.session(), name, box=installation_of(app).box)


def audit_entries(app: Flask, action: str) -> list[AuditEntry]:
    with app.app_context():
        chosen = select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id)
        return list(db.session.scalars(chosen))


def wait_for_checks(*, seconds: float = 20) -> None:
    """Until no check runs in this process: what they write needs the database that a test takes away."""
    deadline = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread.name.startswith("check"):
            thread.join(timeout=max(0.0, deadline - time.monotonic()))


def queue_mail(app: Flask, kind: str = "password_changed") -> None:
    """A message of the portal itself, by the default route."""
    values = {"name": "Ada", "portal_url": "http://localhost"}
    if kind == "password_reset":
        values |= {"link": "http://localhost/reset-password/canary", "code": "", "means": "link"}
        values |= {"expires_in": "1 hour", "requested_at": "today"}
    else:
        values |= {"changed_at": "today", "contact": "Extension 1234"}
    prepare, box = app.extensions["account_mail"].prepare, installation_of(app).box
    with app.app_context(), unit_of_work() as session:
        to = Mailbox("ada@contoso.test", "Ada")
        prepared = prepare(kind, to=to, values=values, session=session, now=datetime.now(UTC))
        outbox.add(session, prepared, box=box)


def send_what_is_due(app: Flask) -> None:
    """One round of the worker, as it is wired in its own process."""
    engine, installation = engine_of(app), installation_of(app)
    worker.once(
        engine,
        box=installation.box,
        ways_out=partial(ways_out, engine, installation=installation),
        open_transport=partial(open_transport, engine, installation=installation),
        now=datetime.now(UTC),
    )


def typed(server: SMTPServer, **changes: str | None) -> dict[str, str | None]:
    """What somebody types into the form for a server without TLS."""
    return {
        "name": "Main",
        "host": server.host,
        "port": str(server.port),
        "security": "none",
        "username": "relay",
        "password": PASSWORD,
        "from_address": "Contoso Portal <portal@contoso.test>",
        **changes,
    }


def finished(browser: Browser, answer: TestResponse, *, seconds: float = 30) -> str:
    """Follow a check to its end as the page does, and return its last fragment."""
    assert answer.status_code == 303, answer.text
    path, deadline = answer.headers["Location"], time.monotonic() + seconds
    assert path.startswith("/connection-checks/"), path
    while time.monotonic() < deadline:
        fragment = browser.get(path, headers=HTMX).text
        if "hx-get" not in fragment:
            return fragment
        time.sleep(0.02)
    raise AssertionError("the check did not end")
