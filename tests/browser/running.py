"""A real portal: the command `portal` as a user starts it, in a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.furnished import Furnishing

START_SECONDS = 60


@dataclass
class RunningPortal:
    """`portal run` as a user starts it, in a folder of its own."""

    folder: Path
    url: str
    environ: dict[str, str]
    process: subprocess.Popen[str] | None = None
    output: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._keep_output, daemon=True)

    def start(self) -> str:
        """Start it and return the set-up address that it prints."""
        self.begin("run")
        return self.wait_for_line(r"https?://\S+/setup\?token=\S+")

    def begin(self, part: str) -> None:
        """Start one part ("web"), or all ("run")."""
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("portal")), part],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader.start()

    def _keep_output(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)

    def wait_for_line(self, pattern: str) -> str:
        """The part of the output that fits the pattern."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if found := re.search(pattern, "".join(self.output)):
                return found[0]
            time.sleep(0.05)
        raise AssertionError("the portal did not say what was expected:\n" + "".join(self.output))

    def wait_until_ready(self) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("nothing listens at " + self.url)

    def end(self) -> None:
        """Stop it where it runs still."""
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def stop(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=45)
        self.reader.join(30)
        self.process.stdout.close()
        return status


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def environment_at(port: int, folder: Path) -> dict[str, str]:
    """This machine's, with the portal's variables; mail may go to loopback."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    return others | {
        "PORTAL_INSTANCE": str(folder / "instance"),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8",
        "PORTAL_MAIL_PORTS": "1-65535",
        "PORTAL_LOG_LEVEL": "warning",
    }


@dataclass(frozen=True)
class ServedPortal:
    """`portal web` on a furnished database of its own; there is no worker, so that what waits goes on waiting."""

    url: str
    things: Furnishing
