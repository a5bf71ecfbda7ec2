"""The sealed values of this room, for whoever seals them anew with another key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Text, and_, cast, or_, select, union
from sqlalchemy.orm import Session

from portal.connections import candidates, consent_flows, secrets
from portal.connections.grant_sealing import stored_context
from portal.connections.models import Connection, ConnectionCheck, ConnectionGrant, ConnectionSecret, ConsentFlow
from portal.connections.stored_values import values_of
from portal.connections.unfilled import destination_unfilled, unfilled
from portal.connections.values import ConnectionValues, Method
from portal.sealed_columns import CannotOpen, Reseal, SealedTable, sealed_texts, table_of, text_is_stale
from portal.wording import Text as Sentence


def _values(session: Session, connection_id: UUID, method: str) -> ConnectionValues:
    """Each method keeps its own settings, and its secrets are for where those lead."""
    return replace(values_of(session.get_one(Connection, connection_id)), method=Method(method))


def closed_for_now(session: Session) -> Iterator[tuple[str, str, Sentence]]:
    """Connection, field and reason where what is sealed cannot be opened here, since a placeholder stands for nothing.

    It is not lost: it opens where the variable is set, and with the key that it was sealed with.
    """
    held = union(*(select(table.connection_id, table.method) for table in (ConnectionSecret, ConnectionGrant)))
    for connection_id, method in session.execute(held).all():
        values = _values(session, connection_id, method)
        for field, reason in (unfilled(values) | destination_unfilled(values)).items():
            yield values.name, field, reason


def _secret(session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    values = _values(session, row.connection_id, row.method)
    return {"sealed": reseal(row.sealed, secrets.context_of(row.id, values.destination))}


def _grant(session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    values = _values(session, row.connection_id, row.method)
    return {"sealed": reseal(row.sealed, stored_context(row.connection_id, values))}


def _flow(session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    anew = {"sealed": row.sealed and reseal(row.sealed, consent_flows.secrets_context(row.id))}
    if row.sealed_grant is None:
        return anew
    check = session.get(ConnectionCheck, row.candidate_check_id)
    if check is None or check.candidate is None:
        raise CannotOpen("what it was for is gone")
    values = ConnectionValues.from_json(check.candidate)
    return anew | {"sealed_grant": reseal(row.sealed_grant, consent_flows.grant_context(row.id, values))}


def _check(_session: Session, row: Row[Any], reseal: Reseal) -> dict[str, Any]:
    if row.candidate is None:
        raise CannotOpen("what it was for is gone")
    values = ConnectionValues.from_json(row.candidate)
    context = candidates.secrets_context(row.id, values)
    held = {
        field: {**kept, "sealed": reseal(kept["sealed"], f"{context}:{field}")} if "sealed" in kept else kept
        for field, kept in row.secrets.items()
    }
    grant = row.sealed_grant and reseal(row.sealed_grant, candidates.grant_context(row.id, values))
    return {"secrets": held, "sealed_grant": grant}


def _check_is_stale(key_id: str) -> ColumnElement[bool]:
    """A row's secrets are sealed together, so that one key is all of theirs."""
    held = cast(table_of(ConnectionCheck).c.secrets, Text)
    secrets_are = and_(held.like('%"v1.%'), held.not_like(f'%"v1.{key_id}.%'))
    return or_(secrets_are, text_is_stale(table_of(ConnectionCheck).c.sealed_grant)(key_id))


SEALED = (
    sealed_texts(ConnectionSecret, "sealed", sealed_anew=_secret),
    sealed_texts(ConnectionGrant, "sealed", sealed_anew=_grant),
    sealed_texts(ConsentFlow, "sealed", "sealed_grant", sealed_anew=_flow),
    SealedTable(
        table=table_of(ConnectionCheck),
        columns=("secrets", "sealed_grant"),
        sealed_anew=_check,
        is_stale=_check_is_stale,
    ),
)
