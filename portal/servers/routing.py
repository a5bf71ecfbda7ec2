"""Which way a message takes: the rules in their order, then what the server says, then the default.

A message of a server always waits on a route of that server, `server:<id>` or `server:<id>/rule:<number>`, so that
its switch acts on what waits; what a test key submits waits on `server:<id>/test` and never leaves. Mail of the
portal itself takes `rule:<number>` where a rule is for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import audit, outbox
from portal.connections import AskedWay, find_settings
from portal.servers.kinds import kind_in_words
from portal.servers.models import RoutingRule, Server
from portal.servers.remembering import remembered
from portal.servers.sender_matrix import Decisions, why_impossible
from portal.servers.stored import find
from portal.servers.values import matches, readable_sender
from portal.wording import N_, Text

DEFAULT = "default"
MOST_RULES = 200
_LARGEST_ID = 2**63 - 1
_ROUTE = re.compile(r"(?:server:(?P<server>[0-9a-f-]{36}))?/?(?:rule:(?P<rule>\d+)|(?P<test>test))?")


@dataclass(frozen=True)
class Routed:
    """The route of a message, and why it is that one."""

    route: str
    because: Text


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule; what is empty matches everything."""

    server_id: UUID | None
    sender: str  # an address or @domain
    kind: str
    connection_id: UUID
    id: int = 0
    position: int = 0

    def fits(self, server_id: UUID | None, from_address: str, kind: str) -> bool:
        """Whether the rule is for such a message."""
        return (
            self.server_id in {None, server_id}
            and self.kind in {"", kind}
            and (not self.sender or matches([self.sender], from_address))
        )


class RuleRefused(Exception):
    """The rule cannot be stored; `reason` says why."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def all_rules(session: Session) -> tuple[Rule, ...]:
    """The rules in the order in which they are tried."""
    query = select(RoutingRule).order_by(RoutingRule.position, RoutingRule.id)
    return tuple(_rule(row) for row in session.scalars(query))


@remembered
def route_for(
    session: Session, *, server_id: UUID | None, from_address: str, kind: str, is_test: bool = False
) -> Routed:
    """The route of a message. `from_address` is the one that it is to bear, "" for the way out's own."""
    prefix = f"server:{server_id}" if server_id else ""
    if is_test and prefix:
        return Routed(f"{prefix}/test", N_("It came with a test key: it is kept here and never leaves."))
    for rule in all_rules(session):
        if rule.fits(server_id, from_address, kind):
            return Routed(f"{prefix}/rule:{rule.id}".lstrip("/"), because_of(session, rule))
    if not prefix:
        return Routed(DEFAULT, N_("No rule is for it: it takes the default connection."))
    row = session.get(Server, server_id)
    if row is not None and row.connection_id is not None:
        return Routed(
            prefix, N_("No rule is for it, and the server %(name)s has a connection of its own.", name=row.name)
        )
    return Routed(prefix, N_("No rule is for it, and its server inherits the default connection."))


def asked_way(session: Session, route: str) -> AskedWay:
    """What a route asks for now; one that nobody made takes the default way."""
    parsed = _ROUTE.fullmatch(route)
    if parsed is None:
        return AskedWay()
    server = session.get(Server, UUID(parsed["server"])) if parsed["server"] else None
    if parsed["server"] and server is None:
        return AskedWay(off=N_("The server that sent this message was deleted. An administrator can cancel it."))
    asked = _asked_by(server) if server else AskedWay()
    if parsed["test"]:
        return replace(asked, is_kept_here=True)
    rule = session.get(RoutingRule, int(parsed["rule"])) if parsed["rule"] else None
    return replace(asked, connection_id=rule.connection_id) if rule else asked


def add_rule(
    session: Session, rule: Rule, *, actor: audit.Actor, now: datetime, decided: Decisions | None = None
) -> int:
    """Add a rule at the end. `decided` stands in for what is stored of people's decisions on senders.

    Raises RuleRefused where it is for everything, where its connection is known to refuse the sender, and where there
    are too many.
    """
    if rule.server_id is None and not rule.sender and not rule.kind:
        raise RuleRefused(N_("A rule for all mail is the default connection: choose that under Connections."))
    if (session.scalar(select(func.count()).select_from(RoutingRule)) or 0) >= MOST_RULES:
        raise RuleRefused(N_("There are %(most)s rules already. Remove one first.", most=MOST_RULES))
    reason = why_rule_impossible(session, rule, decided)
    if reason is not None:
        raise RuleRefused(reason)
    last = session.scalar(select(func.max(RoutingRule.position))) or 0
    row = RoutingRule(
        position=last + 1,
        server_id=rule.server_id,
        sender=rule.sender,
        kind=rule.kind,
        connection_id=rule.connection_id,
        created_at=now,
    )
    session.add(row)
    session.flush()
    _record(session, "routing_rule.added", (None, str(because_of(session, _rule(row)))), actor=actor, now=now)
    return row.id


