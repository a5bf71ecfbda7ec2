"""Accepting on SQLite (WAL, FULL): the group-commit writer beside one transaction for each message, as many threads.

`python -m bench.accept_case SECONDS FOLDER` prints one JSON line: for each number of threads and both ways the messages
per second, the callers' waits and the processor time of a message in milliseconds, and the ratio of the two.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import Engine

from bench.portal_case import prepared
from portal.database import configure, engine_options, metadata, synchronous_level, writing
from portal.outbox import models
from portal.outbox.accept import Acceptor
from portal.outbox.prepared import PreparedMessage
from portal.outbox.queue import pack, store
from portal.secret_box import SecretBox

THREADS = (1, 16, 64)
_MADE = 4000  # messages that are ready for each way; a way ends when they are used up


def make_engine(folder: Path) -> Engine:
    url = f"sqlite:///{folder / 'accept.sqlite3'}"
    engine = create_engine(url, **engine_options(url))
    configure(engine)
    metadata.create_all(engine)
    return engine


Accept = Callable[[PreparedMessage], object]


def one_by_one(engine: Engine, box: SecretBox) -> Accept:
    """The plain way, as a unit of work has it: a transaction for each message, on a connection of the pool."""

    def accept(message: PreparedMessage) -> None:
        with writing(engine).begin() as connection:
            store(connection, [pack(message, box=box)])

    return accept


def run(accept: Accept, threads: int, seconds: float) -> dict[str, float]:
    """So many threads that accept one message after the other."""
    now = datetime.now(UTC)
    ready = [prepared(number, now, None) for number in range(_MADE)]
    waits: list[float] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        own = []
        while ready and (begun := time.perf_counter()) < end:
            try:
                message = ready.pop()
            except IndexError:
                break
            accept(message)
            own.append(time.perf_counter() - begun)
        waits.extend(own)

    callers = [threading.Thread(target=work) for _ in range(threads)]
    started, cpu = time.perf_counter(), time.process_time()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    elapsed = time.perf_counter() - started
    waits.sort()
    return {
        "accepted": len(waits),
        "per_second": len(waits) / elapsed,
        "p50_ms": 1000 * statistics.median(waits),
        "p99_ms": 1000 * waits[int(len(waits) * 0.99)],
        "cpu_ms": 1000 * (time.process_time() - cpu) / len(waits),
    }


def main() -> None:
    seconds, folder = float(sys.argv[1]), Path(sys.argv[2])
    engine, box = make_engine(folder), SecretBox(("a key for the benchmark, long enough",))
    outcome: dict[str, object] = {}
    total = 0
    for threads in THREADS:
        acceptor = Acceptor(engine, box=box)
        plain = run(one_by_one(engine, box), threads, seconds)
        group = run(acceptor.accept_message, threads, seconds)
        acceptor.close()
        total += int(plain["accepted"] + group["accepted"])
        outcome[str(threads)] = {"plain": plain, "group": group, "ratio": group["per_second"] / plain["per_second"]}
    with engine.connect() as connection:
        whole = connection.scalar(select(func.count()).select_from(models.Delivery)) == total
        outcome |= {"whole": whole, "synchronous": synchronous_level(connection)}
    engine.dispose()
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
