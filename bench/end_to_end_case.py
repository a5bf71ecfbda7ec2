"""From the call with subject and text to the next server: the portal's door, acceptor and worker, on SQLite (FULL).

`python -m bench.end_to_end_case PORT MESSAGES FOLDER LOAD` prints one JSON line. The messages go through the same
function as the batches of the API, with a server's rules and a key, a hundred at a time; `portal worker` runs beside.
`--peer` before the arguments does the same with django-post_office: its `send_many`, then its `send_queued`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load import BODY, LOADS

if TYPE_CHECKING:
    from flask import Flask

    from portal.servers.callers import Caller

_AT_ONCE = 100
_LONGEST_SECONDS = 120


def caller_of(app: Flask) -> Caller:
    """A server with a key, as an application has them."""
    from portal import audit
    from portal.extensions import db
    from portal.servers import callers, keys, saving
    from portal.servers.keys import KeyValues
    from portal.servers.values import ServerValues
    from portal.transaction import unit_of_work

    now = datetime.now(UTC)
    with app.app_context(), unit_of_work() as session:
        values = ServerValues(name="Wiki", from_address="portal@contoso.test")
        server_id = saving.create(session, values, actor=audit.COMMAND_LINE, now=now)
        key = keys.create(session, server_id, KeyValues(name="Bench"), actor=audit.COMMAND_LINE, now=now)
    with app.app_context():
        caller = callers.caller_of_key(db.session(), key, now=now)
    assert caller is not None
    return caller


def submit(app: Flask, caller: Caller, count: int, html: str | None) -> None:
    from portal.api.submitting import Submission, submit_batch
    from portal.mail.addresses import Mailbox
    from portal.mail_service import Composed

    with app.app_context():
        for start in range(0, count, _AT_ONCE):
            mails = [
                Composed(to=(Mailbox(f"user{number}@contoso.test"),), subject=f"Message {number}", text=BODY, html=html)
                for number in range(start, min(start + _AT_ONCE, count))
            ]
            submission = Submission(caller=caller, asked=None, key="", now=datetime.now(UTC))
            submit_batch(app.extensions["intake"], submission, mails)


def run_portal(port: int, count: int, folder: Path, html: str | None) -> float:
    from bench.portal_case import environ_of, make_app, sent
    from bench.relay_case import part

    app = make_app(port, folder)
    caller = caller_of(app)
    with part("worker", environ_of(folder)):
        wait_for_worker(app)
        started = time.perf_counter()
        submit(app, caller, count, html)
        while sent(app) < count and time.perf_counter() - started < _LONGEST_SECONDS:
            time.sleep(0.02)
        return time.perf_counter() - started


def wait_for_worker(app: Flask) -> None:
    from sqlalchemy import select

    from portal.extensions import db
    from portal.outbox.models import WorkerHeartbeat

    deadline = time.monotonic() + 30
    with app.app_context():
        while time.monotonic() < deadline:
            with db.engine.connect() as connection:
                if connection.execute(select(WorkerHeartbeat.owner)).first() is not None:
                    return
            time.sleep(0.05)
    raise TimeoutError("the worker did not start")


def run_peer(port: int, count: int, folder: Path, html: str | None) -> float:
    from bench.post_office_case import configure

    configure(port, folder)
    from post_office import mail
    from post_office.models import STATUS, Email

    started = time.perf_counter()
    for start in range(0, count, _AT_ONCE):
        mail.send_many(
            [
                {
                    "sender": "portal@contoso.test",
                    "recipients": [f"user{number}@contoso.test"],
                    "subject": f"Message {number}",
                    "message": BODY,
                    "html_message": html or "",
                }
                for number in range(start, min(start + _AT_ONCE, count))
            ]
        )
    while Email.objects.filter(status=STATUS.queued).exists():
        mail.send_queued(processes=1)
    return time.perf_counter() - started


def main() -> None:
    run = run_peer if sys.argv[1] == "--peer" else run_portal
    port, count, folder, load = sys.argv[-4:]
    seconds = run(int(port), int(count), Path(folder), LOADS[load])
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"seconds": seconds, "peak_kb": max(usage.ru_maxrss for usage in usages)}))


if __name__ == "__main__":
    main()
