"""What was typed in a connection's form, kept for a check: its values, and its secrets sealed.

A candidate serves the session that typed it. It goes after use, or 15 minutes after it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, null, select, update
from sqlalchemy.orm import Session

from portal import audit
from portal.connections.grant_sealing import grant_from_text, grant_to_text, granted_for, open_grant
from portal.connections.models import ConnectionCheck, ConnectionGrant
from portal.connections.oauth.provider import Grant
from portal.connections.registrations import what_registration_lacks
from portal.connections.saving import change, create
from portal.connections.secrets import readable_secrets, why_secret_is_needed
from portal.connections.senders import sender_of
from portal.connections.stored import StoredConnection
from portal.connections.values import (
    ConnectionValues,
    SecretAction,
    SecretChange,
    SecretChanges,
    changes_anything,
)
from portal.email_settings import EmailSettings
from portal.secret_box import SecretBox, Unreadable
from portal.wording import N_, Text

LIFETIME = timedelta(minutes=15)
RESULT_LIFETIME = timedelta(days=1)  # of a check's steps, which hold no secret


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A connection as somebody wants it."""

    connection_id: UUID | None  # None: a new one
    started_from: int  # the version that the form showed, 0 for a new one
    values: ConnectionValues
    secrets: SecretChanges = field(default_factory=dict)
    grant: Grant | None = field(default=None, repr=False)  # what somebody consented to for it


@dataclass(frozen=True)
class Asker:
    """Who asked: a person, in the session that alone may read the check."""

    session_id: UUID
    user_id: UUID
    name: str
    address: str  # that the request came from


def keep(
    session: Session, candidate: Candidate, *, then: str, state: str, asker: Asker, box: SecretBox, now: datetime
) -> UUID:
    """Store a candidate as a check in `state`, and return the check's id. `then` is "show" or "save"."""
    check_id = uuid4()
    context = secrets_context(check_id, candidate.values)
    grant = seal_grant(check_id, candidate.values, candidate.grant, box=box) if candidate.grant else None
    session.add(
        ConnectionCheck(
            id=check_id,
            connection_id=candidate.connection_id,
            started_from=candidate.started_from,
            name=candidate.values.name,
            method=candidate.values.method,
            then=then,
            candidate=candidate.values.to_json(),
            secrets={
                name: _kept_secret(change, box, f"{context}:{name}") for name, change in candidate.secrets.items()
            },
            sealed_grant=grant,
            session_id=asker.session_id,
            actor_id=asker.user_id,
            actor_name=asker.name,
            actor_address=asker.address,
            state=state,
            steps=[],
            saved="",
            created_at=now,
            heartbeat_at=now,
        )
    )
    session.flush()
    return check_id


def seal_grant(check_id: UUID, values: ConnectionValues, grant: Grant, *, box: SecretBox) -> str:
    """What somebody consented to for a candidate, as its check keeps it."""
    return box.seal(grant_to_text(grant), grant_context(check_id, values))


def find_candidate(
    session: Session, check_id: UUID, *, session_id: UUID, box: SecretBox, now: datetime
) -> Candidate | None:
    """The candidate of a check that this session asked for; None once it is gone."""
    row = session.get(ConnectionCheck, check_id)
    if row is None or row.session_id != session_id or now - row.created_at > LIFETIME:
        return None
    return candidate_of(row, box=box)


def candidate_of(row: ConnectionCheck, *, box: SecretBox) -> Candidate | None:
    """The candidate of a row, None once it is gone. A secret that cannot be opened has to be typed again."""
    if row.candidate is None:
        return None
    values = ConnectionValues.from_json(row.candidate)
    context = secrets_context(row.id, values)
    grant = box.open(row.sealed_grant, grant_context(row.id, values)) if row.sealed_grant else None
    return Candidate(
        connection_id=row.connection_id,
        started_from=row.started_from,
        values=values,
        secrets={name: _opened_secret(kept, box, f"{context}:{name}") for name, kept in row.secrets.items()},
        grant=grant_from_text(grant) if isinstance(grant, str) else None,
    )


def secrets_of(session: Session, candidate: Candidate, *, box: SecretBox) -> dict[str, str]:
    """The secrets to sign in with, by field: those that were typed, and the stored ones where they may be used."""
    found: dict[str, str] = {}
    if candidate.connection_id is not None:
        found = readable_secrets(session, candidate.connection_id, candidate.values, box=box)
    for name, wanted in candidate.secrets.items():
        if wanted.action is not SecretAction.KEEP:
            found.pop(name, None)
        if wanted.value:
            found[name] = wanted.value
    return found


