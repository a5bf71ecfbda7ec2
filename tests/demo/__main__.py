"""`make demo`: the portal with stand-ins for Google, Microsoft and a mail server, and sample data, on this machine.

It listens where `make run` does, or at PORTAL_BIND, in an instance folder of its own; all other variables of the
portal are left aside. The stand-ins have the three ports above. Nothing leaves the machine. Ctrl-C ends it all.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from queue import Empty, SimpleQueue

from portal import create_app, schema
from portal.config import BindAddress, ConfigError, load_config
from portal.extensions import db
from portal.paths import CHECKOUT
from portal.web_process import is_listening, require_free
from tests.demo import guide, sample_data
from tests.demo.arrivals import Arrivals
from tests.demo.stand_ins import Ports, StandIns

FOLDER = CHECKOUT / "instance" / "demo"
_LOOK_SECONDS = 0.1
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NotPossible(Exception):
    """One line that says why the demonstration cannot begin, and what to do."""


def run(bind: BindAddress, folder: Path, *, log_level: str) -> int:
    """Exit status of the portal. Raises NotPossible and ConfigError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = _kept_password(folder / "password")
    stand_ins = StandIns(Ports.above(bind.port), callback_base=f"http://{bind}", folder=folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(stand_ins)
        except OSError as error:
            raise NotPossible(
                f"the stand-ins need the ports {bind.port + 1} to {bind.port + 3}, and one cannot be had "
                f"({os.strerror(error.errno or 0)}); choose others, such as PORTAL_BIND=127.0.0.1:9000"
            ) from None
        environ = {
            "PORTAL_INSTANCE": str(folder),
            "PORTAL_BIND": str(bind),
            "PORTAL_LOG_LEVEL": log_level,
            **stand_ins.environ,
        }
        _prepare(environ, password=password, smtp_port=stand_ins.smtp.port)
        told = guide.text(url=f"http://{bind}", password=password, stand_ins=stand_ins, folder=folder)
        stack.enter_context(Arrivals(stand_ins.received, say=_say))
        return _portal(environ, bind, when_ready=told)


def _kept_password(file: Path) -> str:
    """The one that was made at the first start."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text("-".join(secrets.token_hex(2) for _ in range(4)))
    return file.read_text()


def _prepare(environ: Mapping[str, str], *, password: str, smtp_port: int) -> None:
    own = {name: value for name, value in environ.items() if name.startswith("PORTAL_")}
    app = create_app(load_config(own))
    schema.upgrade(app)
    sample_data.fill(app, password=password, smtp_port=smtp_port, now=datetime.now(UTC))
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def _portal(environ: Mapping[str, str], bind: BindAddress, *, when_ready: str) -> int:
    """`portal run` until it ends; signals are handed on to it, and it ends in order."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    with _signals() as asked:
        # A session of its own: Ctrl-C in a terminal reaches it once, through here.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "portal.cli", "run"], env=kept | dict(environ), start_new_session=True
        )
        is_told = False
        while process.poll() is None:
            if not is_told and is_listening(bind):
                _say(when_ready)
                is_told = True
            with suppress(Empty):
                process.send_signal(asked.get(timeout=_LOOK_SECONDS))
    return process.returncode


@contextmanager
def _signals() -> Iterator[SimpleQueue[int]]:
    """Those that ask for the end, as they come; what is ignored here, as under nohup, stays so."""
    asked: SimpleQueue[int] = SimpleQueue()
    heeded = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _frame: asked.put(number)) for number in heeded}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, flush=True)


def _bind(text: str) -> BindAddress:
    bind = load_config({"PORTAL_BIND": text}).bind
    if bind.port > 65532:
        raise NotPossible("PORTAL_BIND: the demonstration needs the three ports above its own; choose a lower one")
    try:
        is_here = ip_address(bind.host).is_loopback
    except ValueError:
        is_here = bind.host == "localhost"
    if not is_here:
        raise NotPossible("PORTAL_BIND: the demonstration is for this machine alone, such as 127.0.0.1:9000")
    require_free(bind)
    return bind


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description="The portal with nothing real outside.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it is kept from one start to the next")
    folder = parser.parse_args().folder.resolve()
    try:
        bind = _bind(os.environ.get("PORTAL_BIND", "127.0.0.1:8000"))
        return run(bind, folder, log_level=os.environ.get("PORTAL_LOG_LEVEL", "warning"))
    except (ConfigError, NotPossible) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
