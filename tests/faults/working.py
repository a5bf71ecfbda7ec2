"""What `portal worker` does, in a process that was forked instead of started, with leases that soon run out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from portal import lifeline
from portal.commands.application import running
from portal.outbox.settings import WorkerSettings
from portal.worker_process import run_worker


def work(environ: Mapping[str, str], log: Path, *, lease_seconds: float, senders: int) -> None:
    """Send until SIGTERM. `environ` holds the portal's variables; what is logged is added to `log`."""
    descriptor = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.setsid()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    lifeline.end_with_parent(os.getppid(), signal.SIGKILL)
    for name in [name for name in os.environ if name.startswith("PORTAL_")]:
        del os.environ[name]
    os.environ.update(environ)
    settings = WorkerSettings(
        senders=senders,
        lease=timedelta(seconds=lease_seconds),
        look_every=timedelta(seconds=0.1),
        sweep_every=timedelta(seconds=0.1),
    )
    with running() as app:
        run_worker(app, stop, settings=settings)
