"""Consents under way: the short writes of their table. Each is for one session, one method and one connection.

A flow is `started` by a click, `redeeming` once its callback was claimed, and then `granted` (a check of the new
values follows), `stored`, `mismatch` (another account than expected), `failed` or `cancelled`. It is claimed once,
in a transaction of its own; all else takes part in the caller's unit of work and names the state it starts from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from secrets import token_urlsafe
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Row, delete, or_, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.connections.candidates import LIFETIME as CANDIDATE_LIFETIME
from portal.connections.candidates import Asker, Candidate
from portal.connections.grant_sealing import grant_from_text, grant_to_text, granted_for
from portal.connections.models import ConsentFlow, ConsentInvitation
from portal.connections.oauth.provider import Grant
from portal.connections.values import ConnectionValues, Method
from portal.database import writing
from portal.secret_box import SecretBox, Unreadable

LIFETIME = timedelta(minutes=10)  # from the click to the callback
_REDEEMING_AT_MOST = timedelta(minutes=2)  # far longer than the provider is waited for
_KEPT = timedelta(days=1)
LONGEST_WORDS = 300  # of what a provider said
_FORM_REFUSED = "form.refused"  # the code of a flow that ended before the provider was asked
_ANSWERED = frozenset({"granted", "mismatch"})
_AS_IT_IS: dict[str, Any] = {"execution_options": {"synchronize_session": False}}


class Purpose(StrEnum):
    """What a flow is for."""

    CONNECT = "connect"  # an administrator's own
    DEVICE = "device"  # the same by a code that is typed at the provider: no callback comes
    ADMIN = "admin"  # agreement for a whole organisation; it stores nothing
    INVITED = "invited"  # of the mailbox's owner, by a link


TO_CONNECT = (Purpose.CONNECT, Purpose.DEVICE)  # what the form follows


class Unclaimable(StrEnum):
    """Why a callback is refused."""

    UNKNOWN = "unknown"  # no state, one that never was, or one of the other provider's
    FOREIGN = "foreign"  # another session's
    USED = "used"  # claimed, cancelled or replaced
    EXPIRED = "expired"


class NotClaimed(Exception):
    """`flow_id` and `connection_id` are set where the flow is this session's own."""

    def __init__(self, reason: Unclaimable, *, flow_id: UUID | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.flow_id = flow_id


@dataclass(frozen=True)
class Claimed:
    """A flow whose callback is being answered, by this request alone."""

    id: UUID
    candidate_check_id: UUID
    redirect_uri: str
    is_popup: bool
    connection_id: UUID | None  # None: of a new connection
    invitation_id: UUID | None  # of the link that an invited person came by
    secrets: str = field(repr=False)  # what the provider's module needs to redeem the code


@dataclass(frozen=True, kw_only=True)
class FlowView:
    """A flow at one moment, for the session that started it."""

    id: UUID
    purpose: Purpose
    method: Method
    connection_id: UUID | None  # None: of a new connection
    form_id: UUID | None  # of the form of a new connection
    candidate_check_id: UUID
    state: str  # as in the table, or "expired"
    account: str  # who consented, "" as long as nobody has
    code: str  # the diagnosis of a failure, or of what a person saw at the provider
    said: str
    check_id: UUID | None  # the check that stores the connection
    age: timedelta

    @property
    def is_waiting(self) -> bool:
        """Whether something is to come by itself."""
        return self.state in {"started", "redeeming"}

    @property
    def ended_with_form(self) -> bool:
        """Whether nobody was asked, because the form lacked something."""
        return self.code == _FORM_REFUSED


def start(
    session: Session,
    flow_id: UUID,
    *,
    state: str,
    secrets: str,
    is_popup: bool,
    method: Method,
    connection_id: UUID | None,
    candidate_check_id: UUID,
    redirect_uri: str,
    asker: Asker,
    box: SecretBox,
    now: datetime,
    purpose: Purpose = Purpose.CONNECT,
    invitation_id: UUID | None = None,
    form_id: UUID | None = None,
) -> None:
    """Store a flow in place of an unfinished one of the same session, connection and kind.

    New connections are told apart by the form that each is typed in: two forms may be open at once.
    """
    if connection_id is not None or form_id is not None:
        _cancel_unfinished(session, asker.session_id, (connection_id, form_id), purpose=purpose, now=now)
    held = json.dumps({"secrets": secrets, "is_popup": is_popup})
    session.add(
        ConsentFlow(
            id=flow_id,
            purpose=purpose,
            invitation_id=invitation_id,
            state_hash=_hash(state),
            method=method,
            connection_id=connection_id,
            form_id=form_id,
            candidate_check_id=candidate_check_id,
            session_id=asker.session_id,
            actor_id=asker.user_id,
            actor_name=asker.name,
            actor_address=asker.address,
            redirect_uri=redirect_uri,
            sealed=box.seal(held, secrets_context(flow_id)),
            account="",
            state="started",
            code="",
            said="",
            created_at=now,
        )
    )
    session.flush()


def refuse(
    session: Session,
    *,
    method: Method,
    connection_id: UUID | None,
    form_id: UUID | None,
    asker: Asker,
    box: SecretBox,
    now: datetime,
) -> None:
    """Store a flow that ended with its form, for the window that waits for it: a pop-up tells nobody by itself."""
    flow_id, nothing_kept = uuid4(), uuid4()
    start(
        session,
        flow_id,
        state=token_urlsafe(32),
        secrets="",
        is_popup=True,
        method=method,
        connection_id=connection_id,
        form_id=form_id,
        candidate_check_id=nothing_kept,
        redirect_uri="",
        asker=asker,
        box=box,
        now=now,
    )
    fail(session, flow_id, was="started", code=_FORM_REFUSED, said="", now=now)


def purpose_of(session: Session, state: str) -> Purpose | None:
    """What the flow of a callback is for, None where there is none; to be decided on by `claim` alone."""
    found = session.scalar(select(ConsentFlow.purpose).where(ConsentFlow.state_hash == _hash(state)))
    return Purpose(found) if found else None


def claim(engine: Engine, state: str, *, method: Method, session_id: UUID, box: SecretBox, now: datetime) -> Claimed:
    """Take the flow that a callback belongs to; whoever comes second is refused. Raises NotClaimed."""
    with writing(engine).begin() as connection:
        row = connection.execute(select(ConsentFlow.__table__).where(ConsentFlow.state_hash == _hash(state))).first()
        refusal = _why_not(row, method=method, session_id=session_id, now=now)
        if row is None or refusal is not None:
            own = row.id if row is not None and row.session_id == session_id else None
            raise NotClaimed(refusal or Unclaimable.UNKNOWN, flow_id=own)
        still_started = update(ConsentFlow).where(ConsentFlow.id == row.id, ConsentFlow.state == "started")
        claimed = connection.execute(still_started.values(state="redeeming", sealed=None).returning(ConsentFlow.id))
        if claimed.first() is None:
            raise NotClaimed(Unclaimable.USED, flow_id=row.id)
    opened = box.open(row.sealed, secrets_context(row.id))
    if isinstance(opened, Unreadable):  # the portal's key was changed meanwhile
        raise NotClaimed(Unclaimable.EXPIRED, flow_id=row.id)
    held = json.loads(opened)
    return Claimed(
        row.id,
        row.candidate_check_id,
        row.redirect_uri,
        is_popup=held["is_popup"],
        connection_id=row.connection_id,
        invitation_id=row.invitation_id,
        secrets=held["secrets"],
    )


def settle(session: Session, flow_id: UUID, *, was: Collection[str], **values: Any) -> bool:
    """Write what became of a flow; False where it is in none of the states `was`: cancelled, replaced, settled."""
    settled = session.execute(
        update(ConsentFlow)
        .where(ConsentFlow.id == flow_id, ConsentFlow.state.in_(was))
        .values(**values)
        .returning(ConsentFlow.id),
        **_AS_IT_IS,
    )
    return settled.first() is not None


def fail(session: Session, flow_id: UUID, *, was: str, code: str, said: str, now: datetime) -> None:
    """Write why a flow came to nothing; one that was cancelled meanwhile stays cancelled."""
    settle(
        session, flow_id, was=(was,), state="failed", sealed=None, code=code, said=said[:LONGEST_WORDS], ended_at=now
    )


def seal_grant(flow_id: UUID, candidate: Candidate, grant: Grant, *, box: SecretBox) -> str:
    """A grant that waits in its flow, for `settle`."""
    return box.seal(grant_to_text(grant), grant_context(flow_id, candidate.values))


def held_grant(session: Session, flow_id: UUID, candidate: Candidate, *, box: SecretBox) -> Grant | None:
    """The grant that waits for a person's decision; None where none does."""
    row = session.execute(_columns().where(ConsentFlow.id == flow_id)).one_or_none()
    if row is None or row.state not in _ANSWERED or row.sealed_grant is None:
        return None
    opened = box.open(row.sealed_grant, grant_context(flow_id, candidate.values))
    return None if isinstance(opened, Unreadable) else grant_from_text(opened)


def find_flow(
    session: Session,
    flow_id: UUID,
    *,
    session_id: UUID,
    now: datetime,
    purposes: Collection[Purpose] = TO_CONNECT,
) -> FlowView | None:
    """A flow that this session started."""
    mine = ConsentFlow.session_id == session_id, ConsentFlow.purpose.in_(purposes)
    row = session.execute(_columns().where(ConsentFlow.id == flow_id, *mine)).one_or_none()
    return _view(row, now) if row else None


def newest_flow(
    session: Session, connection_id: UUID | None, *, form_id: UUID | None = None, session_id: UUID, now: datetime
) -> FlowView | None:
    """What this session started last for a connection, or in the form of a new one; without `form_id` in any."""
    mine = _of(session_id, (connection_id, form_id), TO_CONNECT)
    chosen = _columns().where(*mine).order_by(ConsentFlow.created_at.desc()).limit(1)
    row = session.execute(chosen).one_or_none()
    return _view(row, now) if row else None


def purge_consents(session: Session, now: datetime) -> None:
    """Drop the secrets of flows with their candidates, whole flows after a day, and invitations that are over."""
    gone = update(ConsentFlow).where(
        ConsentFlow.created_at < now - CANDIDATE_LIFETIME,
        or_(ConsentFlow.sealed.is_not(None), ConsentFlow.sealed_grant.is_not(None)),
    )
    session.execute(gone.values(sealed=None, sealed_grant=None), **_AS_IT_IS)
    session.execute(delete(ConsentFlow).where(ConsentFlow.created_at < now - _KEPT), **_AS_IT_IS)
    session.execute(delete(ConsentInvitation).where(ConsentInvitation.expires_at < now), **_AS_IT_IS)


def _cancel_unfinished(
    session: Session, session_id: UUID, which: tuple[UUID | None, UUID | None], *, purpose: Purpose, now: datetime
) -> None:
    replaced = TO_CONNECT if purpose in TO_CONNECT else (purpose,)
    is_unfinished = ConsentFlow.state.in_(("started", "redeeming", "mismatch")) | (
        (ConsentFlow.state == "granted") & ConsentFlow.check_id.is_(None)
    )
    unfinished = update(ConsentFlow).where(*_of(session_id, which, replaced), is_unfinished)
    ended = unfinished.values(state="cancelled", sealed=None, sealed_grant=None, ended_at=now)
    session.execute(ended, **_AS_IT_IS)


def _why_not(row: Row[Any] | None, *, method: Method, session_id: UUID, now: datetime) -> Unclaimable | None:
    if row is None or row.method != method:
        return Unclaimable.UNKNOWN
    if row.session_id != session_id:
        return Unclaimable.FOREIGN
    if row.state != "started":
        return Unclaimable.USED
    return Unclaimable.EXPIRED if now - row.created_at > LIFETIME or row.sealed is None else None


def _view(row: Row[Any], now: datetime) -> FlowView:
    age = now - row.created_at
    longest = {"started": LIFETIME, "redeeming": LIFETIME + _REDEEMING_AT_MOST}.get(row.state)
    return FlowView(
        id=row.id,
        purpose=Purpose(row.purpose),
        method=Method(row.method),
        connection_id=row.connection_id,
        form_id=row.form_id,
        candidate_check_id=row.candidate_check_id,
        state="expired" if longest is not None and age > longest else row.state,
        account=row.account,
        code=row.code,
        said=row.said,
        check_id=row.check_id,
        age=age,
    )


def _columns() -> Any:
    """Columns, not a row object: what the session saw before must not stand in for what is there now."""
    return select(ConsentFlow.__table__)


def _of(
    session_id: UUID, which: tuple[UUID | None, UUID | None], purposes: Collection[Purpose]
) -> tuple[ColumnElement[bool], ...]:
    """Those of a connection or, where there is none yet, of a form."""
    connection_id, form_id = which
    of_form = () if connection_id is not None or form_id is None else (ConsentFlow.form_id == form_id,)
    return (
        ConsentFlow.session_id == session_id,
        ConsentFlow.connection_id.is_not_distinct_from(connection_id),
        ConsentFlow.purpose.in_(purposes),
        *of_form,
    )


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def secrets_context(flow_id: UUID) -> str:
    """What the secrets of a flow are sealed for."""
    return f"consent_flow.sealed:{flow_id}"


def grant_context(flow_id: UUID, values: ConnectionValues) -> str:
    """Bound to the application and to where its tokens go."""
    return f"consent_flow.sealed_grant:{flow_id}:{granted_for(values)}"
