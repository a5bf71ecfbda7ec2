"""Reading what became of a server's own messages, and its acts on them: trying again, cancelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit
from portal.mail.addresses import AddressError, parse_address
from portal.outbox import commands, submitted
from portal.outbox.message_view import AttemptView, MessageSummary, MessageView, RecipientView
from portal.outbox.states import State
from portal.servers.callers import Caller
from portal.web.problems import Fault, Problem
from portal.web.translation import machine_time, translate
from portal.wording import N_, Text

USUAL_PAGE, LARGEST_PAGE = 50, 200
PARAMETERS = ("status", "to", "since", "cursor", "limit")
Json = dict[str, Any]
_NOT_YOURS = N_("There is no message with this number, or another server sent it.")
_INVALID = N_("The list of errors names each parameter of the address and what is wrong with it.")


def find(session: Session, caller: Caller, message_id: UUID) -> Json:
    """One message with its recipients and attempts. Raises Problem for one that is not the caller's server's."""
    return _whole(_own(session, caller, message_id))


def page(session: Session, caller: Caller, parameters: Mapping[str, Sequence[str]]) -> Json:
    """The server's messages that the parameters pick, the newest first. Raises Problem."""
    asked, before, limit = _read(parameters)
    found = submitted.page(session, caller.server_id, asked, before=before, limit=limit)
    if found is None:
        raise _invalid([Fault("cursor", N_("This cursor is none that was given out. Begin without one."))])
    cursor = str(found.next) if found.next else None
    return {"messages": [_short(one) for one in found.messages], "next_cursor": cursor}


def retry(session: Session, caller: Caller, message_id: UUID, *, address: str, now: datetime) -> Json:
    """Try again at once. What is held waits for an administrator all the same. Raises Problem."""
    view = _own(session, caller, message_id)
    if view.status is State.HELD:
        raise Problem("wrong-state", N_("This message is held: an administrator has to release it."))
    try:
        commands.retry(session, message_id, now=now)
    except commands.NotPossible as error:
        raise Problem("wrong-state", error.reason) from error
    audit.record(session, action="message.retried", actor=actor_of(caller, address), subject=_subject(view), now=now)
    return find(session, caller, message_id)


def cancel(session: Session, caller: Caller, message_id: UUID, *, address: str, now: datetime) -> Json:
    """Let those recipients go without it to whom it was not handed over yet. Raises Problem."""
    view = _own(session, caller, message_id)
    try:
        commands.cancel(session, message_id, now=now)
    except commands.NotPossible as error:
        raise Problem("wrong-state", error.reason) from error
    audit.record(session, action="message.cancelled", actor=actor_of(caller, address), subject=_subject(view), now=now)
    return find(session, caller, message_id)


def actor_of(caller: Caller, address: str) -> audit.Actor:
    """The server, as the audit log names it: never to be mistaken for a person."""
    return audit.Actor(None, f"server {caller.server_name}", address)


def _own(session: Session, caller: Caller, message_id: UUID) -> MessageView:
    view = submitted.find(session, caller.server_id, message_id)
    if view is None:
        raise Problem("not-found", _NOT_YOURS)
    return view


def _subject(view: MessageView) -> str:
    return f"{view.kind} to {', '.join(view.to)}"


def _read(parameters: Mapping[str, Sequence[str]]) -> tuple[submitted.Asked, UUID | None, int]:
    faults: list[Fault] = []
    for name, values in parameters.items():
        if name not in PARAMETERS:
            reason = N_("There is no such parameter. They are: %(names)s.", names=", ".join(PARAMETERS))
            faults.append(Fault(name[:60], reason))
        elif len(values) > 1:
            faults.append(Fault(name, N_("This parameter stands twice. Give it once.")))
    given = {name: values[0] for name, values in parameters.items() if name in PARAMETERS}
    readers = {"status": _status, "to": _address, "since": _moment, "cursor": _cursor, "limit": _limit}
    read: dict[str, Any] = {}
    for name, text in given.items():
        found = readers[name](text)
        if isinstance(found, Text):
            faults.append(Fault(name, found))
        read[name] = found
    if faults:
        raise _invalid(faults)
    asked = submitted.Asked(status=read.get("status"), to=read.get("to", ""), since=read.get("since"))
    return asked, read.get("cursor"), read.get("limit", USUAL_PAGE)


def _invalid(faults: Sequence[Fault]) -> Problem:
    return Problem("invalid-request", _INVALID, faults=faults)


def _status(text: str) -> State | Text:
    if text in set(State):
        return State(text)
    return N_("There is no such state. The states are: %(names)s.", names=", ".join(State))


def _address(text: str) -> str | Text:
    try:
        return parse_address(text)
    except AddressError as error:
        return error.reason


def _moment(text: str) -> datetime | Text:
    reason = N_("Give a moment with its time zone, as in 2026-11-21T03:52:11Z (RFC 3339).")
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else reason
    except (ValueError, OverflowError):
        return reason


def _cursor(text: str) -> UUID | Text:
    try:
        return UUID(text)
    except ValueError:
        return N_("This cursor is none that was given out. Begin without one.")


def _limit(text: str) -> int | Text:
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST_PAGE:
        return int(text)
    return N_("Give a whole number from 1 to %(most)s.", most=LARGEST_PAGE)


def _short(one: MessageSummary) -> Json:
    return {
        "id": str(one.id),
        "status": str(one.status),
        "subject": one.subject,
        "to": list(one.to),
        "created_at": machine_time(one.created_at),
    }


def _whole(view: MessageView) -> Json:
    return {
        "id": str(view.id),
        "status": str(view.status),
        "subject": view.subject,
        "message_id": view.message_id,
        "created_at": machine_time(view.created_at),
        "expires_at": machine_time(view.expires_at),
        "recipients": [_recipient(one) for one in view.recipients],
        "attempts": [_attempt(one) for one in view.attempts],
    }


def _recipient(one: RecipientView) -> Json:
    reply = str(one.reply) if one.reply else None
    return {"address": one.address, "status": str(one.status), "reply": reply, "code": one.code or None}


def _attempt(one: AttemptView) -> Json:
    return {
        "at": machine_time(one.at),
        "elapsed_ms": one.elapsed_ms,
        "status": str(one.status),
        "step": str(one.step),
        "reply": str(one.reply) if one.reply else None,
        "seen": one.seen or None,
        "code": one.code or None,
        "reason": translate(one.reason) if one.reason else None,
    }
