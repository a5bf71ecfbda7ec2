"""`portal outbox list`, `show`, `retry` and `cancel`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from portal.commands.application import opened

if TYPE_CHECKING:
    from portal.outbox.message_view import AttemptView, DeliveryView, MessageView, RecipientView

_STATES = ("queued", "sending", "deferred", "sent", "uncertain", "failed", "expired", "cancelled", "held")
_MOST = 1000

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
message = click.argument("message_id", metavar="ID", type=click.UUID)


@click.group()
def outbox() -> None:
    """Messages: what waits, what left, and what did not."""


@outbox.command("list")
@click.option("--status", type=click.Choice(_STATES), help="Only messages of which some recipients are in this state.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True)
@as_json
def list_messages(status: str | None, limit: int, as_json: bool) -> None:
    """List messages, the newest first; with --json one object a line."""
    with opened():
        from portal.extensions import db
        from portal.outbox import history
        from portal.outbox.states import State

        found = history.recent(db.session(), limit=limit, status=State(status) if status else None)
    for one in found:
        if as_json:
            _print_json(
                id=one.id, status=one.status, kind=one.kind, to=one.to, subject=one.subject, created_at=one.created_at
            )
        else:
            to = one.to[0] + (f" and {len(one.to) - 1} more" if len(one.to) > 1 else "")
            click.echo(f"{one.id}  {one.status:9}  {_moment(one.created_at)}  {one.kind}  {to}  {one.subject}")


@outbox.command()
@message
@as_json
def show(message_id: UUID, as_json: bool) -> None:
    """Show a message's recipients and attempts."""
    with opened():
        from portal.extensions import db
        from portal.outbox import history

        found = history.find(db.session(), message_id)
    if found is None:
        raise click.ClickException(f"there is no message {message_id}")
    if as_json:
        _print_json(**_described(found))
    else:
        _print_message(found)


@outbox.command()
@message
@as_json
def retry(message_id: UUID, as_json: bool) -> None:
    """Try a message again at once: what is deferred, uncertain or held."""
    with opened():
        from portal.outbox import commands

        _change(message_id, commands.retry, "message.retried", as_json)


@outbox.command()
@message
@as_json
def cancel(message_id: UUID, as_json: bool) -> None:
    """Cancel a message for those recipients to whom it was not handed over yet."""
    with opened():
        from portal.outbox import commands

        _change(message_id, commands.cancel, "message.cancelled", as_json)


def _change(message_id: UUID, act: Callable[..., None], action: str, as_json: bool) -> None:
    from portal import audit
    from portal.outbox import history
    from portal.transaction import unit_of_work

    now = datetime.now(UTC)
    with unit_of_work() as session:
        act(session, message_id, now=now)
        audit.record(session, action=action, actor=audit.COMMAND_LINE, subject=str(message_id), now=now)
        found = history.find(session, message_id)
    status = found.status if found else "gone"
    if as_json:
        _print_json(id=message_id, status=status)
    else:
        click.echo(f"{message_id} is {status} now.")


def _described(found: MessageView) -> dict[str, Any]:
    return {
        "id": found.id,
        "status": found.status,
        "kind": found.kind,
        "subject": found.subject,
        "message_id": found.message_id,
        "captured": found.captured,
        "created_at": found.created_at,
        "expires_at": found.expires_at,
        "recipients": [_recipient(one) for one in found.recipients],
        "attempts": [_attempt(one) for one in found.attempts],
        "next_try_at": min((d.next_try_at for d in found.deliveries if d.next_try_at), default=None),
        "held_because": [str(d.held_because) for d in found.deliveries if d.held_because],
    }


def _recipient(one: RecipientView) -> dict[str, Any]:
    return {"address": one.address, "status": one.status, "reply": str(one.reply) if one.reply else None}


def _attempt(one: AttemptView) -> dict[str, Any]:
    return {
        "at": one.at,
        "elapsed_ms": one.elapsed_ms,
        "connection": one.connection_name,
        "status": one.status,
        "step": one.step,
        "reply": str(one.reply) if one.reply else None,
        "seen": one.seen or None,
        "code": one.code or None,
    }


def _print_message(found: MessageView) -> None:
    click.echo(f"{found.id}  {found.status}{' (captured)' if found.captured else ''}")
    click.echo(f"{found.kind}: {found.subject}")
    click.echo(f"{found.message_id}, queued {_moment(found.created_at)}, expires {_moment(found.expires_at)}")
    for delivery in found.deliveries:
        _print_delivery(delivery)


def _print_delivery(delivery: DeliveryView) -> None:
    for one in delivery.recipients:
        click.echo(f"to {one.address}: {one.status}")
    for attempt in delivery.attempts:
        said = attempt.reply or attempt.seen or attempt.reason or attempt.code
        by = f"by {attempt.connection_name}, " if attempt.connection_name else ""
        click.echo(f"  {_moment(attempt.at)}  {attempt.status}, {by}{attempt.step}, {attempt.elapsed_ms} ms: {said}")
    if delivery.held_because:
        click.echo(f"  {delivery.held_because}")
    if delivery.next_try_at:
        click.echo(f"  next try {_moment(delivery.next_try_at)}")


def _print_json(**values: Any) -> None:
    click.echo(json.dumps(values, ensure_ascii=False, default=_json_value))


def _json_value(value: object) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else str(value)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
