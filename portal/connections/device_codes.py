"""Consents by a code that a person types at Microsoft: what is kept of one, and whose turn it is to ask again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.connections.consent_flows import LIFETIME, Purpose, secrets_context, settle
from portal.connections.models import ConsentFlow
from portal.connections.oauth.microsoft import DeviceCode
from portal.secret_box import SecretBox, Unreadable

_ASKING_AT_MOST = timedelta(minutes=1)  # longer than the provider is waited for


@dataclass(frozen=True)
class Turn:
    """The right to ask the provider once; nobody else asks meanwhile."""

    flow_id: UUID
    candidate_check_id: UUID
    begun: DeviceCode


def to_text(code: DeviceCode) -> str:
    """For sealing alone."""
    return json.dumps(
        {
            "user_code": code.user_code,
            "verification_url": code.verification_url,
            "expires_at": code.expires_at.isoformat(),
            "interval_seconds": code.interval.total_seconds(),
            "secrets": code.secrets,
        }
    )


def wait(session: Session, flow_id: UUID, code: DeviceCode, *, box: SecretBox, now: datetime) -> None:
    """Nobody has agreed yet: the provider is not to be asked again before its interval has passed."""
    sealed = box.seal(json.dumps({"secrets": to_text(code), "is_popup": False}), secrets_context(flow_id))
    settle(session, flow_id, was=("started",), sealed=sealed, next_poll_at=now + code.interval)


def take_turn(session: Session, flow_id: UUID, *, session_id: UUID, box: SecretBox, now: datetime) -> Turn | None:
    """Whether it is time to ask, and nobody else does; for the session that began."""
    is_due = (
        *(ConsentFlow.id == flow_id, ConsentFlow.session_id == session_id, ConsentFlow.purpose == Purpose.DEVICE),
        *(ConsentFlow.state == "started", ConsentFlow.created_at > now - LIFETIME),
        ConsentFlow.next_poll_at <= now,
    )
    taken = update(ConsentFlow).where(*is_due).values(next_poll_at=now + _ASKING_AT_MOST)
    found = session.execute(
        taken.returning(ConsentFlow.candidate_check_id, ConsentFlow.sealed),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    code = _opened(flow_id, found.sealed, box=box) if found else None
    return Turn(flow_id, found.candidate_check_id, code) if found and code else None


def code_of(session: Session, flow_id: UUID, *, box: SecretBox) -> DeviceCode | None:
    """What a person is told; None once it is over."""
    return _opened(flow_id, session.scalar(select(ConsentFlow.sealed).where(ConsentFlow.id == flow_id)), box=box)


def _opened(flow_id: UUID, sealed: str | None, *, box: SecretBox) -> DeviceCode | None:
    opened = box.open(sealed, secrets_context(flow_id)) if sealed else None
    if opened is None or isinstance(opened, Unreadable):
        return None
    held = json.loads(json.loads(opened)["secrets"])
    return DeviceCode(
        user_code=held["user_code"],
        verification_url=held["verification_url"],
        expires_at=datetime.fromisoformat(held["expires_at"]),
        interval=timedelta(seconds=held["interval_seconds"]),
        secrets=held["secrets"],
    )
