"""One installation of the portal: its database, seen from beside, and the processes that work on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from flask import Flask
from sqlalchemy import func, select, text, update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from portal import audit, connections, create_app, email_settings, outbox, settings_file
from portal.config import load_config
from portal.database import writing
from portal.extensions import db
from portal.mail.addresses import Mailbox
from portal.outbox import history
from portal.outbox.message_view import MessageView
from portal.outbox.models import Delivery
from portal.transaction import unit_of_work
from tests.faults.processes import LEASE_SECONDS, Command, Worker
from tests.outside.smtp_server import SMTPServer
from tests.supervisor.groups import until

SETTINGS = """
connections:
  - {{name: main, method: smtp, role: default, host: 127.0.0.1, port: {port}, security: none, auth: password,
     username: relay, password: geheim, from_address: portal@contoso.test, timeout_seconds: 30,
     max_connections: {connections}}}
"""
_LINE = b"x" * 76 + b"\r\n"


class Installation:
    """The variables of `environ`, whose database is at the newest schema; logs go to `folder`."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self.environ = environ
        self.app: Flask = create_app(load_config(environ))
        self._folder = folder
        self._processes: list[Worker | Command] = []

    @property
    def engine(self) -> Engine:
        with self.app.app_context():
            return db.engine

    def connect(self, server: SMTPServer | int, *, connections_at_a_time: int = 50) -> None:
        """Make the server (or what listens at that port) the default connection.

        A dead worker's share of the connections is another's only after 15 s: many leave enough to the living.
        """
        port = server if isinstance(server, int) else server.port
        content = SETTINGS.format(port=port, connections=connections_at_a_time).encode()
        node = settings_file.read(content, follow=settings_file.refuse_references)
        sections = [email_settings.section, connections.make_section(self.app.extensions["secret_box"])]
        with self.app.app_context(), unit_of_work() as session:
            settings_file.apply(session, node, sections, actor=audit.COMMAND_LINE, now=datetime.now(UTC))

    def queue(self, count: int = 1, *, filler: int = 0) -> list[UUID]:
        """Queue notices to user0, user1, … in this order; `filler` more octets make them long."""
        now = datetime.now(UTC)
        ids = []
        with self.app.app_context(), unit_of_work() as session:
            for number in range(count):
                prepared = self.app.extensions["account_mail"].prepare(
                    "password_changed",
                    to=Mailbox(f"user{number}@contoso.test"),
                    values={"name": "Ada", "changed_at": "today", "contact": "", "portal_url": "http://localhost"},
                    session=session,
                    now=now + timedelta(microseconds=number - count),
                )
                long = replace(prepared, content=prepared.content + _LINE * (filler // len(_LINE)))
                ids.append(outbox.add(session, long, box=self.app.extensions["secret_box"]))
        return ids

    def states(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        with self.engine.connect() as connection:
            counted = connection.execute(select(Delivery.state, func.count()).group_by(Delivery.state))
            return {row[0]: row[1] for row in counted}

    def message(self, message_id: UUID) -> MessageView:
        with Session(self.engine) as session:
            found = history.find(session, message_id)
        assert found is not None, f"{message_id} is lost"
        return found

    def verdicts(self, message_id: UUID) -> list[str]:
        """What became of each attempt at it, in the order in which it was written down."""
        deliveries = self.message(message_id).deliveries
        return [str(attempt.status) for delivery in deliveries for attempt in delivery.attempts]

    @contextmanager
    def deliveries_locked(self) -> Iterator[Connection]:
        """Nobody else can change a delivery meanwhile; on SQLite, nobody can write anything."""
        with writing(self.engine).connect() as connection:
            connection.execute(update(Delivery).values(size=Delivery.size))
            yield connection
            connection.rollback()

    def freeze(self, worker: Worker) -> None:
        """Suspend it at a moment at which it holds no lock that others need: what is frozen keeps its locks."""
        with writing(self.engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("lock table worker_heartbeat in exclusive mode"))
                until(self._is_somebody_waiting_for_a_lock)
            worker.freeze()

    def worker(self, *, lease_seconds: float = LEASE_SECONDS, senders: int = 1) -> Worker:
        worker = Worker(self.environ, self._log("worker"), lease_seconds=lease_seconds, senders=senders)
        self._processes.append(worker)
        return worker

    def command(self, *arguments: str, **changed: str) -> Command:
        """`portal` with these arguments, which keeps running; `changed` are variables with another value."""
        command = Command({**self.environ, **changed}, self._log(arguments[0]), *arguments)
        self._processes.append(command)
        return command

    def _is_somebody_waiting_for_a_lock(self) -> bool:
        waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = :name")
        with self.engine.connect() as connection:
            return bool(connection.scalar(waiting, {"name": self.engine.url.database}))

    def said(self) -> str:
        """What all processes logged."""
        return "\n".join(f"--- process {process.pid}\n{process.said()}" for process in self._processes)

    def close(self) -> None:
        """End whatever still runs."""
        for process in self._processes:
            process.clean_up()
        with self.app.app_context():
            db.engine.dispose()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}-{len(self._processes)}.log"
