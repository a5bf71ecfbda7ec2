"""A web server of the portal in processes of its own, for what is measured over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

PORTAL_WEB = ("portal.cli", "web")  # as people run it
_SECONDS = 60.0  # to start, and to end


@contextmanager
def web_server(port: int, environ: Mapping[str, str], command: Sequence[str] = PORTAL_WEB) -> Iterator[int]:
    """Its process group, once it listens at the port. `command`: a module and its arguments. The log goes nowhere."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | dict(environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_SECONDS)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the portal did not start")
