"""The portal's processes, to be killed and frozen by their own numbers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.faults.working import work
from tests.supervisor.groups import is_alive, until

LEASE_SECONDS = 0.7
_FORK = multiprocessing.get_context("forkserver")  # imports the portal once for all workers
_FORK.set_forkserver_preload(["tests.faults.working", "portal.accounts.views", "portal.connections.views"])


class Worker:
    """A worker with short leases. It runs from the start until it is killed or stopped."""

    def __init__(
        self, environ: Mapping[str, str], log: Path, *, lease_seconds: float = LEASE_SECONDS, senders: int = 1
    ) -> None:
        self._log = log
        self._process = _FORK.Process(
            target=work, args=(environ, log), kwargs={"lease_seconds": lease_seconds, "senders": senders}, daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def wait_until_started(self) -> None:
        until(lambda: "worker started" in self.said(), 20)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.join(30)
        assert not is_alive(self.pid)

    def freeze(self) -> None:
        """As a machine that is suspended, or a process that a debugger or a full cgroup stops."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: _state(self.pid) == "T")

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Let it finish what it has in hand, as an orderly stop does."""
        os.kill(self.pid, signal.SIGTERM)
        self._process.join(30)
        assert not is_alive(self.pid), self.said()

    def clean_up(self) -> None:
        if self._process.is_alive():
            self._process.kill()
            self._process.join(30)
        self._process.close()


class Command:
    """`portal web` or `portal worker` as people start them, in a session of its own."""

    def __init__(self, environ: Mapping[str, str], log: Path, *arguments: str) -> None:
        self._log = log
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "portal.cli", *arguments],
                env=kept | dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """kill -9, it and the processes that it started."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> int:
        """An orderly stop; the exit status."""
        self._process.terminate()
        return self._process.wait(45)

    def clean_up(self) -> None:
        if self.is_running:
            self.kill()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
