"""The portal: a backlog on SQLite (WAL, FULL), sent by the real worker: attempts, leases and pacing on.

`python -m bench.portal_case PORT MESSAGES FOLDER LOAD` prints one JSON line. The worker runs, has sent a few messages
and has done each of its periodic jobs once, as it has in any installation; then the backlog is stored in one
transaction, and the clock starts when that is committed.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask
from sqlalchemy import text

from bench.load import BODY, LOADS, WARM_UP
from portal import create_app, outbox
from portal.config import load_config
from portal.database import sqlite_path, synchronous_level
from portal.extensions import db
from portal.mail.addresses import Mailbox
from portal.mail.message import compose, new_message_id
from portal.outbox.message_ids import new_id
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.transaction import unit_of_work
from portal.worker_process import run_worker

_LONGEST_SECONDS = 120
_QUIET_SECONDS = 2.0
SETTINGS = """
email: {{from_address: portal@contoso.test, display_name: Contoso Portal}}
connections:
  - {{name: sink, method: smtp, role: default, host: 127.0.0.1, port: {port}, security: none, auth: none,
     messages_per_minute: 100000, max_connections: 2, from_address: portal@contoso.test}}
"""


def environ_of(folder: Path) -> dict[str, str]:
    """What an installation in this folder is run with."""
    return {
        "PORTAL_INSTANCE": str(folder),
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8",
        "PORTAL_MAIL_PORTS": "1-65535",
        "PORTAL_LOG_LEVEL": "warning",
    }


def make_app(port: int, folder: Path) -> Flask:
    """Set up as an operator does: by the command line."""
    environ = environ_of(folder)
    settings = folder / "settings.yaml"
    settings.write_text(SETTINGS.format(port=port))
    for arguments in (["upgrade", "--quiet"], ["settings", "apply", str(settings)]):
        command = [sys.executable, "-m", "portal.cli", *arguments]
        subprocess.run(command, env=os.environ | environ, stdout=subprocess.DEVNULL, check=True)
    app = create_app(load_config(environ))
    with app.app_context(), db.engine.begin() as connection:  # pacing is on, but must not be what is measured
        connection.execute(text("update connection set messages_per_minute = 6000000"))
    return app


def prepared(number: int, now: datetime, html: str | None) -> PreparedMessage:
    to = Mailbox(f"user{number}@contoso.test")
    subject = f"Message {number}"
    message_id = new_message_id("portal.contoso.test")
    return PreparedMessage(
        id=new_id(),
        kind="api",
        is_secret=False,
        lane=Lane.NORMAL,
        schedule=Schedule.NORMAL,
        route="default",
        from_mailbox=None,
        mail_from=None,
        rcpt_to=(to.address,),
        subject=subject,
        message_id=message_id,
        content=compose(
            to=(to,), subject=subject, text=BODY, html=html, message_id=message_id, date=now, auto_submitted=False
        ),
        created_at=now,
        expires_at=now + timedelta(days=3),
    )


def fill(app: Flask, count: int, html: str | None) -> None:
    """In one transaction: the worker sees all of it at once."""
    now = datetime.now(UTC)
    messages = [prepared(number, now, html) for number in range(count)]
    with app.app_context(), unit_of_work() as session:
        for message in messages:
            outbox.add(session, message, box=app.extensions["secret_box"])


def warm_up(app: Flask, backlog: Backlog, html: str | None) -> None:
    """Until a few messages have left and no further job has had its first run for some seconds."""
    fill(app, WARM_UP, html)
    deadline = time.monotonic() + _LONGEST_SECONDS
    known, since = 0, time.monotonic()
    while time.monotonic() < deadline:
        with app.app_context(), db.engine.connect() as connection:
            begun, done = connection.execute(text("select count(*), count(last_success_at) from job")).one()
        if begun != known or done < begun or backlog.waits():
            known, since = begun, time.monotonic()
        elif time.monotonic() - since > _QUIET_SECONDS:
            return
        time.sleep(0.1)
    raise TimeoutError("the worker did not do its first work")


class Backlog:
    """Looked at by the driver alone, on a connection of its own: whoever looks is part of what is measured."""

    def __init__(self, app: Flask) -> None:
        with app.app_context():
            path = sqlite_path(db.engine)
        assert path is not None
        self._connection = sqlite3.connect(path)

    def waits(self) -> bool:
        """Whether any delivery has not ended; answered from a small index."""
        return self._connection.execute("select 1 from delivery where ended_at is null limit 1").fetchone() is not None

    def close(self) -> None:
        self._connection.close()


def sent(app: Flask) -> int:
    with app.app_context(), db.engine.connect() as connection:
        return connection.execute(text("select count(*) from delivery where state = 'sent'")).scalar_one()


def main() -> None:
    port, count, folder, html = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), LOADS[sys.argv[4]]
    app = make_app(port, folder)
    stop = threading.Event()
    worker = threading.Thread(target=run_worker, args=(app, stop))
    worker.start()
    backlog = Backlog(app)
    warm_up(app, backlog, html)
    fill(app, count, html)
    started, cpu = time.perf_counter(), time.process_time()
    while backlog.waits() and time.perf_counter() - started < _LONGEST_SECONDS:
        time.sleep(0.05)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    stop.set()
    worker.join()
    backlog.close()
    with app.app_context(), db.engine.connect() as connection:
        synchronous = synchronous_level(connection)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = {"seconds": seconds, "cpu_seconds": cpu_seconds, "sent": sent(app) - WARM_UP, "peak_kb": peak}
    print(json.dumps(outcome | {"synchronous": synchronous}))


if __name__ == "__main__":
    main()
