"""Accepting by SMTP: the relay beside Postfix and beside aiosmtpd with the same store, driven by smtp-source.

`python -m bench.relay_case MESSAGES FOLDER [ROUNDS]` prints one JSON line: for 1, 16 and 64 sessions the messages of
4 kB that each accepted in a second, in turn within a round, and the ratios of the rounds. Postfix runs with settings
and a queue of its own in FOLDER, on loopback; what it accepts it hands to its `discard` transport, its cheapest
delivery. The relay accepts from the same client with everything on: it knows it by its network, and applies its
server's rules. Needs smtp-source and, for its part, Postfix and root.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask

SESSIONS = (1, 16, 64)
_SOURCE = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
_POSTFIX = shutil.which("postfix") or "/usr/sbin/postfix"
_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = peer.test
mydestination =
alias_maps =
alias_database =
default_transport = {transport}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
anvil_status_update_time = 3600s
default_process_limit = 150
smtputf8_enable = no
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
"""


def run_source(port: int, sessions: int, messages: int) -> float:
    """Messages a second that the server at this port accepted."""
    command = [_SOURCE, "-d", "-s", str(sessions), "-m", str(messages), "-l", "4096"]
    addresses = ["-f", "scanner@contoso.test", "-t", "ada@contoso.test"]
    started = time.perf_counter()
    subprocess.run([*command, *addresses, f"127.0.0.1:{port}"], check=True, timeout=300)
    return messages / (time.perf_counter() - started)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as found:
                found.recv(100)
                found.sendall(b"QUIT\r\n")
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nobody answers at port {port}")


@contextmanager
def relay(folder: Path) -> Iterator[tuple[int, Callable[[], int]]]:
    """The relay's port, and how many messages it has stored; a process as people run it."""
    from portal import create_app
    from portal.config import load_config
    from portal.schema import upgrade

    port = free_port()
    environ = {"PORTAL_INSTANCE": str(folder), "PORTAL_RELAY_BIND": f"plain://127.0.0.1:{port}"}
    environ["PORTAL_LOG_LEVEL"] = "warning"
    app = create_app(load_config(environ))
    upgrade(app)
    add_server(app)
    with part("relay", environ):
        wait_for(port)
        yield port, lambda: stored(app)


@contextmanager
def part(name: str, environ: dict[str, str]) -> Iterator[None]:
    """A part of the portal, as people run it."""
    process = subprocess.Popen([sys.executable, "-m", "portal.cli", name], env=os.environ | environ)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def add_server(app: Flask) -> None:
    from portal import audit
    from portal.servers import saving
    from portal.servers.values import ServerValues
    from portal.transaction import unit_of_work

    values = ServerValues(name="Scanner", from_address="scanner@contoso.test", networks=("127.0.0.0/8",))
    with app.app_context(), unit_of_work() as session:
        saving.create(session, values, actor=audit.COMMAND_LINE, now=datetime.now(UTC))


def stored(app: Flask) -> int:
    from portal.extensions import db
    from portal.outbox.models import Message

    with app.app_context(), db.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(Message)) or 0


def why_no_postfix() -> str:
    """Why Postfix cannot run here, "" where it can."""
    if not Path(_POSTFIX).exists():
        return "Postfix is not installed"
    return "" if os.geteuid() == 0 else "Postfix needs root"


def why_no_source() -> str:
    """Why nothing can be sent, "" where it can."""
    return "" if Path(_SOURCE).exists() else "smtp-source, which comes with Postfix, is not installed"


@contextmanager
def postfix(folder: Path, *, transport: str = "discard:") -> Iterator[int]:
    """A Postfix of its own, which hands everything to a transport."""
    port, settings = free_port(), folder / "settings"
    for path in (settings, folder / "queue", folder / "data"):
        path.mkdir(parents=True)
    for path in [folder, *folder.parents]:
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    shutil.chown(folder / "data", "postfix")
    (settings / "main.cf").write_text(_MAIN.format(folder=folder, transport=transport))
    services = Path("/usr/share/postfix/master.cf.dist").read_text()
    own = [line for line in services.splitlines() if not line.startswith("smtp      inet")]
    (settings / "master.cf").write_text("\n".join([*own, f"127.0.0.1:{port} inet n - n - - smtpd", ""]))
    for name in ("dynamicmaps.cf", "postfix-files"):
        shutil.copy(f"/etc/postfix/{name}", settings)
    command = [_POSTFIX, "-c", str(settings)]
    subprocess.run([*command, "start"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        subprocess.run([*command, "stop"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def aiosmtpd_relay(folder: Path) -> Iterator[int]:
    """aiosmtpd in front of the same acceptor, without any rules, in a process of its own."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.relay_case", "--peer", str(port), str(folder)])
    try:
        wait_for(port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def serve_peer(port: int, folder: Path) -> None:
    from dataclasses import replace

    from aiosmtpd.smtp import SMTP

    from bench.accept_case import make_engine
    from bench.portal_case import prepared
    from portal.outbox.accept import Acceptor
    from portal.outbox.message_ids import new_id
    from portal.secret_box import SecretBox

    acceptor = Acceptor(make_engine(folder), box=SecretBox(("a key for the benchmark, long enough",)))
    pattern = prepared(0, datetime.now(UTC), None)

    class Handler:
        async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:
            message = replace(pattern, id=new_id(), content=envelope.content)  # type: ignore[attr-defined]
            await asyncio.wrap_future(acceptor.submit([message]))
            return "250 OK"

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: SMTP(Handler(), hostname="peer.test"), "127.0.0.1", port)
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()

    asyncio.run(serve())


def main() -> None:
    messages, folder = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    for name in ("portal", "peer", "postfix"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    found: dict[int, dict[str, list[float]]] = {sessions: {} for sessions in SESSIONS}
    with ExitStack() as stack:
        own, count = stack.enter_context(relay(folder / "portal"))
        ports = {"portal": own, "aiosmtpd": stack.enter_context(aiosmtpd_relay(folder / "peer"))}
        if not why_no_postfix():
            ports["postfix"] = stack.enter_context(postfix(folder / "postfix"))
        sent = 0
        for number in range(rounds):
            names = list(ports) if number % 2 else list(ports)[::-1]
            for sessions in SESSIONS:
                share = messages // 4 if sessions == 1 else messages
                for name in names:
                    found[sessions].setdefault(name, []).append(run_source(ports[name], sessions, share))
                sent += share
        whole = count() == sent
    print(json.dumps({str(sessions): _medians(by_name) for sessions, by_name in found.items()} | {"whole": whole}))


def _medians(by_name: dict[str, list[float]]) -> dict[str, Any]:
    """The median rate of each, and for each peer the ratios of the rounds."""
    own = by_name["portal"]
    medians = {name: statistics.median(rates) for name, rates in by_name.items()}
    ratios = {
        f"times_{name}": [mine / theirs for mine, theirs in zip(own, rates, strict=True)]
        for name, rates in by_name.items()
        if name != "portal"
    }
    return medians | ratios


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        serve_peer(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
