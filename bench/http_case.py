"""Accepting over HTTP: 16 clients with a key post messages of 4 kB to a real `portal web`, on SQLite (WAL, FULL).

`python -m bench.http_case SECONDS FOLDER` prints one JSON line: for the portal as it is and for the same code with one
commit for each message, the answers a second, their times and the processor time of each; the same for an application
under the same server that reads what comes and keeps nothing; and the times of a bare loop of fdatasync. `whole` says
whether every message that was answered 202, and no other, is in the outbox.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load import BODY
from bench.relay_case import free_port, stored
from bench.web_server import web_server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from flask import Flask

CLIENTS = 16
_SYNCS = 2000
_WARM_UP_SECONDS = 1.0
_ONE_BY_ONE = "--one-by-one"
_BARE = "--bare"
_TICKS = os.sysconf("SC_CLK_TCK")


def serve(is_one_by_one: bool) -> None:
    """`portal web`, whose writer takes one message at a time where that is to be measured."""
    from portal.config import load_config
    from portal.outbox import accept_queue
    from portal.web_process import serve

    if is_one_by_one:
        accept_queue.GROUP_MESSAGES = 1  # granian's worker processes are forked, and so have it too
    serve(load_config())


def serve_bare() -> None:
    """granian as `portal web` runs it, and nothing behind it."""
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    from portal.config import load_config

    config = load_config()
    Server(
        "bench.http_case:keep_nothing",
        address=config.bind.host,
        port=config.bind.port,
        interface=Interfaces.WSGI,
        blocking_threads=config.web_threads,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()


def keep_nothing(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Read the request and answer as if it were taken."""
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("202 Accepted", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]


def set_up(folder: Path, environ: dict[str, str]) -> tuple[Flask, str]:
    """The application, to count in, and a key that may send."""
    from portal import audit, create_app
    from portal.config import load_config
    from portal.schema import upgrade
    from portal.servers import keys, saving
    from portal.servers.keys import KeyValues
    from portal.servers.values import ServerValues
    from portal.transaction import unit_of_work

    folder.mkdir(parents=True)
    app, now = create_app(load_config(environ)), datetime.now(UTC)
    upgrade(app)
    with app.app_context(), unit_of_work() as session:
        values = ServerValues(name="Wiki", from_address="wiki@contoso.test")
        server_id = saving.create(session, values, actor=audit.COMMAND_LINE, now=now)
        wanted = KeyValues(name="Bench", kind="live", scopes=("send",))
        return app, keys.create(session, server_id, wanted, actor=audit.COMMAND_LINE, now=now)


def processor_seconds(group: int) -> float:
    """What the processes of a group have used."""
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[2]) == group:
            used += int(fields[11]) + int(fields[12])
    return used / _TICKS


class Client(threading.Thread):
    """Posts one message after the other over one connection, as cheaply as it can."""

    def __init__(self, port: int, key: str, ends_at: float) -> None:
        super().__init__()
        content = json.dumps({"to": ["ada@contoso.test"], "subject": "Your report", "text": BODY}).encode()
        head = f"POST /api/v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self._request = head.encode() + content
        self._port = port
        self._ends_at = ends_at
        self.waits: list[float] = []
        self.refused = 0

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            while (begun := time.perf_counter()) < self._ends_at:
                connection.sendall(self._request)
                if _answer(connection).startswith(b"HTTP/1.1 202 "):
                    self.waits.append(time.perf_counter() - begun)
                else:
                    self.refused += 1


def _answer(connection: socket.socket) -> bytes:
    data = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("the portal hung up")
        data += piece
        head, separator, rest = data.partition(b"\r\n\r\n")
        if separator:
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            if len(rest) >= int(length.partition(b":")[2]):
                return data


def post(port: int, key: str, seconds: float) -> tuple[list[float], int]:
    """The times of what was taken, in seconds, and how many were refused."""
    clients = [Client(port, key, time.perf_counter() + seconds) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return [wait for client in clients for wait in client.waits], sum(client.refused for client in clients)


def run(folder: Path, seconds: float, *arguments: str) -> dict[str, float | bool]:
    """One of the two ways, with an installation of its own."""
    port = free_port()
    environ = {"PORTAL_INSTANCE": str(folder), "PORTAL_BIND": f"127.0.0.1:{port}"}
    app, key = set_up(folder, environ)
    found, taken, refused = measure(port, environ, key, seconds, *arguments)
    return found | {"whole": stored(app) == taken and not refused}


def run_bare(folder: Path, seconds: float) -> dict[str, float]:
    """The server alone. Raises RuntimeError where it refused something."""
    port = free_port()
    environ = {"PORTAL_INSTANCE": str(folder), "PORTAL_BIND": f"127.0.0.1:{port}"}
    found, _taken, refused = measure(port, environ, "none", seconds, _BARE)
    if refused:
        raise RuntimeError(f"the bare server refused {refused} requests")
    return found


def measure(
    port: int, environ: dict[str, str], key: str, seconds: float, *arguments: str
) -> tuple[dict[str, float], int, int]:
    """What one of the servers did, and how many messages it took in all and refused."""
    with web_server(port, environ, ("bench.http_case", "--serve", *arguments)) as group:
        first, _refused = post(port, key, _WARM_UP_SECONDS)
        used, began = processor_seconds(group), time.perf_counter()
        waits, refused = post(port, key, seconds)
        elapsed, used = time.perf_counter() - began, processor_seconds(group) - used
    found = {"per_second": len(waits) / elapsed, "cpu_ms": 1000 * used / len(waits), **times(waits)}
    return found, len(first) + len(waits), refused


def syncs(folder: Path) -> dict[str, float]:
    """The disk alone: 4 kB appended and synced, by one writer."""
    waits = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            begun = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            waits.append(time.perf_counter() - begun)
    return times(waits)


def times(waits: list[float]) -> dict[str, float]:
    waits.sort()
    return {"p50_ms": 1000 * statistics.median(waits), "p99_ms": 1000 * waits[int(len(waits) * 0.99)]}


def main() -> None:
    seconds, folder = float(sys.argv[1]), Path(sys.argv[2]).resolve()
    ways = {"portal": run(folder / "portal", seconds), "one_by_one": run(folder / "peer", seconds, _ONE_BY_ONE)}
    print(json.dumps(ways | {"bare": run_bare(folder / "bare", seconds), "fdatasync": syncs(folder)}))


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve_bare() if _BARE in sys.argv else serve(_ONE_BY_ONE in sys.argv)
    else:
        main()
