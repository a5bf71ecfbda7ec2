"""The goals of taking mail in: by SMTP, over HTTP, and from the call to the next server; median of the rounds."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from bench.celery_case import why_no_redis
from bench.relay_case import why_no_postfix, why_no_source
from bench.sink import SinkProcess

END_TO_END_GOALS = {"post_office": 4.0, "flask_mail": 2.5, "huey": 6.0, "celery": 10.0}  # times each peer
TITLES = {
    "post_office": "django-post_office",
    "flask_mail": "Flask-Mail, which has no queue",
    "huey": "huey with django's send_mail",
    "celery": "celery and Redis with django's send_mail",
}
RELAY_GOAL = 4.0  # times Postfix, with 16 and 64 sessions
RELAY_END_TO_END_GOAL = 3.0  # times Postfix
HTTP_GOALS = {"throughput": 5.0, "p50": 3.0, "p99": 5.0}
_MESSAGES = 3000
_HTTP_SECONDS = 5
Goal = dict[str, Any]


def end_to_end_goals(rounds: int) -> list[Goal]:
    """From the call with subject and text until the sink has it, beside each peer in turn."""
    peers = dict(END_TO_END_GOALS)
    if why_not := why_no_redis():
        _skipped("celery", why_not)
        del peers["celery"]
    ratios: dict[str, list[float]] = {name: [] for name in peers}
    whole = True
    for number in range(1, rounds + 1):
        order = ["portal", *peers]
        with SinkProcess() as sink:
            rates = {name: _end_to_end(name, sink) for name in (order if number % 2 else order[::-1])}
        whole = whole and all(rates.values())
        for name in peers:
            ratios[name].append(rates["portal"] / (rates[name] or rates["portal"]))
        _say(number, "end to end", ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items()))
    what = f"{_MESSAGES} messages from the call to the next server, times {{}}"
    return [
        _at_least(f"end_to_end_{name}", what.format(TITLES[name]), ratios[name], goal, whole=whole)
        for name, goal in peers.items()
    ]


def _end_to_end(name: str, sink: SinkProcess) -> float:
    """Messages a second; 0 where the sink did not see each of them once."""
    case = {"portal": ["end_to_end_case"], "post_office": ["end_to_end_case", "--peer"]}.get(name, [f"{name}_case"])
    with tempfile.TemporaryDirectory() as folder:
        row = _run(*case, str(sink.port), str(_MESSAGES), folder, "text")
    taken = sink.count()
    return _MESSAGES / row["seconds"] if taken["messages"] == taken["distinct"] == _MESSAGES else 0.0


def relay_goals(rounds: int) -> list[Goal]:
    """Accepting by SMTP beside Postfix."""
    if why_not := why_no_source() or why_no_postfix():
        return _skipped("relay accept", why_not)
    with tempfile.TemporaryDirectory() as folder:
        row = _run("relay_case", str(_MESSAGES), folder, str(rounds))
    goals = []
    for sessions in ("1", "16", "64"):
        found = row[sessions]
        rates = ", ".join(f"{name} {found[name]:.0f}/s" for name in ("portal", "postfix", "aiosmtpd"))
        print(f"rounds 1 to {rounds}  relay accept, {sessions} sessions: {rates}", flush=True)
        if sessions != "1":
            what = f"messages of 4 kB accepted by SMTP in {sessions} sessions, times Postfix"
            goals.append(_at_least(f"relay_{sessions}", what, found["times_postfix"], RELAY_GOAL, whole=row["whole"]))
    return goals


def relay_end_to_end_goal(rounds: int) -> list[Goal]:
    """By SMTP in and by SMTP out, beside Postfix."""
    if why_not := why_no_source() or why_no_postfix():
        return _skipped("relay end to end", why_not)
    ratios, whole = [], True
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            row = _run("relay_end_to_end_case", str(_MESSAGES), folder, "portal" if number % 2 else "postfix")
        whole = whole and all(one["taken"] == one["distinct"] == _MESSAGES for one in row.values())
        ratios.append(row["portal"]["per_second"] / row["postfix"]["per_second"])
        rates = ", ".join(f"{name} {one['per_second']:.0f}/s" for name, one in row.items())
        _say(number, "relay end to end", rates)
    what = f"{_MESSAGES} messages by SMTP in and out, times Postfix"
    return [_at_least("relay_end_to_end", what, ratios, RELAY_END_TO_END_GOAL, whole=whole)]


def http_goals(rounds: int) -> list[Goal]:
    """Accepting over HTTP beside one commit for each message, and beside the bare disk."""
    found: dict[str, list[float]] = {name: [] for name in HTTP_GOALS}
    whole = True
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            row = _run("http_case", str(_HTTP_SECONDS), folder)
        own, plain, bare, disk = row["portal"], row["one_by_one"], row["bare"], row["fdatasync"]
        whole = whole and own["whole"] and plain["whole"]
        found["throughput"].append(own["per_second"] / plain["per_second"])
        for name in ("p50", "p99"):
            found[name].append(own[f"{name}_ms"] / disk[f"{name}_ms"])
        times = f"p50 {own['p50_ms']:.1f}, p99 {own['p99_ms']:.1f} ms, {own['cpu_ms']:.2f} ms CPU/msg"
        least = f"nothing kept p50 {bare['p50_ms']:.2f}, p99 {bare['p99_ms']:.2f} ms"
        synced = f"fdatasync p50 {disk['p50_ms']:.2f}, p99 {disk['p99_ms']:.2f} ms"
        rates = f"{own['per_second']:.0f}/s ({times}), one by one {plain['per_second']:.0f}/s"
        _say(number, "HTTP", f"{rates}; {least}; {synced}")
    clients = "messages of 4 kB accepted over HTTP for 16 clients"
    what = f"{clients}, times one commit for each"
    goals = [_at_least("http", what, found["throughput"], HTTP_GOALS["throughput"], whole=whole)]
    return goals + [_at_most(f"http_{name}", clients, name, found[name], whole=whole) for name in ("p50", "p99")]


def _run(case: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"bench.{case}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    row: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def _say(number: int, case: str, text: str) -> None:
    print(f"round {number}  {case}: {text}", flush=True)


def _skipped(case: str, why_not: str) -> list[Goal]:
    print(f"skipped: {case}, since {why_not}", flush=True)
    return []


def _at_least(name: str, what: str, ratios: list[float], goal: float, *, whole: bool) -> Goal:
    ratio = statistics.median(ratios)
    return {
        "id": name,
        "what": f"{what} ({_spread(ratios)})",
        "value": round(ratio, 2),
        "goal": goal,
        "pass": ratio >= goal and whole,
    }


def _at_most(name: str, clients: str, part: str, ratios: list[float], *, whole: bool) -> Goal:
    ratio, goal = statistics.median(ratios), HTTP_GOALS[part]
    return {
        "id": name,
        "what": f"{clients}: {part} of the answers, times that of a bare fdatasync loop ({_spread(ratios)})",
        "value": round(ratio, 2),
        "goal": goal,
        "pass": ratio <= goal and whole,
    }


def _spread(ratios: list[float]) -> str:
    return f"median of {len(ratios)}, {min(ratios):.1f} to {max(ratios):.1f}"