def why_rule_impossible(session: Session, rule: Rule, decided: Decisions | None = None) -> Text | None:
    """Why the rule's connection cannot send as its sender, else as its server's own; None where that is not known."""
    server = find(session, rule.server_id) if rule.server_id and not rule.sender else None
    return why_impossible(session, rule.connection_id, server.values.own_from() if server else rule.sender, decided)


def remove_rule(session: Session, rule_id: int, *, actor: audit.Actor, now: datetime) -> None:
    """Remove a rule; what waits by it takes its server's own way. One that is gone already stays so."""
    is_storable = 0 < rule_id <= _LARGEST_ID
    row = session.get(RoutingRule, rule_id, with_for_update=True, populate_existing=True) if is_storable else None
    if row is None:
        return
    said = str(because_of(session, _rule(row)))
    session.delete(row)
    session.flush()
    outbox.wake(session)
    _record(session, "routing_rule.removed", (said, None), actor=actor, now=now)


def move_rule(session: Session, rule_id: int, *, up: bool, actor: audit.Actor, now: datetime) -> None:
    """Change places with the rule before or after; the first and the last stay where they are."""
    rows: Sequence[RoutingRule] = session.scalars(
        select(RoutingRule).order_by(RoutingRule.position, RoutingRule.id).with_for_update()
    ).all()
    place = next((number for number, row in enumerate(rows) if row.id == rule_id), None)
    other = None if place is None else place - 1 if up else place + 1
    if place is None or other is None or not 0 <= other < len(rows):
        return
    ordered = list(rows)
    ordered[place], ordered[other] = ordered[other], ordered[place]
    for number, row in enumerate(ordered, 1):
        row.position = number
    session.flush()
    said = str(because_of(session, _rule(rows[place])))
    change = (f"{place + 1}: {said}", f"{other + 1}: {said}")
    _record(session, "routing_rule.moved", change, actor=actor, now=now)


def because_of(session: Session, rule: Rule) -> Text:
    """A rule as a sentence."""
    connection = find_settings(session, rule.connection_id)
    server = session.get(Server, rule.server_id) if rule.server_id else None
    return N_(
        "%(which)s leaves by %(connection)s.",
        which=_which(rule, server.name if server else ""),
        connection=connection.name if connection else "?",
    )


_WHICH = {  # by whether it names a server, a sender, a kind
    (True, True, True): N_("Mail of the server %(server)s from %(sender)s and of the kind “%(kind)s”"),
    (True, True, False): N_("Mail of the server %(server)s from %(sender)s"),
    (True, False, True): N_("Mail of the server %(server)s and of the kind “%(kind)s”"),
    (True, False, False): N_("Mail of the server %(server)s"),
    (False, True, True): N_("Mail from %(sender)s and of the kind “%(kind)s”"),
    (False, True, False): N_("Mail from %(sender)s"),
    (False, False, True): N_("Mail of the kind “%(kind)s”"),
    (False, False, False): N_("All mail"),
}


def _which(rule: Rule, server_name: str) -> Text:
    sender = readable_sender(rule.sender) if rule.sender else ""
    kind = kind_in_words(rule.kind) if rule.kind else ""
    told = _WHICH[bool(server_name), bool(sender), bool(kind)]
    return Text(told.template, {"server": server_name, "sender": sender, "kind": kind})


def _asked_by(server: Server) -> AskedWay:
    off = N_("The server %(name)s is switched off. An administrator can switch it on under Servers.", name=server.name)
    return AskedWay(
        connection_id=server.connection_id,
        fallback_ids=None if server.fallback_ids is None else tuple(map(UUID, server.fallback_ids)),
        off=None if server.is_enabled else off,
        is_exempt=server.is_exempt,
    )


def _rule(row: RoutingRule) -> Rule:
    return Rule(
        id=row.id,
        position=row.position,
        server_id=row.server_id,
        sender=row.sender,
        kind=row.kind,
        connection_id=row.connection_id,
    )


def _record(
    session: Session, action: str, change: tuple[str | None, str | None], *, actor: audit.Actor, now: datetime
) -> None:
    audit.record(session, action=action, actor=actor, subject="routing rules", changes={"rule": change}, now=now)
