"""Create, change and delete servers: each change is audited and counted by the server's version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit, outbox
from portal.servers import log_ins
from portal.servers.models import Server
from portal.servers.stored import StoredServer, find, lock, name_key, values_of
from portal.servers.values import ServerValues
from portal.wording import N_


class NameTaken(Exception):
    """Another server has this name, be it in other letters (upper or lower case)."""

    reason = N_("Another server has this name. Choose another one.")


class ChangedMeanwhile(Exception):
    """Somebody changed the server after the version that a change started from, or deleted it."""

    def __init__(self, present: StoredServer | None) -> None:
        super().__init__("the server was changed meanwhile")
        self.present = present


def create(session: Session, values: ServerValues, *, actor: audit.Actor, now: datetime) -> UUID:
    """Store a new server. Raises NameTaken."""
    _refuse_taken(session, values.name, None)
    row = Server(id=uuid4(), version=1, created_at=now)
    _write(session, row, values, actor=actor, now=now)
    changes = {name: (None, value) for name, value in values.named().items() if value not in (None, "")}
    _record(session, "server.created", values.name, changes, actor=actor, now=now)
    return row.id


def change(
    session: Session,
    server_id: UUID,
    values: ServerValues,
    *,
    actor: audit.Actor,
    now: datetime,
    expected_version: int | None = None,
) -> None:
    """Store changed values, which act on the next message and on those that wait. What is equal is not a change.

    Where CRAM-MD5 is switched off, the sealed passwords go and their hashes stay. Raises NameTaken, and
    ChangedMeanwhile when `expected_version` is given and is not the stored one, or the server is gone.
    """
    row = lock(session, server_id)
    before = values_of(row) if row else None
    if before == values:
        return
    if row is None or before is None or (expected_version is not None and row.version != expected_version):
        raise ChangedMeanwhile(find(session, server_id))
    _refuse_taken(session, values.name, server_id)
    row.version += 1
    if before.allows_cram_md5 and not values.allows_cram_md5:
        log_ins.forget_sealed(session, server_id)
    _write(session, row, values, actor=actor, now=now)
    outbox.wake(session)
    old = before.named()
    changes = {name: (old[name], value) for name, value in values.named().items()}
    _record(session, "server.changed", values.name, changes, actor=actor, now=now)


def delete(session: Session, server_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """Delete a server with its keys, log-ins, rules and webhooks; one that is gone already stays so."""
    row = lock(session, server_id)
    if row is None:
        return
    changes = {name: (value, None) for name, value in values_of(row).named().items() if value not in (None, "")}
    session.delete(row)
    session.flush()
    outbox.wake(session)
    _record(session, "server.deleted", row.name, changes, actor=actor, now=now)


def _refuse_taken(session: Session, name: str, server_id: UUID | None) -> None:
    taken = select(Server.id).where(Server.name_key == name_key(name))
    if session.scalar(taken) not in {None, server_id}:
        raise NameTaken


def _write(session: Session, row: Server, values: ServerValues, *, actor: audit.Actor, now: datetime) -> None:
    for one in fields(ServerValues):
        setattr(row, one.name, _stored_form(getattr(values, one.name)))
    row.connection_id = values.connection_id
    row.name_key = name_key(values.name)
    row.changed_at = now
    row.changed_by = actor.name
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        if "name_key" not in str(error.orig):
            raise
        raise NameTaken from error  # somebody else stored it at this very moment


def _stored_form(value: Any) -> Any:
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return dict(value) if isinstance(value, Mapping) else value


def _record(
    session: Session,
    action: str,
    name: str,
    changes: Mapping[str, tuple[Any, Any]],
    *,
    actor: audit.Actor,
    now: datetime,
) -> None:
    audit.record(session, action=action, actor=actor, subject=f"server {name}", changes=changes, now=now)
