"""The relay as people start it: beside web and worker, and alone."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

from tests.faults.test_relay_killed import is_listening
from tests.supervisor.groups import is_alive, until
from tests.supervisor.test_portal_run import Running, descendants, free_port


def test_portal_run_starts_the_relay_again_when_it_dies_and_ends_it_with_the_others(tmp_path: Path) -> None:
    port = free_port()
    running = Running(tmp_path, PORTAL_RELAY_BIND=f"starttls://127.0.0.1:{port}")
    try:
        family = running.wait_until_ready()
        until(lambda: is_listening(port), 30)
        (relay,) = [pid for pid in family if b"\0relay\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]

        os.kill(relay, signal.SIGKILL)
        until(lambda: not is_alive(relay))
        until(lambda: is_listening(port), 30)
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
            offered = smtp.ehlo()
        family = descendants(running.process.pid)
        running.process.send_signal(signal.SIGINT)
        status = running.process.wait(40)

        assert offered[0] == 250
        assert re.match(rb"\[127\.0\.0\.1\]\nENHANCEDSTATUSCODES\n", offered[1])
        assert status == 0
        assert [pid for pid in family if is_alive(pid)] == []
        assert "Traceback" not in running.said()
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def test_an_address_that_is_taken_stops_the_relay_with_one_line(tmp_path: Path) -> None:
    instance = {"PORTAL_INSTANCE": str(tmp_path), "PATH": "/usr/bin:/bin"}
    portal = [sys.executable, "-m", "portal.cli"]
    subprocess.run([*portal, "upgrade"], env=instance, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [*portal, "relay"],
            env=instance | {"PORTAL_RELAY_BIND": f"plain://127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        f"Error: PORTAL_RELAY_BIND: something else listens at 127.0.0.1:{port} already; stop it, or choose another port"
    )
