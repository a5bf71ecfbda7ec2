"""Pages while 64 people sign in at once: a real `portal web`, the slowest pages beside those of an idle portal.

`python -m bench.sign_in_case FOLDER` prints one JSON line. The sign-ins come from a process of their own and never
pause, but for the time that the portal asks them to wait (429, Retry-After); each fetches its form anew.
Load and reader share the portal's cores. What they take of them is told with the figures, so that nobody takes it for
the portal's: `load_cores` is the CPU time of the load for each second, `late_ms` by how much the reader itself woke
later than it asked to, at the same 99th percentile as the pages.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

from bench.web_server import web_server

AT_ONCE = 64
SECONDS = 10.0  # of each of the two measurements
PAUSE = 0.01  # seconds between two pages
WARM_UP = 20  # pages that are not counted
PATH = "/profile"
PASSWORD = "correct horse battery staple 9"
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


class Browser:
    """One connection, its cookies, and the token of its forms."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookies: dict[str, str] = {}

    def send(self, method: str, path: str, form: dict[str, str] | None = None) -> http.client.HTTPResponse:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        self.connection.request(method, path, urlencode(form) if form else None, headers | (HEADERS if form else {}))
        answer = self.connection.getresponse()
        for header in answer.msg.get_all("Set-Cookie", []):
            self.cookies |= {name: one.value for name, one in SimpleCookie(header).items()}
        return answer

    def sign_in(self, email: str) -> int:
        """Forget everything, fetch the form and send it; wait as long as the portal asks for."""
        self.cookies.clear()
        page = self.send("GET", "/sign-in").read().decode()
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None
        answer = self.send("POST", "/sign-in", {"csrf_token": token[1], "email": email, "password": PASSWORD})
        answer.read()
        if answer.status == 429:
            time.sleep(float(answer.headers["Retry-After"]))
        return answer.status


def set_up(folder: Path, port: int) -> dict[str, str]:
    """An installation with as many people as sign in at once, and one more; returns its environment."""
    environ = os.environ | {
        "PORTAL_INSTANCE": str(folder),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PORTAL_SECRET_KEY": secrets.token_urlsafe(32),
        "PORTAL_LOG_LEVEL": "warning",
    }
    subprocess.run([sys.executable, "-m", "portal.cli", "upgrade", "--quiet"], env=environ, check=True)
    from portal import create_app
    from portal.accounts.models import User
    from portal.accounts.passwords import hash_password
    from portal.config import load_config
    from portal.transaction import unit_of_work

    app, password_hash, now = create_app(load_config(environ)), hash_password(PASSWORD), datetime.now(UTC)
    with app.app_context(), unit_of_work() as session:
        for number in range(AT_ONCE + 1):
            email = f"user{number}@contoso.test"
            user = User(id=uuid4(), email=email, email_key=email, role="user", created_at=now)
            user.password_hash, user.password_changed_at = password_hash, now
            session.add(user)
    return environ


def sign_in_for_ever(port: int) -> None:
    """The load: prints how many have signed in, and what that took of the cores, when its standard input ends."""
    done: list[int] = []
    began, used = time.monotonic(), time.process_time()

    def go_on(number: int) -> None:
        browser = Browser(port)
        while True:
            done.append(browser.sign_in(f"user{number}@contoso.test"))

    for number in range(AT_ONCE):
        threading.Thread(target=go_on, args=(number,), daemon=True).start()
    sys.stdin.read()
    cores = (time.process_time() - used) / (time.monotonic() - began)
    counts = {"signed_in": done.count(303), "told_to_wait": done.count(429), "answers": len(done)}
    print(json.dumps({**counts, "load_cores": cores}), flush=True)
    os._exit(0)


@dataclass(frozen=True)
class Pages:
    """Milliseconds: half of the pages, and 99 of 100, came within; 99 of 100 times the reader woke no later than."""

    median_ms: float
    p99_ms: float
    late_ms: float


def read_pages(browser: Browser) -> Pages:
    """One page after the other, with a short pause in between, as many as there is time for."""
    taken, late, ends_at = [], [], time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        started = time.perf_counter()
        answer = browser.send("GET", PATH)
        answer.read()
        ended = time.perf_counter()
        assert answer.status == 200, answer.status
        time.sleep(PAUSE)
        taken.append(1000 * (ended - started))
        late.append(1000 * (time.perf_counter() - ended - PAUSE))
    return Pages(statistics.median(taken), slowest_of_a_hundred(taken), slowest_of_a_hundred(late))


def slowest_of_a_hundred(values: list[float]) -> float:
    return sorted(values)[max(0, round(0.99 * len(values)) - 1)]


def measure(port: int) -> dict[str, float]:
    reader = Browser(port)
    assert reader.sign_in(f"user{AT_ONCE}@contoso.test") == 303
    for _ in range(WARM_UP):
        reader.send("GET", PATH).read()
    idle = read_pages(reader)
    command = [sys.executable, "-m", "bench.sign_in_case", "load", str(port)]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    busy = read_pages(reader)
    told, _ = load.communicate("", timeout=60)
    return {
        "idle_ms": idle.p99_ms,
        "busy_ms": busy.p99_ms,
        "ratio": busy.p99_ms / idle.p99_ms,
        "idle_median_ms": idle.median_ms,
        "busy_median_ms": busy.median_ms,
        "idle_late_ms": idle.late_ms,
        "busy_late_ms": busy.late_ms,
        **json.loads(told),
    }


def main() -> None:
    if sys.argv[1] == "load":
        sign_in_for_ever(int(sys.argv[2]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    with web_server(port, set_up(Path(sys.argv[1]), port)):
        print(json.dumps(measure(port)))


if __name__ == "__main__":
    main()
