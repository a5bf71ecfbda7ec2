"""The short writes of a running check: each in its own transaction, from a thread that has no request.

A check that was cancelled, by whatever web process, takes no further writes: every statement names the state
that it starts from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import audit, email_settings, outbox
from portal.connections import grant_rows
from portal.connections.candidates import (
    Candidate,
    candidate_of,
    forget_candidate,
    grant_of,
    is_as_stored,
    seal_grant,
    secrets_of,
    store_candidate,
)
from portal.connections.models import ConnectionCheck
from portal.connections.oauth.provider import Grant
from portal.connections.saving import ChangedMeanwhile, NameTaken
from portal.connections.senders import Sender, sender_of
from portal.connections.senders_seen import learn
from portal.connections.step_records import step_to_json
from portal.connections.stored import StoredConnection, find
from portal.connections.values import ConnectionValues, Method
from portal.database import writing
from portal.secret_box import SecretBox
from portal.transports import StepResult
from portal.transports.gmail_senders import ListedSender
from portal.wording import N_


@dataclass(frozen=True)
class Work:
    """What a check's thread needs, as plain values."""

    candidate: Candidate
    secrets: Mapping[str, str]  # those that can be opened, by field
    has_consent: bool  # somebody consented: for this candidate, or for the stored connection
    sender: Sender
    is_to_be_saved: bool


def begin(engine: Engine, check_id: UUID, *, box: SecretBox, now: datetime) -> Work | None:
    """Mark a waiting check as running and give out its candidate; None where it was cancelled or is gone."""
    with Session(writing(engine)) as session, session.begin():
        row = session.get(ConnectionCheck, check_id, with_for_update=True)
        candidate = candidate_of(row, box=box) if row and row.state == "waiting" else None
        if row is None or candidate is None:
            return None
        row.state, row.started_at, row.heartbeat_at = "running", now, now
        sender = sender_of(candidate.values, email_settings.load(session))
        secrets = secrets_of(session, candidate, box=box)
        has_consent = grant_of(session, candidate, box=box) is not None
        return Work(candidate, secrets, has_consent, sender, row.then == "save")


def record(engine: Engine, check_id: UUID, steps: Sequence[StepResult], *, now: datetime) -> None:
    """Store the steps that ended so far."""
    _write(engine, check_id, steps=[step_to_json(step) for step in steps], heartbeat_at=now)


def keep_grant(engine: Engine, check_id: UUID, values: ConnectionValues, grant: Grant, *, box: SecretBox) -> None:
    """Store what became of the candidate's own consent when it was renewed: the former may be good no more.

    Also of a check that was cancelled meanwhile, whose candidate may still be saved.
    """
    kept = update(ConnectionCheck).where(ConnectionCheck.id == check_id, ConnectionCheck.sealed_grant.is_not(None))
    with writing(engine).begin() as connection:
        connection.execute(kept.values(sealed_grant=seal_grant(check_id, values, grant, box=box)))


def end_interrupted(engine: Engine, check_id: UUID, *, now: datetime) -> None:
    """Write that a check came to no end."""
    _write(engine, check_id, state="interrupted", ended_at=now, heartbeat_at=now)


def end_failed(engine: Engine, check_id: UUID, *, box: SecretBox, now: datetime) -> None:
    """Write that a check failed, and learn from it where the connection is what was checked."""
    with Session(writing(engine)) as session, session.begin():
        row = session.get(ConnectionCheck, check_id, with_for_update=True)
        if row is None or row.state != "running":
            return
        row.state, row.ended_at, row.heartbeat_at = "failed", now, now
        _learn(session, row, box=box)


