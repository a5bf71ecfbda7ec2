"""Create, change and delete connections: each change is audited and counted by the connection's version."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID, uuid4

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit, outbox
from portal.connections import grant_rows, secrets
from portal.connections.models import Connection
from portal.connections.oauth.provider import Grant
from portal.connections.stored import StoredConnection, find, name_key
from portal.connections.stored_values import values_of
from portal.connections.values import ConnectionValues, Method, Role, SecretChanges
from portal.secret_box import SecretBox
from portal.wording import N_

Changes: TypeAlias = dict[str, tuple[Any, Any] | Literal["changed"]]

BUILTIN_NAME = "built-in"


class NameTaken(Exception):
    """Another connection has this name, be it in other letters (upper or lower case)."""

    reason = N_("Another connection has this name. Choose another one.")


class ChangedMeanwhile(Exception):
    """Somebody changed the connection after the version that a change started from, or deleted it."""

    def __init__(self, present: StoredConnection | None) -> None:
        super().__init__("the connection was changed meanwhile")
        self.present = present


class IsDefault(Exception):
    """The default connection can neither be deleted nor given another role: nothing would leave any more."""

    reason = N_("Mail leaves by this connection. Make another connection the default first.")


def create(
    session: Session,
    values: ConnectionValues,
    secret_changes: SecretChanges,
    *,
    grant: Grant | None = None,
    box: SecretBox,
    actor: audit.Actor,
    now: datetime,
) -> UUID:
    """Store a new connection. Raises NameTaken."""
    _refuse_taken(session, values.name, None)
    connection_id = uuid4()
    row = Connection(id=connection_id, version=1, created_at=now, method_values={})
    _write(session, row, values, actor=actor, now=now)
    changes: Changes = {name: (None, value) for name, value in values.named().items() if value is not None}
    for field in secrets.store(session, connection_id, None, values, secret_changes, box=box, now=now):
        changes[field] = audit.CHANGED
    if grant is not None:
        grant_rows.store(session, connection_id, values, grant, box=box, now=now)
        changes["consent"] = (None, grant.account)
    _record(session, "connection.created", values.name, changes, actor=actor, now=now)
    return connection_id


def change(
    session: Session,
    connection_id: UUID,
    values: ConnectionValues,
    secret_changes: SecretChanges,
    *,
    grant: Grant | None = None,
    box: SecretBox,
    actor: audit.Actor,
    now: datetime,
    expected_version: int | None = None,
) -> None:
    """Store changed values; a paused way out is tried anew. What is equal already is not a change.

    The stored secrets and consent are dropped where their destination changed and no new ones came. Raises NameTaken,
    IsDefault where the default would get another role, and ChangedMeanwhile when `expected_version` is given and is
    not the stored one, or the connection is gone.
    """
    row = session.scalars(_locked(connection_id)).one_or_none()
    if row is None or (expected_version is not None and row.version != expected_version):
        raise ChangedMeanwhile(find(session, connection_id, box=box))
    if row.role == Role.DEFAULT and values.role is not Role.DEFAULT:
        raise IsDefault
    _refuse_taken(session, values.name, connection_id)
    before = values_of(row)
    changes = _differences(before, values)
    for field in secrets.store(session, connection_id, before, values, secret_changes, box=box, now=now):
        changes[field] = audit.CHANGED
    forgotten = grant_rows.forget_moved(session, connection_id, before, values)
    if forgotten:
        changes["consent"] = (forgotten, None)
    if changes:
        grant_rows.outdate(session, connection_id, now=now)
    if grant is not None:
        grant_rows.store(session, connection_id, values, grant, box=box, now=now)
        changes["consent"] = (forgotten or None, grant.account)
    if not changes:
        return
    row.version += 1
    _write(session, row, values, actor=actor, now=now)
    outbox.resume(session, connection_id)
    _record(session, "connection.changed", values.name, changes, actor=actor, now=now)


def delete(session: Session, connection_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """Delete a connection with its secrets and consents; one that is gone already stays so. Raises IsDefault."""
    row = session.scalars(_locked(connection_id)).one_or_none()
    if row is None:
        return
    if row.role == Role.DEFAULT:
        raise IsDefault
    changes: Changes = {name: (value, None) for name, value in values_of(row).named().items() if value is not None}
    for field in secrets.drop_all(session, connection_id):
        changes[field] = audit.CHANGED
    if accounts := grant_rows.forget_all(session, connection_id):
        changes["consent"] = (", ".join(accounts), None)
    session.delete(row)
    session.flush()
    _record(session, "connection.deleted", row.name, changes, actor=actor, now=now)


def ensure_builtin(session: Session, now: datetime) -> None:
    """Give a portal without any connection the built-in mail service as its default."""
    if session.scalars(select(Connection.id).limit(1)).first() is not None:
        return
    row = Connection(id=uuid4(), version=1, created_at=now, method_values={})
    values = ConnectionValues(name=BUILTIN_NAME, method=Method.BUILTIN, role=Role.DEFAULT)
    _write(session, row, values, actor=audit.Actor(None, "the portal", ""), now=now)


def _make_room_for_default(session: Session, connection_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """Whoever is the default becomes available.

    Looked for again until there is none: on PostgreSQL another one may have become the default while this waited
    for the lock of the former.
    """
    others = Connection.role == Role.DEFAULT, Connection.id != connection_id
    while session.scalar(select(Connection.id).where(*others)) is not None:
        locked = select(Connection).where(*others).with_for_update().execution_options(populate_existing=True)
        for row in session.scalars(locked):
            row.role = Role.AVAILABLE
            row.version += 1
            changes: Changes = {"role": (str(Role.DEFAULT), str(Role.AVAILABLE))}
            _record(session, "connection.changed", row.name, changes, actor=actor, now=now)
        session.flush()


def _refuse_taken(session: Session, name: str, own_id: UUID | None) -> None:
    holder = session.scalars(select(Connection.id).where(Connection.name_key == name_key(name))).one_or_none()
    if holder is not None and holder != own_id:
        raise NameTaken


def _write(session: Session, row: Connection, values: ConnectionValues, *, actor: audit.Actor, now: datetime) -> None:
    if values.role is Role.DEFAULT:
        _make_room_for_default(session, row.id, actor=actor, now=now)
    row.name, row.name_key = values.name, name_key(values.name)
    row.method, row.role, row.fallback_order = values.method, values.role, values.fallback_order
    row.method_values = values.method_values()
    row.from_address, row.display_name = values.from_address, values.display_name
    row.reply_to, row.envelope_from = values.reply_to, values.envelope_from
    row.messages_per_minute, row.max_connections = values.messages_per_minute, values.max_connections
    row.changed_at, row.changed_by = now, actor.name
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        if "name_key" not in str(error.orig):
            raise
        raise NameTaken from error  # somebody else stored it at this very moment


def _differences(old: ConnectionValues, new: ConnectionValues) -> Changes:
    before, after = old.named(), new.named()
    return {name: (before[name], after[name]) for name in after if before[name] != after[name]}


def _locked(connection_id: UUID) -> Select[Connection]:
    return (
        select(Connection)
        .where(Connection.id == connection_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _record(session: Session, action: str, name: str, changes: Changes, *, actor: audit.Actor, now: datetime) -> None:
    audit.record(session, action=action, actor=actor, subject=f"connection {name}", changes=changes, now=now)
