"""Ready bytes by SMTP from a client to the next server: relay and worker of the portal beside Postfix, in turn.

`python -m bench.relay_end_to_end_case MESSAGES FOLDER FIRST` prints one JSON line: for each the messages a second, from
the first command of smtp-source (16 sessions, 4 kB) until the sink has taken the last, and what the sink counted. FIRST
names the one whose turn is first. Both run with all their rules on; the portal syncs each state to disk on SQLite,
Postfix its queue files. Needs Postfix and root.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.relay_case import add_server, free_port, part, postfix, run_source, wait_for
from bench.sink import SinkProcess

_SESSIONS = 16
_LONGEST_SECONDS = 120


@contextmanager
def portal(folder: Path, sink: int) -> Iterator[int]:
    """Relay and worker; the relay's port."""
    from bench.end_to_end_case import wait_for_worker
    from bench.portal_case import environ_of, make_app

    folder.mkdir(parents=True)
    app, port = make_app(sink, folder), free_port()
    add_server(app)
    environ = environ_of(folder) | {"PORTAL_RELAY_BIND": f"plain://127.0.0.1:{port}"}
    with part("relay", environ), part("worker", environ):
        wait_for(port)
        wait_for_worker(app)
        yield port


@contextmanager
def peer(folder: Path, sink: int) -> Iterator[int]:
    """Postfix with the sink as its next server."""
    with postfix(folder, transport=f"smtp:[127.0.0.1]:{sink}") as port:
        yield port


def run(port: int, sink: SinkProcess, messages: int) -> dict[str, float]:
    sink.count()
    started = time.perf_counter()
    source = threading.Thread(target=run_source, args=(port, _SESSIONS, messages))
    source.start()
    while sink.look()["messages"] < messages and time.perf_counter() - started < _LONGEST_SECONDS:
        time.sleep(0.02)
    elapsed = time.perf_counter() - started
    source.join()
    taken = sink.count()
    return {"per_second": messages / elapsed, "taken": taken["messages"], "distinct": taken["distinct"]}


def main() -> None:
    messages, folder = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    found = {}
    with SinkProcess() as sink:
        for name in ("portal", "postfix") if sys.argv[3] == "portal" else ("postfix", "portal"):
            with (portal if name == "portal" else peer)(folder / name, sink.port) as port:
                run_source(port, _SESSIONS, 50)  # every process of both has begun
                time.sleep(1)
                found[name] = run(port, sink, messages)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
