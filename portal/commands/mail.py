"""`portal check` and `portal send-test`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from portal.commands.application import opened

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy.engine import Engine
    from sqlalchemy.orm import Session

    from portal.outbox.message_view import MessageView
    from portal.transports import StepResult

FOLLOW_SECONDS = 60
_LOOK_SECONDS = 0.1


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each step.")
def check(name: str, as_json: bool) -> None:
    """Check the connection NAME step by step, as it is stored; nothing is sent."""
    from portal.transports import StepStatus

    with opened() as app:
        steps = _probe(app, name, as_json)
    failed = next((step for step in steps if step.status is StepStatus.FAIL), None)
    if failed:
        cause = failed.diagnosis.cause if failed.diagnosis else failed.seen
        raise click.ClickException(f"{name}: {failed.step} failed: {cause}")


@click.command()
@click.argument("to")
@click.option("--connection", metavar="NAME", help="Send by this connection instead of the default one.")
@click.option("--kind", default="test", show_default=True, help="Whose wording is tried.")
@click.option("--wait", is_flag=True, help=f"Follow the message to its end, {FOLLOW_SECONDS} s at most.")
def send_test(to: str, connection: str | None, kind: str, wait: bool) -> None:
    """Queue a test message to the address TO."""
    with opened() as app:
        message_id = _queue(app, to, connection, kind)
        click.echo(f"{message_id} queued")
        if wait:
            _follow(message_id)


def _probe(app: Flask, name: str, as_json: bool) -> tuple[StepResult, ...]:
    from portal.connections.probing import NoSuchConnection, probe_named
    from portal.extensions import db

    try:
        return probe_named(
            db.engine,
            name,
            installation=app.extensions["installation"],
            on_step=_print_json if as_json else _print_step,
        )
    except NoSuchConnection:
        raise click.ClickException(f"there is no connection {name}; portal settings export lists all") from None


def _print_json(step: StepResult) -> None:
    diagnosis = step.diagnosis
    found = {
        "step": step.step,
        "status": step.status,
        "elapsed_ms": step.elapsed_ms,
        "seen": str(step.seen),
        "cause": str(diagnosis.cause) if diagnosis else None,
        "who": str(diagnosis.who) if diagnosis else None,
        "remedy": str(diagnosis.remedy) if diagnosis else None,
        "code": diagnosis.code if diagnosis else None,
    }
    click.echo(json.dumps(found, ensure_ascii=False))


def _print_step(step: StepResult) -> None:
    click.echo(f"{step.status:4}  {step.step:12} {step.elapsed_ms:6} ms  {step.seen}".rstrip())
    if step.diagnosis:
        for label, text in (
            ("Cause", step.diagnosis.cause),
            ("Who can mend it", step.diagnosis.who),
            ("What to do", step.diagnosis.remedy),
        ):
            click.echo(f"      {label}: {text}")


def _queue(app: Flask, to: str, connection: str | None, kind: str) -> UUID:
    from portal import audit
    from portal.mail.addresses import parse_mailbox
    from portal.message_templates.kinds import UnknownKind
    from portal.message_templates.kinds import kind as kind_named
    from portal.test_messages.sending import TestMessage, send_test_message
    from portal.transaction import unit_of_work

    try:
        kind_named(kind)
    except UnknownKind:
        raise click.BadParameter(f"there is no kind {kind}", param_hint="--kind") from None
    with unit_of_work() as session:
        connection_id = _connection_id(app, session, connection) if connection else None
        return send_test_message(
            session,
            TestMessage(to=parse_mailbox(to), connection_id=connection_id, kind=kind),
            actor=audit.COMMAND_LINE,
            installation=app.extensions["installation"],
            portal_url=app.config["PORTAL"].public_url,
            now=datetime.now(UTC),
        )


def _connection_id(app: Flask, session: Session, name: str) -> UUID:
    from portal.connections.stored import find_named

    found = find_named(session, name, box=app.extensions["secret_box"])
    if found is None:
        raise click.ClickException(f"there is no connection {name}; portal settings export lists all")
    return found.id


def _follow(message_id: UUID) -> None:
    """Until the message is at an end. A test message is tried once, so that its end is not far."""
    from portal.extensions import db
    from portal.outbox.states import State

    deadline = time.monotonic() + FOLLOW_SECONDS
    while not _is_over(found := _look(db.engine, message_id)):
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"{message_id} is still {found.status} after {FOLLOW_SECONDS} s; portal doctor says what is wrong"
            )
        time.sleep(_LOOK_SECONDS)
    said = _last_word(found)
    if found.status is not State.SENT:
        raise click.ClickException(f"{message_id} {found.status}: {said}")
    click.echo(f"{message_id} sent: {said}")


def _is_over(found: MessageView) -> bool:
    """A test message whose answer was lost is not tried again."""
    from portal.outbox.states import State

    return found.is_ended or found.status is State.UNCERTAIN


def _look(engine: Engine, message_id: UUID) -> MessageView:
    from sqlalchemy.orm import Session

    from portal.outbox import history

    with Session(engine) as session:
        found = history.find(session, message_id)
    if found is None:
        raise click.ClickException(f"{message_id} is gone")
    return found


def _last_word(found: MessageView) -> str:
    """What the server answered in the end, or what stood against it."""
    if not found.attempts:
        return "it was never tried"
    last = found.attempts[-1]
    return str(last.reply or last.seen or last.reason or last.code)
