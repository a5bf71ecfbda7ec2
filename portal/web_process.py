"""`portal web`: granian serving the portal, blocking threads in as many processes as configured (one).

The processes that answer end with granian's own, and hold nothing of the environment that requests do not need:
granian copies the environment into every request's.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from portal import lifeline
from portal.config import BindAddress, Config, ConfigError

if TYPE_CHECKING:
    from flask import Flask

DRAIN_SECONDS = 10
_LOG_AS_THE_PORTAL = {
    "handlers": {},
    "formatters": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": False}},
}
# How long one thread of a process runs on while another one waits for the interpreter. A page asks for it anew after
# each statement, behind every thread that computes: with Python's own 5 ms it takes seconds beside a crowd at the door.
SWITCH_SECONDS = 0.001
_NOT_FOR_REQUESTS = ("PORTAL_", "HTTP_")  # secrets; and what a request would take for a header


def serve(config: Config) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish those in hand for at most DRAIN_SECONDS.

    Raises ConfigError when nothing can listen at the address, SystemExit(1) when the workers keep ending.
    """
    import structlog
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    require_free(config.bind)
    server = Server(
        "portal:create_app",
        address=_address(config.bind)[4][0],
        port=config.bind.port,
        interface=Interfaces.WSGI,
        workers=config.workers,
        blocking_threads=config.web_threads,
        websockets=False,
        log_access=False,
        log_level=LogLevels.error,
        log_dictconfig=_LOG_AS_THE_PORTAL,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_SECONDS,
    )
    log = structlog.get_logger("portal.web")
    server.on_startup(lambda: log.info("web started", address=str(config.bind)))
    server.on_shutdown(lambda: log.info("web stopped"))
    server.serve(target_loader=partial(application, config, os.getpid()), wrap_loader=False)


def require_free(bind: BindAddress) -> None:
    """Raise ConfigError unless a server can listen at `bind`.

    granian shares its port with whoever else of the same user listens there, so that a second portal would
    answer half of the requests without a word.
    """
    family, kind, protocol, _name, address = _address(bind)
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ConfigError(f"PORTAL_BIND: {_why_not(error, bind)}") from None


def is_listening(bind: BindAddress) -> bool:
    """Whether something takes connections at `bind`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.host, bind.host)  # noqa: S104 - compared, not bound
    try:
        socket.create_connection((host, bind.port), timeout=1).close()
    except OSError:
        return False
    return True


def application(config: Config, parent: int) -> Flask:
    """The portal for one of granian's worker processes, which ends with `parent` and forgets the environment."""
    from portal import create_app

    lifeline.end_with_parent(parent, signal.SIGKILL)
    lifeline.keep_memory_private()
    sys.setswitchinterval(SWITCH_SECONDS)
    app = create_app(config)
    for name in [name for name in os.environ if name.startswith(_NOT_FOR_REQUESTS)]:
        del os.environ[name]
    gc.freeze()  # what is there now lasts: the collector need not look at it again with every few hundred requests
    return app


def _address(bind: BindAddress) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):  # the latter for what is no host name at all
        raise ConfigError(f"PORTAL_BIND: there is no address for {bind.host}") from None
    return found[0]  # type: ignore[return-value]


def _why_not(error: OSError, bind: BindAddress) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"something else listens at {bind} already; stop it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{bind.host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"only root may listen at port {bind.port}; choose one from 1024 on and put a proxy before it"
    return f"nothing can listen at {bind}: {error.strerror}"
