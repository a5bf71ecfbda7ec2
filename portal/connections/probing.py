"""A connection check without its record: what the pages and the command line share."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.candidates import Candidate, password_of
from portal.connections.installation import Installation
from portal.connections.senders import Sender, sender_of
from portal.connections.stored import find_named
from portal.connections.values import ConnectionValues, SecretChange
from portal.transports import Step, StepResult, StepStatus
from portal.transports.smtp_check import check_smtp
from portal.transports.smtp_settings import Security

OnStep = Callable[[StepResult], None]


class NoSuchConnection(LookupError):
    """There is no connection of that name."""


def step_order(values: ConnectionValues, *, installation: Installation) -> tuple[Step, ...]:
    """The steps of a check in the order in which they are taken."""
    if installation.captures(values):
        return (Step.SETTINGS,)
    settings = installation.smtp_settings(values, "")
    greets_first = not settings.is_implicit_tls and settings.security is not Security.NONE
    opening = (Step.GREETING, Step.TLS) if greets_first else (Step.TLS, Step.GREETING)
    signing_in = (Step.CAPABILITIES, Step.AUTHENTICATE)
    naming = (Step.SENDER, Step.RECIPIENT, Step.DATA)
    return (Step.SETTINGS, Step.TOKEN, Step.RESOLVE, Step.CONNECT, *opening, *signing_in, *naming)


def probe(
    values: ConnectionValues,
    *,
    password: str | None,
    sender: Sender,
    installation: Installation,
    on_step: OnStep,
    cancelled: Callable[[], bool],
) -> tuple[StepResult, ...]:
    """Walk the steps; each is reported as it ends. Nothing is sent: the connection's own From is the recipient.

    A connection that captures passes with its first step, for there is nothing to reach.
    """
    if installation.captures(values):
        kept = StepResult(Step.SETTINGS, StepStatus.PASS, 0, "mail by this connection is kept here; none leaves")
        on_step(kept)
        return (kept,)
    return check_smtp(
        installation.smtp_settings(values, password or ""),
        sender=sender.envelope_from,
        recipient=sender.from_address,
        policy=installation.policy,
        ca_bundle=installation.ca_bundle,
        on_step=on_step,
        cancelled=cancelled,
    )


def probe_named(engine: Engine, name: str, *, installation: Installation, on_step: OnStep) -> tuple[StepResult, ...]:
    """Check a stored connection as it stands. Raises NoSuchConnection."""
    with Session(engine) as session:
        stored = find_named(session, name, box=installation.box)
        if stored is None:
            raise NoSuchConnection(name)
        as_it_stands = Candidate(
            connection_id=stored.id, started_from=stored.version, values=stored.values, secret=SecretChange()
        )
        password = password_of(session, as_it_stands, box=installation.box)
        sender = sender_of(stored.values, email_settings.load(session))
    return probe(
        stored.values,
        password=password,
        sender=sender,
        installation=installation,
        on_step=on_step,
        cancelled=lambda: False,
    )
