"""Consents that a provider ended, until administrators are told of it: once for each end, whoever found it out.

Mail meets few of them: the daily renewal or a check comes first, and then the way out is left out before any message
takes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.grant_fit import is_dead
from portal.connections.models import Connection, ConnectionGrant
from portal.connections.senders import as_sent
from portal.connections.stored_values import values_of
from portal.connections.values import CONSENT_METHODS, Role

_AS_IT_IS = {"synchronize_session": False}


@dataclass(frozen=True)
class EndedConsent:
    """A consent that is in force no longer, and of which nobody was told."""

    connection_id: UUID
    code: str  # the diagnosis' stable name
    said: str  # by the provider
    since: datetime


def untold_ends(engine: Engine) -> tuple[EndedConsent, ...]:
    """Of the methods in use; a draft's is missed once it is a draft no more. The first to end comes first."""
    both = select(ConnectionGrant, Connection).join(Connection, Connection.id == ConnectionGrant.connection_id)
    used = ConnectionGrant.method == Connection.method, Connection.role != Role.DRAFT
    with Session(engine) as session:
        organisation = email_settings.load(session)
        found = session.execute(both.where(*_dead(), *used, ConnectionGrant.told_at.is_(None))).all()
        ended = [
            EndedConsent(connection.id, grant.dead_code, grant.dead_said, grant.dead_at)
            for grant, connection in found
            if grant.dead_at is not None and is_dead(grant, as_sent(values_of(connection), organisation))
        ]
    return tuple(sorted(ended, key=lambda one: one.since))


def take_end(session: Session, connection_id: UUID, code: str, *, now: datetime) -> bool:
    """Whether a consent has ended so and nobody was told: whoever asks is to tell it, in this transaction."""
    untold = update(ConnectionGrant).where(*_ended_so(connection_id, code), ConnectionGrant.told_at.is_(None))
    taken = untold.values(told_at=now).returning(ConnectionGrant.connection_id)
    return session.scalar(taken, execution_options=_AS_IT_IS) is not None


def is_told(session: Session, connection_id: UUID, code: str) -> bool:
    """Whether a consent has ended so and somebody was told."""
    told = select(ConnectionGrant.connection_id).where(*_ended_so(connection_id, code))
    return session.scalar(told.where(ConnectionGrant.told_at.is_not(None))) is not None


def _ended_so(connection_id: UUID, code: str) -> tuple[ColumnElement[bool], ...]:
    return (*_dead(), ConnectionGrant.connection_id == connection_id, ConnectionGrant.dead_code == code)


def _dead() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ConnectionGrant.dead_code != "", ConnectionGrant.method.in_(CONSENT_METHODS)
