"""Which From may leave by which connection: what people decided, and what the portal saw itself.

A person's decision is stored. What the portal sees is read anew each time, so that it is never older than what it
comes from: a connection's own address, who consented, the newest dry run, what Gmail lists, and the senders that its
server refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias, cast
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import audit, email_settings, outbox
from portal.connections import SenderRules, StoredConnection, find_settings, sender_of, senders_seen
from portal.mail.addresses import same_address_key
from portal.servers.models import SenderPermission
from portal.servers.remembering import remembered
from portal.servers.values import ServerValues, matches, readable_sender, sender_key
from portal.wording import N_, Text

Verdict = Literal["allowed", "rewritten", "refused"]
Decisions: TypeAlias = Mapping[UUID, Mapping[str, Verdict]]  # by connection and `sender_key`
VERDICTS: tuple[Verdict, ...] = ("allowed", "rewritten", "refused")
_BECAUSE: Mapping[tuple[str, bool], tuple[Verdict, Text]] = {
    ("check", True): ("allowed", N_("The last check let it through.")),
    ("check", False): ("refused", N_("The last check was refused.")),
    ("gmail", True): ("allowed", N_("Gmail lists it under “Send mail as”.")),
    ("gmail", False): ("rewritten", N_("Gmail lists it under “Send mail as”, but nobody has confirmed it there yet.")),
}


@dataclass(frozen=True)
class Finding:
    """What is known of one From on one connection. `is_decided`: by a person, who may take it back."""

    connection_id: UUID
    sender: str  # an address or @domain
    verdict: Verdict
    because: Text
    is_decided: bool = False


def decide(
    session: Session,
    connection: StoredConnection,
    sender: str,
    verdict: Verdict,
    *,
    actor: audit.Actor,
    now: datetime,
) -> None:
    """Store what a person knows; a former decision on the same sender there, however it was spelled, goes."""
    rows = _rows_on(session, connection.id, sender)
    before = rows[-1].verdict if rows else None
    row = rows.pop() if rows else SenderPermission(connection_id=connection.id, sender=sender)
    row.verdict, row.decided_at, row.decided_by = verdict, now, actor.name
    session.add(row)
    for older in rows:
        session.delete(older)
    session.flush()
    _record(session, connection.values.name, sender, (before, verdict), actor=actor, now=now)
    if verdict != "refused":
        _let_go(session, connection.id, now)


def forget(session: Session, connection: StoredConnection, sender: str, *, actor: audit.Actor, now: datetime) -> None:
    """Take a decision back; what the portal sees itself holds again."""
    rows = _rows_on(session, connection.id, sender)
    if not rows:
        return
    for row in rows:
        session.delete(row)
    session.flush()
    _record(session, connection.values.name, sender, (rows[-1].verdict, None), actor=actor, now=now)
    _let_go(session, connection.id, now)


@remembered
def decisions(session: Session) -> dict[UUID, dict[str, Verdict]]:
    """What people decided, by connection and `sender_key`; of two spellings of one sender the newest."""
    found: dict[UUID, dict[str, Verdict]] = {}
    for row in session.scalars(_OLDEST_FIRST):
        if key := sender_key(row.sender):
            found.setdefault(row.connection_id, {})[key] = cast("Verdict", row.verdict)
    return found


@remembered
def rules(session: Session) -> Mapping[UUID, SenderRules]:
    """What intake and worker heed: an address goes before its domain."""
    return {
        connection_id: SenderRules(
            allowed=_those(by_sender, "allowed"),
            rewritten=_those(by_sender, "rewritten"),
            refused=_those(by_sender, "refused"),
        )
        for connection_id, by_sender in decisions(session).items()
    }


def findings(session: Session, connections: Sequence[StoredConnection]) -> list[Finding]:
    """Everything that is known, by connection in the order given; a person's decision goes before what was seen."""
    decided = {(row.connection_id, sender_key(row.sender)): row for row in session.scalars(_OLDEST_FIRST)}
    organisation, states = email_settings.load(session), outbox.way_out_states(session)
    found: list[Finding] = []
    for one in connections:
        seen: dict[str, Finding] = {}
        own = sender_of(one.values, organisation).from_address
        if own:
            seen[sender_key(own)] = Finding(one.id, own, "allowed", N_("It is the connection's own address."))
        if one.grant and one.grant.is_good and one.grant.account and same_address_key(one.grant.account):
            account = one.grant.account
            seen[sender_key(account)] = Finding(one.id, account, "allowed", N_("Its owner consented."))
        for sender in senders_seen(session, one.id):
            verdict, because = _BECAUSE[sender.source, sender.is_allowed]
            seen[sender_key(sender.address) or sender.address] = Finding(one.id, sender.address, verdict, because)
        for address, pause in (states[one.id].refused if one.id in states else {}).items():
            said = N_("The server answered: %(said)s", said=pause.said)
            seen[sender_key(address) or address] = Finding(one.id, address, "refused", said)
        for (connection_id, key), row in decided.items():
            if connection_id == one.id:
                seen[key] = Finding(
                    one.id,
                    row.sender,
                    cast("Verdict", row.verdict),
                    _decided_by(row.decided_by),
                    is_decided=True,
                )
        found += [seen[key] for key in sorted(seen)]
    return found


