"""`portal run`, `web`, `worker`, `relay` and `upgrade`: what keeps running, and what prepares for it."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from portal import lifeline
from portal.commands.application import running, unchecked
from portal.config import Config, ConfigError, load_config
from portal.supervisor import Part, Supervisor
from portal.web_process import DRAIN_SECONDS as WEB_DRAIN_SECONDS
from portal.web_process import is_listening, require_free, serve

WORKER_DRAIN_SECONDS = 30
RELAY_DRAIN_SECONDS = 20  # conversations, then what waits to be stored
_GRACE_SECONDS = 1  # a part that keeps its own limit is not killed while it does
_PORTAL = (sys.executable, "-P", "-m", "portal.cli")

if TYPE_CHECKING:
    import asyncio

    from flask import Flask

    from portal.accounts.people import NewPerson

supervised_by = click.option("--supervised-by", type=int, hidden=True, help="End with this process.")


@click.command()
def run() -> None:
    """Run web and worker together, after bringing the database up to date. Ctrl-C ends all cleanly.

    Where PORTAL_RELAY_BIND is set, the relay runs beside them.
    """
    config = load_config()
    lifeline.keep_memory_private()
    require_free(config.bind)
    prepared = subprocess.run([*_PORTAL, "upgrade", "--quiet"], stdout=subprocess.PIPE, text=True, check=False)
    if prepared.returncode:
        raise click.exceptions.Exit(1)
    this = ("--supervised-by", str(os.getpid()))
    relay_of_its_own = Part("relay", (*_PORTAL, "relay", *this), RELAY_DRAIN_SECONDS + _GRACE_SECONDS)
    supervisor = Supervisor(
        [
            Part("web", (*_PORTAL, "web", *this), WEB_DRAIN_SECONDS + _GRACE_SECONDS),
            *([relay_of_its_own] if config.relay_bind else []),
            Part("worker", (*_PORTAL, "worker", *this), WORKER_DRAIN_SECONDS + _GRACE_SECONDS),
        ],
        say=partial(_log, config.log_format),
        is_ready=lambda: is_listening(config.bind),
        on_ready=_welcome(config, prepared.stdout),
    )
    raise click.exceptions.Exit(supervisor.run())


@click.command()
@supervised_by
def web(supervised_by: int | None) -> None:
    """Run the web server alone; as many as wanted, on as many machines as wanted."""
    if supervised_by is not None:
        lifeline.end_with_parent(supervised_by, signal.SIGKILL)
    lifeline.keep_memory_private()
    with running() as app:
        config = app.config["PORTAL"]
    serve(config)


@click.command()
@supervised_by
def worker(supervised_by: int | None) -> None:
    """Run the worker alone, which sends what waits in the outbox; as many as wanted."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _frame: _stop_worker(stop, signal.Signals(number)))
    if supervised_by is not None:
        lifeline.end_with_parent(supervised_by, signal.SIGTERM)
    lifeline.keep_memory_private()
    from portal.worker_process import run_worker

    with running() as app:
        run_worker(app, stop)


@click.command()
@supervised_by
def relay(supervised_by: int | None) -> None:
    """Run the relay alone, which takes mail from applications and old devices; as many as wanted."""
    if not load_config().relay_bind:
        raise ConfigError("PORTAL_RELAY_BIND: it is not set; name the addresses, as in starttls://0.0.0.0:1587")
    if supervised_by is not None:
        lifeline.end_with_parent(supervised_by, signal.SIGTERM)
    lifeline.keep_memory_private()
    import asyncio

    with running() as app:
        asyncio.run(_relay_until_signal(app))


async def _relay_until_signal(app: Flask) -> None:
    import asyncio

    from portal.relay_process import run_relay

    gc.freeze()  # what is there now lasts: the collector need not look at it again with every few hundred messages
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, _stop_relay, stop, number)
    await run_relay(app, stop)


def _stop_relay(stop: asyncio.Event, number: signal.Signals) -> None:
    """The first signal lets the relay finish the messages under way, a second Ctrl-C does not."""
    if stop.is_set() and number == signal.SIGINT:
        os._exit(1)
    stop.set()


@click.command()
@click.option("--quiet", "-q", is_flag=True, help="Say nothing where there is nothing to do.")
def upgrade(quiet: bool) -> None:
    """Bring the database up to date, under a lock; on SQLite after a backup."""
    from portal import schema
    from portal.extensions import db

    with unchecked() as app:
        before, after = schema.upgrade(app)
        with schema.one_at_a_time(db.engine):
            setup_address = _first_contents(app.config["PORTAL"])
    if before != after:
        click.echo(f"The database was brought from {before or 'nothing'} to schema {after}.", err=quiet)
    elif not quiet:
        click.echo(f"The database is at schema {after} already.")
    if setup_address:
        click.echo(f"Create the first administrator at {setup_address}")


def _first_contents(config: Config) -> str | None:
    """What every portal has: the built-in connection, and an administrator or the address to become the first."""
    from portal import connections
    from portal.accounts import setup
    from portal.transaction import unit_of_work
    from portal.web.urls import public_url_for

    now = datetime.now(UTC)
    with _naming_the_administrators_variables():
        first = _administrator_asked_for(config)
        with unit_of_work() as session:
            connections.ensure_builtin(session, now)
            if first is not None:
                setup.create_first_admin(session, first, now)
            token = setup.ensure_setup_token(session, now)
    return public_url_for("accounts.set_up", token=token) if token else None


def _administrator_asked_for(config: Config) -> NewPerson | None:
    """The first administrator of the environment, None once there is one."""
    from portal.accounts import setup
    from portal.extensions import db

    if not (config.admin_email and config.admin_password and setup.is_open(db.session())):
        return None
    first = setup.FirstAdministrator(config.admin_email, "", config.admin_password)
    return setup.prepare(db.session(), first, public_host=config.public_host)


@contextmanager
def _naming_the_administrators_variables() -> Iterator[None]:
    from portal.accounts.people import AddressError, NotAdded, WeakPassword

    try:
        yield
    except (AddressError, NotAdded) as error:
        raise ConfigError(f"PORTAL_ADMIN_EMAIL: {error.reason}") from None
    except WeakPassword as error:
        raise ConfigError(f"PORTAL_ADMIN_PASSWORD: {error.reason}") from None


def _log(form: str, event: str) -> None:
    """A line like those of the parts, without what it takes them to log: the parent stays small."""
    moment, level, logger = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "warning", "portal.supervisor"
    if form == "json":
        line = json.dumps({"timestamp": moment, "level": level, "logger": logger, "event": event})
    else:
        line = f"{moment} {level} {logger}: {event}"
    click.echo(line, err=True)


def _welcome(config: Config, prepared: str) -> Callable[[], None]:
    def say() -> None:
        click.echo(f"Mail Portal is at {config.public_url}")
        click.echo(prepared, nl=False)
        if sys.stdout.isatty():
            click.echo("Ctrl-C ends it." if prepared else "Sign in there to connect a mail server. Ctrl-C ends it.")
        sys.stdout.flush()

    return say


def _stop_worker(stop: threading.Event, number: signal.Signals) -> None:
    """The first signal lets the worker finish what it has in hand, a second Ctrl-C does not."""
    if stop.is_set() and number == signal.SIGINT:
        os._exit(1)
    if not stop.is_set():
        stop.set()
        overtime = threading.Timer(WORKER_DRAIN_SECONDS + _GRACE_SECONDS, os._exit, (1,))
        overtime.daemon = True
        overtime.start()
