"""The peer with a broker: celery (prefork of two, late acknowledgement) on Redis (each write synced), `send_mail`.

`python -m bench.celery_case PORT MESSAGES FOLDER LOAD` prints one JSON line. It starts a Redis of its own on a socket
in FOLDER, and the worker before the clock starts. Needs redis-server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from bench.load import LOADS

_LONGEST_SECONDS = 300
_SERVER = shutil.which("redis-server")
_WORKER = ("-A", "bench.celery_tasks", "worker", "-c", "2", "-P", "prefork", "-l", "error", "--without-gossip")


def why_no_redis() -> str:
    """Why this peer cannot run here; "" when it can."""
    return "" if _SERVER else "redis-server is not installed"


def run(redis: Redis, count: int, html: str | None) -> float:
    from bench.celery_tasks import app, send  # opens the broker

    while not app.control.ping(timeout=0.5):
        pass
    started = time.perf_counter()
    for number in range(count):
        send.delay(number, html)
    while redis.llen("celery") or redis.hlen("unacked"):
        if time.perf_counter() - started > _LONGEST_SECONDS:
            break
        time.sleep(0.02)
    return time.perf_counter() - started


def main() -> None:
    folder = Path(sys.argv[3])
    socket = folder / "redis.sock"
    os.environ |= {"BENCH_PORT": sys.argv[1], "BENCH_BROKER": f"redis+socket://{socket}"}
    synced = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(folder))
    with _running(folder, str(_SERVER), "--port", "0", "--unixsocket", str(socket), *synced):
        redis = _connected(socket)
        with _running(folder, sys.executable, "-m", "celery", *_WORKER):
            seconds = run(redis, int(sys.argv[2]), LOADS[sys.argv[4]])
        found: dict[str, Any] = redis.config_get("appendfsync")
    print(json.dumps({"seconds": seconds} | found))


@contextmanager
def _running(folder: Path, *command: str) -> Iterator[None]:
    with (folder / "said.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()  # both finish what is in hand
        process.wait(30)


def _connected(socket: Path) -> Redis:
    redis = Redis(unix_socket_path=str(socket), decode_responses=True)
    for _ in range(100):
        try:
            redis.ping()
        except NotThere:
            time.sleep(0.05)
        else:
            return redis
    raise TimeoutError("the Redis of this case did not start")


if __name__ == "__main__":
    main()
