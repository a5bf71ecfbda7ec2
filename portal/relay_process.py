"""The relay of an application: hands it the database, the one door and the acceptor, and runs it."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog
from flask import Flask

from portal import schema
from portal.accounts import people
from portal.config import BindAddress, Config, ConfigError
from portal.extensions import db
from portal.outbox.accept import Acceptor
from portal.outbox.prepared import PreparedMessage
from portal.relay.clients import Clients
from portal.relay.intake import Intake
from portal.relay.limits import Limits
from portal.relay.repeats import MOST
from portal.relay.server import CannotListen, Relay
from portal.relay.tls import Certificates, CertificateUnusable, own_certificate
from portal.secret_box import SecretBox
from portal.servers import repeating
from portal.transaction import unit_of_work

_BESIDES_CONNECTIONS = 1024  # open files: of the database, and of clients that are told to come again
_log = structlog.get_logger("portal.relay")


async def run_relay(
    app: Flask,
    stop: asyncio.Event,
    *,
    limits: Limits | None = None,
    on_ready: Callable[[list[BindAddress]], None] = lambda _addresses: None,
) -> None:
    """Take mail until `stop` is set. Raises ConfigError where it cannot begin.

    `on_ready` gets the addresses, with the ports that were chosen where a bind left that open.
    """
    limits = limits or Limits()
    _allow_open_files(limits.connections + _BESIDES_CONNECTIONS)
    config: Config = app.config["PORTAL"]
    box: SecretBox = app.extensions["secret_box"]
    certificates = _certificates(config)
    with app.app_context():
        engine = db.engine
    acceptor = Acceptor(engine, box=box)
    intake = Intake(
        engine,
        acceptor,
        host=config.public_host,
        context=app.app_context,
        is_own_person=people.is_taken,
        obstacle=schema.Watch(engine).mismatch,
        on_repeated=partial(_record_repeats, app),
    )
    try:
        relay = Relay(
            Clients(engine, box=box),
            intake,
            host=config.public_host,
            certificates=certificates,
            limits=limits,
        )
        addresses = await relay.listen(config.relay_bind)
        _log.info("relay started", addresses=", ".join(map(str, addresses)))
        on_ready(addresses)
        await relay.serve(stop)
    except CannotListen as error:
        raise ConfigError(str(error)) from None
    finally:
        await asyncio.to_thread(intake.close)
        await asyncio.to_thread(acceptor.close)
    _log.info("relay stopped")


def _record_repeats(app: Flask, prepared: PreparedMessage, address: str) -> None:
    with app.app_context(), unit_of_work() as session:
        now, subject = datetime.now(UTC), prepared.subject
        repeating.record(session, prepared.server_name, subject=subject, times=MOST, address=address, now=now)


def _allow_open_files(wanted: int) -> None:
    """Usual are 1,024, which connections alone could use up; then neither a client nor a database is opened."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    if allowed != resource.RLIM_INFINITY and allowed < more:
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, most))
    if more < wanted:
        _log.warning("few files may be open at once", allowed=more, wanted=wanted)


def _certificates(config: Config) -> Certificates | None:
    """None where every port is plain."""
    if all(bind.scheme == "plain" for bind in config.relay_bind):
        return None
    try:
        if config.relay_certificate is not None:
            return Certificates(config.relay_certificate, config.relay_private_key)
        names = (config.public_host, *(bind.address.host for bind in config.relay_bind))
        return Certificates(own_certificate(config.instance, *names), None)
    except CertificateUnusable as error:
        raise ConfigError(str(error)) from None
