"""`portal run` as people start it: real processes, a real port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supervisor.groups import is_alive, until

PORTAL = [sys.executable, "-m", "portal.cli"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status_of(url: str) -> int:
    """The HTTP status, 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def descendants(pid: int) -> list[int]:
    """Process numbers below `pid`, the elder first."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parents[int(status.parent.name)] = int(re.search(r"^PPid:\s+(\d+)", status.read_text(), re.M)[1])  # type: ignore[index]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


class Running:
    def __init__(self, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "output"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
        self.environ = kept | {
            "PORTAL_BIND": f"127.0.0.1:{self.port}",
            "PORTAL_INSTANCE": str(folder / "instance"),
            "PORTAL_SECRET_KEY": "canary-key-that-is-32-characters-long",
            "PORTAL_WEB_THREADS": "2",
            **variables,
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*PORTAL, "run"], env=self.environ, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> list[int]:
        """Its processes: those of web and worker, and granian's own."""
        until(lambda: "Mail Portal is at" in self.said() or self.process.poll() is not None, 30)
        until(lambda: status_of(f"{self.url}/readyz") == 200, 30)
        return descendants(self.process.pid)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    family = descendants(running.process.pid)
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()
    for pid in family:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_the_portal_starts_says_where_it_is_survives_a_death_and_ends_cleanly(running: Running) -> None:
    family = running.wait_until_ready()
    (web,) = [pid for pid in family if descendants(pid)]
    (granian,) = descendants(web)

    said = running.said()
    (address,) = re.findall(r"^Mail Portal is at (\S+)$", said, re.M)
    (setup_address,) = re.findall(r"^Create the first administrator at (\S+)$", said, re.M)
    second = subprocess.run([*PORTAL, "run"], env=running.environ, capture_output=True, text=True, check=False)
    command_lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family]
    os.kill(granian, signal.SIGKILL)
    until(lambda: granian not in descendants(web) and descendants(web))
    until(lambda: status_of(f"{running.url}/healthz") == 200)
    with socket.create_connection(("127.0.0.1", running.port)) as request_in_hand:
        request_in_hand.sendall(
            b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\nemail" % running.port
        )
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        request_in_hand.sendall(b"=x@y.")
        answer = request_in_hand.recv(100)
    status = running.process.wait(15)

    assert address == running.url
    assert setup_address.startswith(f"{running.url}/setup?token=")
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"Error: PORTAL_BIND: something else listens at 127.0.0.1:{running.port} already; "
        "stop it, or choose another port\n"
    )
    assert [line for line in command_lines if b"canary" in line] == []
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert status == 0
    assert [pid for pid in family if is_alive(pid)] == []
    assert "Traceback" not in running.said()


def test_no_process_outlives_a_parent_that_was_killed(running: Running) -> None:
    family = running.wait_until_ready()

    running.process.kill()

    assert len(family) == 3
    until(lambda: not any(is_alive(pid) for pid in family))
    assert status_of(f"{running.url}/healthz") == 0
