"""A supervisor as a real process with real parts, and what can be seen of them from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What `condition` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come to pass in time")


def is_alive(pid: int) -> bool:
    """Whether any thread of the process runs; one that ended and was not waited for yet does not.

    The first thread of a killed process may be gone while another still holds its sockets open.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


class Group:
    def __init__(self, folder: Path) -> None:
        self.diary = folder / "diary"
        self.ready_file = folder / "ready"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *parts: tuple[str, str, float], prefix: tuple[str, ...] = (), **patience: Any) -> None:
        """Each part is a name, a mode of part.py, and its drain in seconds."""
        commands = [
            (name, [sys.executable, str(HERE / "part.py"), mode, str(self.diary), name], drain)
            for name, mode, drain in parts
        ]
        wanted = {"parts": commands, "patience": patience, "ready_file": str(self.ready_file)}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(HERE / "group.py"), json.dumps(wanted)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def notes(self, what: str) -> list[tuple[str, int]]:
        """Who noted it, with process number, in order."""
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        found = [line.split() for line in lines]
        return [(name, int(pid)) for name, noted, pid in found if noted == what]

    def wait_for(self, what: str, times: int = 1) -> list[tuple[str, int]]:
        def enough() -> list[tuple[str, int]] | None:
            notes = self.notes(what)
            return notes if len(notes) >= times else None

        return until(enough)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str]]:
        """Exit status and what was said."""
        assert self.process is not None
        said, _ = self.process.communicate(timeout=15)
        return self.process.returncode, said.splitlines()

    def clean_up(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        for _name, pid in self.notes("started") + self.notes("grandchild"):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
