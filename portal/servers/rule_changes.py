"""Changes of routing rules that are there already: which connection one leads to, and the order of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import audit, outbox
from portal.servers.models import RoutingRule
from portal.servers.routing import RuleRefused, all_rules, because_of, why_rule_impossible
from portal.servers.sender_matrix import Decisions


def lead_by(
    session: Session,
    rule_id: int,
    connection_id: UUID,
    *,
    actor: audit.Actor,
    now: datetime,
    decided: Decisions | None = None,
) -> None:
    """Let the rule's mail, also what waits, leave by this connection; one that is gone stays so. Raises RuleRefused.

    `decided` stands in for what is stored of people's decisions on senders.
    """
    row = session.get(RoutingRule, rule_id, with_for_update=True, populate_existing=True)
    if row is None or row.connection_id == connection_id:
        return
    rule = next(one for one in all_rules(session) if one.id == rule_id)
    if reason := why_rule_impossible(session, replace(rule, connection_id=connection_id), decided):
        raise RuleRefused(reason)
    before = str(because_of(session, rule))
    row.connection_id = connection_id
    session.flush()
    outbox.wake(session)
    _record(session, "routing_rule.changed", (before, _said(session, rule_id)), actor=actor, now=now)


def put_in_order(session: Session, rule_ids: Sequence[int], *, actor: audit.Actor, now: datetime) -> None:
    """Try the rules in this order from now on; those that are not named come last, as they stood."""
    rows = list(session.scalars(select(RoutingRule).order_by(RoutingRule.position, RoutingRule.id).with_for_update()))
    places = {rule_id: place for place, rule_id in enumerate(rule_ids)}
    ordered = sorted(rows, key=lambda row: places.get(row.id, len(places)))
    if ordered == rows:
        return
    before = _all_said(session)
    for number, row in enumerate(ordered, 1):
        row.position = number
    session.flush()
    _record(session, "routing_rule.moved", (before, _all_said(session)), actor=actor, now=now)


def _said(session: Session, rule_id: int) -> str:
    return next(str(because_of(session, one)) for one in all_rules(session) if one.id == rule_id)


def _all_said(session: Session) -> str:
    return " ".join(f"{number}: {because_of(session, one)}" for number, one in enumerate(all_rules(session), 1))


def _record(session: Session, action: str, change: tuple[str, str], *, actor: audit.Actor, now: datetime) -> None:
    audit.record(session, action=action, actor=actor, subject="routing rules", changes={"rule": change}, now=now)
