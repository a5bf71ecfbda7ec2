"""What was tried in vain: dead links, wrong codes and answers, a confirmation that failed; rows of the audit log.

They stand in the audit log and not in the process's log, since an administrator looks there, and finds them beside
the sign-ins that failed. A stranger must not fill the database by them: each hour has room for so many of one subject,
of one client address and of all; that there were more is logged once. Only what a POST tries is noted: a GET writes
nothing, and mail scanners open links.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests

from portal import audit
from portal.mail.addresses import same_address_key
from portal.web import limits

PER_CLIENT = "30/hour"
PER_SUBJECT = "10/hour"
OVERALL = "300/hour"
_TOLD = "1/hour"  # of the log line about it
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """One try. `subject` is the account's address, or what was typed where that is one; "" where nothing is known."""

    action: str
    subject: str
    actor: audit.Actor


def dead_reset_link(email: str, address: str) -> Failure:
    """A link that was used, is void or too old, or that never was (`email` is "")."""
    return Failure(action="user.reset_link_failed", subject=email, actor=_stranger(address))


def dead_invitation(email: str, address: str) -> Failure:
    return Failure(action="user.invitation_failed", subject=email, actor=_stranger(address))


def wrong_code(typed: str, address: str) -> Failure:
    """Of what was typed, only an address is kept."""
    return Failure(action="user.reset_code_failed", subject=same_address_key(typed), actor=_stranger(address))


def wrong_answers(email: str, address: str) -> Failure:
    return Failure(action="user.security_answers_failed", subject=email, actor=_stranger(address))


def failed_confirmation(email: str, actor: audit.Actor) -> Failure:
    """Somebody signed in did not give the own password, or passkey."""
    return Failure(action="user.confirmation_failed", subject=email, actor=actor)


def may_record(engine: Engine, failure: Failure, *, now: datetime) -> bool:
    """Count it, before any unit of work; whether this hour has room for its row."""
    client = limits.client_key(failure.actor.address)
    of_whom = failure.subject or client
    used = [
        (PER_CLIENT, ("failed attempts client", client)),
        (PER_SUBJECT, ("failed attempts subject", failure.action, of_whom)),
        (OVERALL, ("failed attempts",)),
    ]
    try:
        limits.require_all(engine, used, now)
    except TooManyRequests:
        if isinstance(limits.allow(engine, _TOLD, "failed attempts told", now=now), limits.Allowed):
            _log.warning(
                "too many attempts failed; more are not recorded within the hour", action=failure.action, client=client
            )
        return False
    return True


def record(session: Session, failure: Failure, *, now: datetime) -> None:
    """The audit row of what `may_record` had room for."""
    action = failure.action
    audit.record(session, action=action, actor=failure.actor, subject=failure.subject, now=now)


def _stranger(address: str) -> audit.Actor:
    return audit.Actor(None, "somebody not signed in", address)