def end_passed(
    engine: Engine,
    check_id: UUID,
    *,
    app_token: Grant | None = None,
    senders: Sequence[ListedSender] | None = None,
    box: SecretBox,
    now: datetime,
) -> None:
    """Write that a check passed. The connection that it proved as it is stored, if paused, is tried at once.

    With it are kept `app_token`, an application's own, since what it may do is shown until there is another one, and
    the `senders` that the provider lists; None where it did not say.
    """
    with Session(writing(engine)) as session, session.begin():
        row = session.get(ConnectionCheck, check_id, with_for_update=True)
        if row is None or row.state != "running":
            return
        row.state, row.ended_at, row.heartbeat_at = "passed", now, now
        stored = _learn(session, row, senders, box=box)
        if stored is not None:
            _keep_app_token(session, stored.id, stored.values, app_token, box=box, now=now)
            outbox.resume(session, stored.id)  # the connection first, then its way out, as whoever saves it does


def beat(engine: Engine, check_ids: Collection[UUID], *, now: datetime) -> set[UUID]:
    """Say that these checks are alive, waiting for their turn or running. Returns those that go on."""
    alive = ConnectionCheck.id.in_(check_ids) & ConnectionCheck.state.in_(("waiting", "running"))
    beating = update(ConnectionCheck).where(alive).values(heartbeat_at=now).returning(ConnectionCheck.id)
    with writing(engine).begin() as connection:
        return set(connection.scalars(beating))


def save(
    engine: Engine,
    check_id: UUID,
    *,
    app_token: Grant | None = None,
    senders: Sequence[ListedSender] | None = None,
    box: SecretBox,
    now: datetime,
) -> None:
    """Store the candidate of a check that passed and was to be saved, if nobody changed the connection meanwhile.

    `app_token` and `senders` as for `end_passed`.
    """
    try:
        with Session(writing(engine)) as session, session.begin():
            row = session.get(ConnectionCheck, check_id, with_for_update=True)
            candidate = candidate_of(row, box=box) if row and row.state == "running" else None
            if row is None or candidate is None:
                return
            actor = audit.Actor(row.actor_id, row.actor_name, row.actor_address)
            row.connection_id = store_candidate(session, candidate, box=box, actor=actor, now=now)
            _keep_app_token(session, row.connection_id, candidate.values, app_token, box=box, now=now)
            row.state, row.saved, row.ended_at, row.heartbeat_at = "passed", "saved", now, now
            session.flush()
            tried = _from_address(session, candidate.values)
            learn(session, row.connection_id, tried=tried, steps=row.steps, listed=senders)
            forget_candidate(session, check_id)
    except ChangedMeanwhile:
        _write(engine, check_id, state="passed", saved="conflict", ended_at=now, heartbeat_at=now)
    except NameTaken:
        refusal = N_("Another connection has this name. Give this one another name.").to_json()
        _write(engine, check_id, state="passed", saved="refused", refusal=refusal, ended_at=now, heartbeat_at=now)


def _learn(
    session: Session, row: ConnectionCheck, senders: Sequence[ListedSender] | None = None, *, box: SecretBox
) -> StoredConnection | None:
    """The connection, where the check was of what is stored; then what it saw of senders is kept."""
    candidate = candidate_of(row, box=box)
    stored = find(session, row.connection_id, box=box) if row.connection_id else None
    if candidate is None or stored is None or not is_as_stored(candidate, stored):
        return None
    learn(session, stored.id, tried=_from_address(session, stored.values), steps=row.steps, listed=senders)
    return stored


def _from_address(session: Session, values: ConnectionValues) -> str:
    return sender_of(values, email_settings.load(session)).from_address


def _keep_app_token(
    session: Session,
    connection_id: UUID,
    values: ConnectionValues,
    app_token: Grant | None,
    *,
    box: SecretBox,
    now: datetime,
) -> None:
    if app_token is not None and values.method is Method.MICROSOFT_APP:
        grant_rows.store(session, connection_id, values, app_token, box=box, now=now)


def _write(engine: Engine, check_id: UUID, **values: object) -> None:
    running = update(ConnectionCheck).where(ConnectionCheck.id == check_id, ConnectionCheck.state == "running")
    with writing(engine).begin() as connection:
        connection.execute(running.values(**values))