def grant_of(session: Session, candidate: Candidate, *, box: SecretBox) -> Grant | None:
    """What somebody consented to for this candidate, else for the connection as it is stored; None where nobody did."""
    if candidate.grant is not None or candidate.connection_id is None:
        return candidate.grant
    row = session.get(ConnectionGrant, (candidate.connection_id, str(candidate.values.method)))
    return open_grant(row, candidate.values, box=box) if row else None


def _kept_secret(change: SecretChange, box: SecretBox, context: str) -> dict[str, str]:
    sealed = {"sealed": box.seal(change.value, context)} if change.value else {}
    return {"action": str(change.action), **sealed}


def _opened_secret(kept: dict[str, str], box: SecretBox, context: str) -> SecretChange:
    if "sealed" not in kept:
        return SecretChange(SecretAction(kept["action"]))
    opened = box.open(kept["sealed"], context)
    return SecretChange() if isinstance(opened, Unreadable) else SecretChange(SecretAction.REPLACE, opened)


def is_as_stored(candidate: Candidate, stored: StoredConnection) -> bool:
    """Whether storing the candidate would change nothing."""
    return candidate.values == stored.values and not changes_anything(candidate.secrets) and candidate.grant is None


def what_is_missing(
    candidate: Candidate, present: StoredConnection | None, organisation: EmailSettings, *, captures: bool
) -> dict[str, Text]:
    """What a candidate still needs before it can send, by field; nothing where it is complete.

    `captures` says that mail by it is kept here, which can be done without a sender.
    """
    missing: dict[str, Text] = what_registration_lacks(candidate.values)
    secret = why_secret_is_needed(
        candidate.values,
        candidate.secrets,
        stored=present.secrets_of(candidate.values.method) if present else {},
        stored_for=present.values if present else None,
    )
    if secret:
        missing.setdefault(*secret)
    if not captures and sender_of(candidate.values, organisation).mailbox is None:
        missing["from_address"] = N_(
            "Enter the address that mail is from: the email settings of the organisation have none yet."
        )
    return missing


def store_candidate(
    session: Session, candidate: Candidate, *, box: SecretBox, actor: audit.Actor, now: datetime
) -> UUID:
    """Create or change the connection that a candidate describes. Raises ChangedMeanwhile and NameTaken."""
    values, secrets = candidate.values, candidate.secrets
    if candidate.connection_id is None:
        return create(session, values, secrets, grant=candidate.grant, box=box, actor=actor, now=now)
    change(
        session,
        candidate.connection_id,
        values,
        secrets,
        grant=candidate.grant,
        box=box,
        actor=actor,
        now=now,
        expected_version=candidate.started_from,
    )
    return candidate.connection_id


def forget_candidate(session: Session, check_id: UUID) -> None:
    """Drop a candidate after use; the check's steps stay."""
    forgotten = update(ConnectionCheck).where(ConnectionCheck.id == check_id)
    session.execute(forgotten.values(candidate=null(), secrets={}, sealed_grant=None))


def purge_candidates(session: Session, now: datetime) -> None:
    """Drop candidates older than 15 minutes, and whole checks older than a day."""
    old = ConnectionCheck.created_at < now - LIFETIME
    still_there = select(ConnectionCheck.id).where(old, ConnectionCheck.candidate.is_not(null()))
    expired = update(ConnectionCheck).where(ConnectionCheck.id.in_(still_there))
    session.execute(
        expired.values(candidate=null(), secrets={}, sealed_grant=None),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        delete(ConnectionCheck).where(ConnectionCheck.created_at < now - RESULT_LIFETIME),
        execution_options={"synchronize_session": False},
    )


def secrets_context(check_id: UUID, values: ConnectionValues) -> str:
    """Bound to where it goes: a password typed for one server does not open for another."""
    return f"connection_check.secrets:{check_id}:{values.method}:{values.destination}"


def grant_context(check_id: UUID, values: ConnectionValues) -> str:
    """What the grant of a candidate is sealed for."""
    return f"connection_check.sealed_grant:{check_id}:{granted_for(values)}"
