"""The section `senders` of the settings file: what people decided of From addresses. What was seen is no setting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit
from portal.connections import connection_names, find_named
from portal.secret_box import SecretBox
from portal.servers import sender_matrix
from portal.servers.names_in_file import known_names, named
from portal.servers.sender_matrix import VERDICTS, Decisions, Verdict, verdict_on
from portal.servers.values import check_sender, sender_key
from portal.settings_file import Change, Node, Section
from portal.wording import N_

KEYS = ("connection", "sender", "verdict", "absent")


@dataclass(frozen=True)
class _Wish:
    """An entry of the file. `verdict` is None where the decision is to be taken back."""

    node: Node
    connection: str
    sender: str
    verdict: Verdict | None


def make_section(box: SecretBox) -> Section[audit.Actor]:
    """`box` opens the connections."""
    return Section("senders", describe, plan, partial(_apply, box))


def describe(session: Session) -> list[dict[str, Any]]:
    """Every decision, by connection and sender."""
    return [
        {"connection": connection, "sender": sender, "verdict": verdict}
        for (connection, sender), verdict in sorted(_decided(session).items())
    ]


def plan(session: Session, node: Node) -> list[Change]:
    """What `apply` would change. Raises SettingsFileError."""
    return [change for _wish, change in _changes(session, _wishes(session, node))]


def still_decided(session: Session, file: Node | None) -> Decisions:
    """What the servers and rules of a `file` are judged by: refused is what is so both before the file and after it.

    So a refusal that the file takes back forbids them nothing, unless another one takes its place, and what the file
    refuses anew comes after them. All else that was decided counts as allowed. Raises SettingsFileError.
    """
    before, after = sender_matrix.decisions(session), _decided_after(session, file)

    def judged(connection_id: UUID, sender: str) -> Verdict:
        verdicts = {verdict_on(decided, connection_id, sender) for decided in (before, after)}
        return "refused" if verdicts == {"refused"} else "allowed"

    return {
        connection_id: {sender: judged(connection_id, sender) for sender in {*by_sender, *after[connection_id]}}
        for connection_id, by_sender in before.items()
    }


def _decided_after(session: Session, file: Node | None) -> dict[UUID, dict[str, Verdict]]:
    """What will be decided once the `file` is applied, on the connections of which something is decided now."""
    found = {connection_id: dict(by_sender) for connection_id, by_sender in sender_matrix.decisions(session).items()}
    listed, ids = file.child("senders") if file else None, connection_names(session)
    for wish in _wishes(session, replace(listed, root=file)) if listed else ():
        connection_id, key = ids.get(wish.connection), sender_key(wish.sender)
        by_sender = found.get(connection_id, {}) if connection_id else {}  # nothing is stored of a new connection
        if wish.verdict is None:
            by_sender.pop(key, None)
        else:
            by_sender[key] = wish.verdict
    return found


def _apply(box: SecretBox, session: Session, node: Node, actor: audit.Actor, now: datetime) -> list[Change]:
    changes = _changes(session, _wishes(session, node))
    for wish, _change in changes:
        connection = find_named(session, wish.connection, box=box)
        if connection is None:
            wish.node.refuse(N_("there is no connection %(name)s", name=wish.connection))
        if wish.verdict is None:
            sender_matrix.forget(session, connection, wish.sender, actor=actor, now=now)
        else:
            sender_matrix.decide(session, connection, wish.sender, wish.verdict, actor=actor, now=now)
    return [change for _wish, change in changes]


def _wishes(session: Session, node: Node) -> list[_Wish]:
    known = known_names(node, "connections", connection_names(session))
    wishes: list[_Wish] = []
    seen: set[tuple[str, str]] = set()
    for item in node.items():
        item.refuse_unknown(KEYS)
        name = item.required_text("connection")
        connection = named(item, "connection", known, N_("there is no connection %(name)s", name=name))
        sender = (item.child("sender") or item).passed(item.required_text("sender"), check_sender)
        if (connection, sender_key(sender)) in seen:
            item.refuse(N_("%(sender)s stands in the file twice for this connection", sender=sender))
        seen.add((connection, sender_key(sender)))
        wishes.append(_Wish(item, connection, sender, _verdict(item)))
    return wishes


def _verdict(item: Node) -> Verdict | None:
    if item.boolean("absent"):
        if item.has("verdict"):
            item.refuse(N_("an absent decision has no verdict"))
        return None
    item.required_text("verdict")
    return cast("Verdict", item.choice("verdict", VERDICTS))


def _changes(session: Session, wishes: list[_Wish]) -> list[tuple[_Wish, Change]]:
    decided = _decided(session)
    found = []
    for wish in wishes:
        before = decided.get((wish.connection, sender_key(wish.sender)))
        if before != wish.verdict:
            found.append((wish, Change(f"senders.{wish.connection}.{wish.sender}", before, wish.verdict)))
    return found


def _decided(session: Session) -> dict[tuple[str, str], Verdict]:
    names = {connection_id: name for name, connection_id in connection_names(session).items()}
    return {
        (names[connection_id], sender): verdict
        for connection_id, by_sender in sender_matrix.decisions(session).items()
        if connection_id in names
        for sender, verdict in by_sender.items()
    }
