"""What was typed in a connection's form, kept for a check: its values, and its password sealed.

A candidate serves the session that typed it. It goes after use, or 15 minutes after it came.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, null, select, update
from sqlalchemy.orm import Session

from portal import audit
from portal.connections import secrets
from portal.connections.models import ConnectionCheck
from portal.connections.saving import change, create
from portal.connections.senders import sender_of
from portal.connections.stored import StoredConnection
from portal.connections.values import PASSWORD, ConnectionValues, SecretAction, SecretChange
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
    secret: SecretChange


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
    sealed = box.seal(candidate.secret.value, _context(check_id, candidate.values)) if candidate.secret.value else None
    session.add(
        ConnectionCheck(
            id=check_id,
            connection_id=candidate.connection_id,
            started_from=candidate.started_from,
            name=candidate.values.name,
            method=candidate.values.method,
            then=then,
            candidate=candidate.values.to_json(),
            secret_action=candidate.secret.action,
            sealed=sealed,
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


def find_candidate(
    session: Session, check_id: UUID, *, session_id: UUID, box: SecretBox, now: datetime
) -> Candidate | None:
    """The candidate of a check that this session asked for; None once it is gone."""
    row = session.get(ConnectionCheck, check_id)
    if row is None or row.session_id != session_id or now - row.created_at > LIFETIME:
        return None
    return candidate_of(row, box=box)


def candidate_of(row: ConnectionCheck, *, box: SecretBox) -> Candidate | None:
    """The candidate of a row, None once it is gone. A password that cannot be opened has to be typed again."""
    if row.candidate is None:
        return None
    values = ConnectionValues.from_json(row.candidate)
    secret = SecretChange(SecretAction(row.secret_action))
    if row.sealed is not None:
        opened = box.open(row.sealed, _context(row.id, values))
        secret = SecretChange() if isinstance(opened, Unreadable) else replace(secret, value=opened)
    return Candidate(
        connection_id=row.connection_id,
        started_from=row.started_from,
        values=values,
        secret=secret,
    )


def password_of(session: Session, candidate: Candidate, *, box: SecretBox) -> str | None:
    """The password to sign in with: the one that was typed, or the stored one where it may be used."""
    if candidate.secret.action is SecretAction.REPLACE:
        return candidate.secret.value or None
    if candidate.secret.action is SecretAction.CLEAR or candidate.connection_id is None:
        return None
    row = secrets.find_password(session, candidate.connection_id)
    opened = secrets.open_password(row, candidate.values.smtp, box=box) if row else None
    return None if opened is None or isinstance(opened, Unreadable) else opened


def is_as_stored(candidate: Candidate, stored: StoredConnection) -> bool:
    """Whether storing the candidate would change nothing."""
    return candidate.values == stored.values and candidate.secret.action is SecretAction.KEEP


def what_is_missing(
    candidate: Candidate, present: StoredConnection | None, organisation: EmailSettings, *, captures: bool
) -> dict[str, Text]:
    """What a candidate still needs before it can send, by field; nothing where it is complete.

    `captures` says that mail by it is kept here, which can be done without a sender.
    """
    missing: dict[str, Text] = {}
    password = secrets.why_password_is_needed(
        candidate.values,
        candidate.secret,
        stored_for=present.values.smtp if present and present.password_stored_at else None,
        is_readable=present is not None and present.password_is_readable,
    )
    if password:
        missing[PASSWORD] = password
    if not captures and sender_of(candidate.values, organisation).mailbox is None:
        missing["from_address"] = N_(
            "Enter the address that mail is from: the email settings of the organisation have none yet."
        )
    return missing


def store_candidate(
    session: Session, candidate: Candidate, *, box: SecretBox, actor: audit.Actor, now: datetime
) -> UUID:
    """Create or change the connection that a candidate describes. Raises ChangedMeanwhile and NameTaken."""
    values, secret = candidate.values, candidate.secret
    if candidate.connection_id is None:
        return create(session, values, secret, box=box, actor=actor, now=now)
    change(
        session,
        candidate.connection_id,
        values,
        secret,
        box=box,
        actor=actor,
        now=now,
        expected_version=candidate.started_from,
    )
    return candidate.connection_id


def forget_candidate(session: Session, check_id: UUID) -> None:
    """Drop a candidate after use; the check's steps stay."""
    forgotten = update(ConnectionCheck).where(ConnectionCheck.id == check_id)
    session.execute(forgotten.values(candidate=null(), sealed=None))


def purge_candidates(session: Session, now: datetime) -> None:
    """Drop candidates older than 15 minutes, and whole checks older than a day."""
    old = ConnectionCheck.created_at < now - LIFETIME
    still_there = select(ConnectionCheck.id).where(old, ConnectionCheck.candidate.is_not(null()))
    expired = update(ConnectionCheck).where(ConnectionCheck.id.in_(still_there))
    session.execute(expired.values(candidate=null(), sealed=None), execution_options={"synchronize_session": False})
    session.execute(
        delete(ConnectionCheck).where(ConnectionCheck.created_at < now - RESULT_LIFETIME),
        execution_options={"synchronize_session": False},
    )


def _context(check_id: UUID, values: ConnectionValues) -> str:
    """Bound to where it goes: a password typed for one server does not open for another."""
    return f"connection_check.sealed:{check_id}:{values.smtp.destination}"
