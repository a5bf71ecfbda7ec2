"""The section `routing` of the settings file: the rules, each known by the mail that it is for.

Rules that the file names are tried in its order, at the places that they have among the others; new ones come last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.orm import Session

from portal import audit
from portal.connections import connection_names
from portal.servers import routing, rule_changes
from portal.servers.names_in_file import known_names, named
from portal.servers.routing import Rule, RuleRefused
from portal.servers.sender_matrix import Decisions, why_impossible
from portal.servers.sender_section import still_decided
from portal.servers.settings_section import coming
from portal.servers.stored import all_servers, name_key
from portal.servers.values import ServerValues, check_sender
from portal.settings_file import Change, Node, Section
from portal.wording import N_

KEYS = ("server", "sender", "kind", "connection", "absent")
T = TypeVar("T")


class _Mail(NamedTuple):
    """Which mail a rule is for; what is "" is whichever."""

    server: str
    sender: str
    kind: str

    def __str__(self) -> str:
        return ", ".join(filter(None, self))


@dataclass(frozen=True)
class _Wish:
    """An entry of the file. `connection` is "" where the rule is to go."""

    node: Node
    mail: _Mail
    connection: str


def make_section(kinds: Collection[str]) -> Section[audit.Actor]:
    """`kinds` are all kinds of mail that there are."""
    return Section("routing", describe, partial(_plan, kinds), partial(_apply, kinds))


def describe(session: Session) -> list[dict[str, Any]]:
    """The rules in their order, without those that never act since one before them is for the same mail."""
    names = _connection_names(session)
    return [
        {**{key: value for key, value in mail._asdict().items() if value}, "connection": names[rule.connection_id]}
        for mail, rule in _present(session).items()
    ]


def _plan(kinds: Collection[str], session: Session, node: Node) -> list[Change]:
    wishes = _wishes(session, node, kinds)
    changes = _changes(session, wishes)
    _refuse_impossible(session, wishes, coming(session, node.root), still_decided(session, node.root))
    return changes


def _apply(kinds: Collection[str], session: Session, node: Node, actor: audit.Actor, now: datetime) -> list[Change]:
    wishes = _wishes(session, node, kinds)
    changes = _changes(session, wishes)
    if changes:
        _store(session, wishes, still_decided(session, node.root), actor=actor, now=now)
    return changes


def _refuse_impossible(
    session: Session, wishes: Sequence[_Wish], servers: Mapping[str, ServerValues], decided: Decisions
) -> None:
    """What `apply` would refuse of new rules, and of those that lead elsewhere; `servers` as it would find them."""
    connections, present = connection_names(session), _present(session)
    for wish in wishes:
        connection_id, there = connections.get(wish.connection), present.get(wish.mail)
        if there is not None and there.connection_id == connection_id:
            continue
        server = servers.get(name_key(wish.mail.server))
        sender = wish.mail.sender or (server.own_from() if server else "")
        if reason := why_impossible(session, connection_id, sender, decided):
            wish.node.refuse(reason)


def _store(session: Session, wishes: Sequence[_Wish], decided: Decisions, *, actor: audit.Actor, now: datetime) -> None:
    connections = connection_names(session)
    servers = {one.values.name: one.id for one in all_servers(session)}
    present, wanted = _present(session), {wish.mail: wish for wish in wishes}
    for mail, rule in _each(session):
        if mail in wanted and (rule != present[mail] or not wanted[mail].connection):
            routing.remove_rule(session, rule.id, actor=actor, now=now)
    ids = []
    for wish in (one for one in wishes if one.connection):
        connection_id, there = connections[wish.connection], present.get(wish.mail)
        server_id = servers[wish.mail.server] if wish.mail.server else None
        rule = Rule(server_id=server_id, sender=wish.mail.sender, kind=wish.mail.kind, connection_id=connection_id)
        try:
            if there is None:
                ids.append(routing.add_rule(session, rule, actor=actor, now=now, decided=decided))
            else:
                rule_changes.lead_by(session, there.id, connection_id, actor=actor, now=now, decided=decided)
                ids.append(there.id)
        except RuleRefused as refused:
            wish.node.refuse(refused.reason)
    ordered = _in_order([rule.id for rule in routing.all_rules(session)], ids)
    rule_changes.put_in_order(session, ordered, actor=actor, now=now)


def _wishes(session: Session, node: Node, kinds: Collection[str]) -> list[_Wish]:
    connections = known_names(node, "connections", connection_names(session))
    servers = known_names(node, "servers", [one.values.name for one in all_servers(session)])
    wishes: list[_Wish] = []
    seen: set[_Mail] = set()
    for item in node.items():
        item.refuse_unknown(KEYS)
        mail = _mail(item, servers, kinds)
        if mail in seen:
            item.refuse(N_("a rule for the same mail stands in the file twice"))
        seen.add(mail)
        wishes.append(_Wish(item, mail, _connection(item, connections)))
    return wishes


def _mail(item: Node, servers: dict[str, str], kinds: Collection[str]) -> _Mail:
    server, sender = item.text("server") or "", item.text("sender") or ""
    mail = _Mail(
        named(item, "server", servers, N_("there is no server %(name)s", name=server)),
        (item.child("sender") or item).passed(sender, check_sender) if sender else "",
        item.choice("kind", kinds) or "" if item.text("kind") else "",
    )
    if not any(mail):
        item.refuse(N_("a rule names a server, a sender or a kind: for all mail there is the default connection"))
    return mail


def _connection(item: Node, connections: dict[str, str]) -> str:
    if item.boolean("absent"):
        if item.has("connection"):
            item.refuse(N_("an absent rule has no connection"))
        return ""
    name = item.required_text("connection")
    return named(item, "connection", connections, N_("there is no connection %(name)s", name=name))


def _changes(session: Session, wishes: Sequence[_Wish]) -> list[Change]:
    names = _connection_names(session)
    present = {mail: names[rule.connection_id] for mail, rule in _present(session).items()}
    changes = [
        Change(f"routing.{wish.mail}", present.get(wish.mail), wish.connection or None)
        for wish in wishes
        if present.get(wish.mail, "") != wish.connection
    ]
    gone = {wish.mail for wish in wishes if not wish.connection}
    wanted = [wish.mail for wish in wishes if wish.connection]
    before = [mail for mail in present if mail not in gone] + [mail for mail in wanted if mail not in present]
    after = _in_order(before, wanted)
    if after != before:
        changes.append(Change("routing.order", "; ".join(map(str, before)), "; ".join(map(str, after))))
    return changes


def _in_order(present: Sequence[T], wanted: Sequence[T]) -> list[T]:
    """What is there, with those that are wanted in their order at the places that they have together."""
    among, following = set(wanted), iter(wanted)
    return [next(following) if one in among else one for one in present]


def _present(session: Session) -> dict[_Mail, Rule]:
    """The rules that act, in their order."""
    found: dict[_Mail, Rule] = {}
    for mail, rule in _each(session):
        found.setdefault(mail, rule)
    return found


def _each(session: Session) -> list[tuple[_Mail, Rule]]:
    servers = {one.id: one.values.name for one in all_servers(session)}
    return [
        (_Mail(servers[one.server_id] if one.server_id else "", one.sender, one.kind), one)
        for one in routing.all_rules(session)
    ]


def _connection_names(session: Session) -> dict[Any, str]:
    return {connection_id: name for name, connection_id in connection_names(session).items()}