def verdict_on(decided: Decisions, connection_id: UUID, address: str) -> Verdict | None:
    """What people decided of an address or @domain on a connection: of the address itself, else of its domain."""
    by_sender, key = decided.get(connection_id, {}), sender_key(address)
    return (by_sender.get(key) or by_sender.get(f"@{key.rpartition('@')[2]}")) if key else None


def why_impossible(
    session: Session, connection_id: UUID | None, sender: str, decided: Decisions | None = None
) -> Text | None:
    """Why a connection cannot send as an address or @domain, None where nothing is known against it.

    `decided` stands in for what is stored of people's decisions.
    """
    if connection_id is None or not sender:
        return None
    connection = find_settings(session, connection_id)
    decided = decisions(session) if decided is None else decided
    if connection is None or verdict_on(decided, connection_id, sender) != "refused":
        return None
    own = sender_of(connection, email_settings.load(session)).from_address
    if own and matches([own], sender):
        return None
    return N_(
        "The connection %(name)s may not send as %(address)s. Choose another address or connection, or change that "
        "under Servers, Senders.",
        name=connection.name,
        address=readable_sender(sender),
    )


def why_not_its_sender(
    session: Session, values: ServerValues, before: ServerValues | None = None, decided: Decisions | None = None
) -> Text | None:
    """Why the connection that a server names cannot send as the From that it names, be that a placeholder.

    A server that had both `before` keeps them: a refusal that was learned later hinders no other change. `decided` as
    for `why_impossible`.
    """
    own = values.own_from()
    if before is not None and (before.connection_id, before.own_from()) == (values.connection_id, own):
        return None
    return why_impossible(session, values.connection_id, own, decided)


_OLDEST_FIRST = select(SenderPermission).order_by(SenderPermission.decided_at, SenderPermission.sender)


def _rows_on(session: Session, connection_id: UUID, sender: str) -> list[SenderPermission]:
    """What is stored of a sender under whatever spelling, locked; the newest comes last."""
    query = _OLDEST_FIRST.where(SenderPermission.connection_id == connection_id).with_for_update()
    rows = session.scalars(query.execution_options(populate_existing=True))
    return [row for row in rows if sender_key(row.sender) == sender_key(sender)]


def _let_go(session: Session, connection_id: UUID, now: datetime) -> None:
    """Mail that waits since its From was refused there is due, unless it still is."""
    decided = decisions(session)
    outbox.let_go_refused(
        session, connection_id, lambda address: verdict_on(decided, connection_id, address) != "refused", now=now
    )


def _decided_by(name: str) -> Text:
    if name == audit.COMMAND_LINE.name:
        return N_("It was decided on the command line.")
    return N_("%(name)s decided so.", name=audit.starting_actor(name))


def _those(by_sender: Mapping[str, Verdict], verdict: Verdict) -> frozenset[str]:
    return frozenset(sender for sender, found in by_sender.items() if found == verdict)


def _record(
    session: Session,
    connection_name: str,
    sender: str,
    change: tuple[str | None, str | None],
    *,
    actor: audit.Actor,
    now: datetime,
) -> None:
    changes = {sender: change}
    subject = f"connection {connection_name}"
    audit.record(session, action="sender.decided", actor=actor, subject=subject, changes=changes, now=now)
