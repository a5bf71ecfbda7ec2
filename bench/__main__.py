"""`make bench`: rounds of each case in turn; ratios pair by pair within a round, then their median.

Prints what it measured and writes bench/results.json: {"goals": [{"id", "what", "value", "goal", "pass"}]}.
Exit status 1 when a goal is missed or a message was lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.load import LOADS

RESULTS = Path(__file__).with_name("results.json")
CASES = ("portal", "post_office")
Results = list[dict[str, dict[str, Any]]]  # of each round: what each case came to


class SinkProcess:
    """The sink beside the cases, in a process of its own."""

    def __enter__(self) -> SinkProcess:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def count(self) -> dict[str, int]:
        """What came in since the last call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def fdatasync_per_second(folder: Path, count: int = 400) -> float:
    """The disk's own pace: 4 kB appends, each synced."""
    with (folder / "noise").open("wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(count):
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
        return count / (time.perf_counter() - started)


def cpu_loop_seconds() -> float:
    """The processor's own pace: a fixed piece of work."""
    started = time.perf_counter()
    sum(number * number for number in range(2_000_000))
    return time.perf_counter() - started


def run_case(name: str, sink: SinkProcess, messages: int, load: str) -> dict[str, Any]:
    """One case in a process of its own, with a folder of its own; the sink's count proves the work."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", f"bench.{name}_case", str(sink.port), str(messages), folder, load],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=600,
        )
    result = json.loads(done.stdout.strip().splitlines()[-1])
    taken = sink.count()
    return result | {
        "per_second": messages / result["seconds"],
        "cpu_ms_per_message": 1000 * result["cpu_seconds"] / messages,
        "taken": taken["messages"],
        "distinct": taken["distinct"],
        "octets_per_message": taken["octets"] // max(taken["messages"], 1),
        "connections": taken["connections"],
    }


def print_header(folder: Path) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, SQLAlchemy {version('SQLAlchemy')}")
    print(f"django {version('django')}, django-post_office {version('django-post_office')}")
    print(f"noise: {fdatasync_per_second(folder):.0f} fdatasync/s of 4 kB, CPU loop {cpu_loop_seconds():.3f} s")


def print_row(round_number: int, load: str, name: str, row: dict[str, Any]) -> None:
    print(
        f"round {round_number}  {load:<9}  {name:<12} {row['per_second']:7.0f} msg/s  "
        f"{row['cpu_ms_per_message']:.3f} ms CPU/msg  "
        f"{row['peak_kb'] / 1024:4.0f} MB  {row['taken']} taken, {row['distinct']} distinct, "
        f"{row['octets_per_message']} octets, {row['connections']} connections, synchronous={row['synchronous']}",
        flush=True,
    )


def measure(rounds: int, messages: int) -> dict[str, Results]:
    """Every case with every load in every round, the order turned round by round."""
    results: dict[str, Results] = {load: [] for load in LOADS}
    with SinkProcess() as sink:
        for number in range(1, rounds + 1):
            order = CASES if number % 2 else CASES[::-1]
            for load in LOADS:
                found = {name: run_case(name, sink, messages, load) for name in order}
                for name in CASES:
                    print_row(number, load, name, found[name])
                results[load].append(found)
    return results


def goals(results: dict[str, Results], messages: int) -> list[dict[str, Any]]:
    """Each goal with its figure; a figure counts only if the sink saw every message once."""
    every_row = [row for rounds in results.values() for found in rounds for row in found.values()]
    whole = all(row["taken"] == row["distinct"] == messages for row in every_row)
    return [
        *(_backlog_goal(load, rounds, messages) for load, rounds in results.items()),
        {
            "id": "whole",
            "what": "every message arrived once, in every case",
            "value": whole,
            "goal": True,
            "pass": whole,
        },
    ]


def _backlog_goal(load: str, rounds: Results, messages: int) -> dict[str, Any]:
    ratios = [found["portal"]["per_second"] / found["post_office"]["per_second"] for found in rounds]
    ratio = statistics.median(ratios)
    return {
        "id": f"backlog_{load}",
        "what": f"sending a backlog of {messages} ({load}) on SQLite, times django-post_office "
        f"(median of {len(ratios)}, {min(ratios):.1f} to {max(ratios):.1f})",
        "value": round(ratio, 2),
        "goal": 4,
        "pass": ratio >= 4,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=5000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print_header(Path(folder))
        found = goals(measure(arguments.rounds, arguments.messages), arguments.messages)
        print(f"noise after: {fdatasync_per_second(Path(folder)):.0f} fdatasync/s, CPU loop {cpu_loop_seconds():.3f} s")
    for goal in found:
        print(f"{'pass' if goal['pass'] else 'MISS'}  {goal['value']} (goal {goal['goal']})  {goal['what']}")
    RESULTS.write_text(json.dumps({"goals": found}, indent=2) + "\n")
    return 0 if all(goal["pass"] for goal in found) else 1


if __name__ == "__main__":
    sys.exit(main())
