"""The peer with a queue in SQLite: huey (synced to disk), a consumer of four threads, Django's `send_mail`.

`python -m bench.huey_case PORT MESSAGES FOLDER LOAD` prints one JSON line. The consumer runs in a process of its own,
as huey's documentation has it, from before the clock starts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.load import LOADS

_THREADS = "4"
_LONGEST_SECONDS = 300


def run(count: int, html: str | None) -> float:
    from bench.huey_tasks import huey, send  # opens the queue

    started = time.perf_counter()
    for number in range(count):
        send(number, html)
    while huey.pending_count() and time.perf_counter() - started < _LONGEST_SECONDS:
        time.sleep(0.02)
    return time.perf_counter() - started


def main() -> None:
    os.environ |= {"BENCH_PORT": sys.argv[1], "BENCH_QUEUE": str(Path(sys.argv[3]) / "huey.sqlite3")}
    command = ["huey.bin.huey_consumer", "bench.huey_tasks.huey", "-w", _THREADS, "-k", "thread", "-q"]
    consumer = subprocess.Popen([sys.executable, "-m", *command], stdout=sys.stderr)
    try:
        time.sleep(2)  # it has no sign that it is ready
        seconds = run(int(sys.argv[2]), LOADS[sys.argv[4]])
    finally:
        consumer.send_signal(signal.SIGINT)  # it finishes what is in hand
        consumer.wait(30)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
