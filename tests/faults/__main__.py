"""`make faults`: workers killed at random over and over while they send a backlog, on each database; and once more
with the usual leases, under `portal run`.

Prints what came of it. Exit status 1 when a message was lost, or had a second copy that no kill explains.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal import create_app, schema
from portal.config import load_config
from portal.extensions import db
from tests.conftest import HAS_POSTGRESQL, postgresql_database
from tests.faults import kill_run
from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.supervisor.groups import until
from tests.supervisor.test_portal_run import descendants, free_port

SOON_ENOUGH = 90.0  # seconds: a lease of 60, a look every 5, and a start


@contextmanager
def new_installation(database: str) -> Iterator[Installation]:
    """An installation with an empty database of its own; gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "PORTAL_INSTANCE": folder,
            "PORTAL_BIND": f"127.0.0.1:{free_port()}",
            "PORTAL_MAIL_ALLOW": "127.0.0.0/8",
            "PORTAL_MAIL_PORTS": "1-65535",
        }
        if database == "sqlite":
            yield from _upgraded(environ, Path(folder))
        else:
            with postgresql_database() as url:
                yield from _upgraded(environ | {"PORTAL_DATABASE_URL": url}, Path(folder))


def _upgraded(environ: dict[str, str], folder: Path) -> Iterator[Installation]:
    app = create_app(load_config(environ | {"PORTAL_LOG_LEVEL": "warning"}))
    schema.upgrade(app)
    with app.app_context():
        db.engine.dispose()
    installation = Installation(environ, folder)
    try:
        yield installation
    finally:
        installation.close()


def kill_at_random(database: str, *, messages: int, kills: int, seed: int) -> bool:
    with new_installation(database) as installation, HoldingServer() as server:
        installation.connect(server)
        tally = kill_run.run(installation, server, messages=messages, kills=kills, chance=random.Random(seed))
        said = installation.said()
    print(
        f"{database}: {tally.kills} kills of two workers with {kill_run.SENDERS} connections each, "
        f"{tally.messages} messages in {tally.seconds:.0f} s: {tally.lost} lost, "
        f"{tally.second_copies} second copies ({tally.altered} altered, {tally.unexplained} without a kill that "
        f"explains it, {tally.outside_slices} older than the last slice of the connection), "
        f"{tally.released} held and released",
        flush=True,
    )
    if not tally.is_good:
        print(said, file=sys.stderr)
    return tally.is_good


def kill_with_usual_leases(database: str) -> bool:
    """The worker of a `portal run` dies between the final dot and its reply; nobody helps."""
    with new_installation(database) as installation, HoldingServer() as server:
        installation.connect(server)
        server.hold("CONTENT")
        running = installation.command("run")
        installation.queue()
        server.wait_until_held(60)
        worker = next(pid for pid in descendants(running.pid) if _is_worker(pid))
        os.kill(worker, signal.SIGKILL)
        begun = time.monotonic()
        until(lambda: installation.states() == {"sent": 1}, SOON_ENOUGH)
        seconds = time.monotonic() - begun
        copies = list(server.copies.values())
        running.stop()
    print(
        f"{database}: the worker of portal run killed after the final dot: {copies} copies, sent {seconds:.0f} s later"
    )
    return copies == [2]


def _is_worker(pid: int) -> bool:
    return b"\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    databases = ["sqlite", "postgresql"] if HAS_POSTGRESQL else ["sqlite"]
    if not HAS_POSTGRESQL:
        print("a PostgreSQL server is missing on this machine: SQLite alone is tried")
    print(f"seed {arguments.seed}", flush=True)
    good = [
        kill_at_random(one, messages=arguments.messages, kills=arguments.kills, seed=arguments.seed)
        for one in databases
    ]
    good += [kill_with_usual_leases(one) for one in databases]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
