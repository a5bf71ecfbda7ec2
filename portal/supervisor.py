"""`portal run`: the small parent that starts the parts of the portal, starts them again, and ends them in order.

Each part has a session of its own, so that Ctrl-C in a terminal reaches the parent alone. A part that ended is
started again after 1, 2, 4 … 30 seconds; five ends within a minute end the whole. It opens no database.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_LOOK = 3600.0  # seconds; a signal ends every wait, so this bounds nothing that matters
_PROBE_SECONDS = 0.1


@dataclass(frozen=True)
class Part:
    """A command to keep alive. At the end it gets SIGTERM, and SIGKILL after `drain_seconds`."""

    name: str
    command: tuple[str, ...]
    drain_seconds: float


@dataclass(frozen=True)
class Patience:
    """How often and how fast a part that ended is started again; seconds."""

    first_wait: float = 1.0
    longest_wait: float = 30.0
    settled_after: float = 60.0  # alive for so long: the next wait is the first again
    too_many: int = 5  # ends of any part ...
    within: float = 60.0  # ... in this time


class Supervisor:
    """Runs `parts` until a signal or too many ends; they stop in the order given.

    `is_ready` is asked until it says yes, then `on_ready` is called, once. `say` gets one line for each event.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        say: Callable[[str], None],
        patience: Patience = Patience(),
        is_ready: Callable[[], bool] = lambda: True,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._kept = [_Kept(part) for part in parts]
        self._say = say
        self._patience = patience
        self._is_ready = is_ready
        self._on_ready: Callable[[], None] | None = on_ready
        self._ends: deque[float] = deque(maxlen=patience.too_many)

    def run(self) -> int:
        """Exit status: 0 when a signal asked for the end, 1 after too many ends or a second Ctrl-C."""
        with _Signals() as signals:
            try:
                gave_up = self._keep_alive(signals)
                for kept in self._kept:
                    self._stop(kept, signals)
            finally:
                for kept in self._kept:
                    kept.kill()
        return 1 if gave_up or signals.in_haste else 0

    def _keep_alive(self, signals: _Signals) -> bool:
        """Returns when a signal asks for the end (False) or when there were too many ends (True)."""
        while True:
            for kept in self._kept:
                if self._ended_too_often(kept):
                    return True
                if kept.process is None and kept.start_at <= time.monotonic():
                    kept.start()
            self._announce()
            if signals.wait(self._seconds_to_wait()):
                return False

    def _ended_too_often(self, kept: _Kept) -> bool:
        status = kept.collect(self._patience)
        if status is None:
            return False
        self._ends.append(time.monotonic())
        what = _how_it_ended(status)
        if len(self._ends) == self._patience.too_many and self._ends[-1] - self._ends[0] <= self._patience.within:
            self._say(f"{kept.part.name} {what}; {len(self._ends)} ends in {self._patience.within:g} s are too many")
            return True
        self._say(f"{kept.part.name} {what}; it is started again in {kept.wait:g} s")
        return False

    def _announce(self) -> None:
        if self._on_ready is not None and self._is_ready():
            self._on_ready()
            self._on_ready = None

    def _seconds_to_wait(self) -> float:
        now = time.monotonic()
        waits = [kept.start_at - now for kept in self._kept if kept.process is None]
        if self._on_ready is not None:
            waits.append(_PROBE_SECONDS)
        return max(0.0, min(waits, default=_LONGEST_LOOK))

    def _stop(self, kept: _Kept, signals: _Signals) -> None:
        if kept.process is None or signals.in_haste:
            return
        kept.process.terminate()
        deadline = time.monotonic() + kept.part.drain_seconds
        while kept.process.poll() is None and not signals.in_haste:
            left = deadline - time.monotonic()
            if left <= 0:
                self._say(f"{kept.part.name} did not end within {kept.part.drain_seconds:g} s and is killed")
                kept.kill()
                return
            signals.wait(left)


@dataclass
class _Kept:
    """One part and its present process."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0  # monotonic
    started_at: float = 0.0
    wait: float = 0.0  # seconds before the next start

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(self.part.command, stdin=subprocess.DEVNULL, start_new_session=True)

    def collect(self, patience: Patience) -> int | None:
        """The exit status if the process has ended since; then the next start is planned."""
        status = self.process.poll() if self.process is not None else None
        if status is None:
            return None
        self.process = None
        now = time.monotonic()
        is_settled = now - self.started_at >= patience.settled_after
        doubled = 0.0 if is_settled else 2 * self.wait
        self.wait = min(max(doubled, patience.first_wait), patience.longest_wait)
        self.start_at = now + self.wait
        return status

    def kill(self) -> None:
        """End the whole session at once: the process, and what it started.

        Not once the process was waited for: its number may be another's by then.
        """
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class _Signals:
    """Signals as bytes of a pipe: a wait ends at once, and nothing runs inside a handler."""

    def __init__(self) -> None:
        self.in_haste = False  # Ctrl-C came while stopping
        self._is_stopping = False

    def __enter__(self) -> _Signals:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        ignored = {number for number in _STOPPING if signal.getsignal(number) is signal.SIG_IGN}
        wanted = [number for number in (*_STOPPING, signal.SIGCHLD) if number not in ignored]
        self._before = {number: signal.signal(number, lambda *_: None) for number in wanted}
        return self

    def wait(self, seconds: float) -> bool:
        """Wait for a signal, at most so long; True once the end was asked for."""
        select.select([self._read], [], [], seconds)
        with suppress(BlockingIOError):
            for number in os.read(self._read, 512):
                self.in_haste |= self._is_stopping and number == signal.SIGINT
                self._is_stopping |= number in _STOPPING
        return self._is_stopping

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
