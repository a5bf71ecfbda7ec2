"""The worker's part of a forgotten password: look the person up, make the link, queue the mail.

Limits act here and in silence, since an answer that differs would tell who has an account (ASVS 5.0 V6.3.8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, reset_links
from portal.accounts.account_mail import AccountMail
from portal.accounts.models import ResetRequest
from portal.accounts.people import Person
from portal.accounts.tokens import new_token, token_hash
from portal.extensions import db
from portal.mail.addresses import same_address_key
from portal.mail_service import NotAccepted
from portal.transaction import unit_of_work

MAILS_PER_ACCOUNT = 3  # in an hour; what goes beyond is refused in silence
MAILS_PER_ADDRESS = 50  # of a client, in an hour: a whole office may share one
MAILS_OVERALL = 500  # in an hour
WINDOW = timedelta(hours=1)
MOST_AT_ONCE = 200  # requests that one run of the job answers
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Waiting:
    id: UUID
    identifier: str
    address: str
    requested_at: datetime


def answer_reset_requests(now: datetime, *, mail: AccountMail, reset_url_for: Callable[[str], str]) -> int:
    """Answer what waits, each request in a unit of work of its own; returns how many there were.

    Needs an application context. A request that cannot be answered is refused with its reason and holds up no
    other; where the database is at fault it waits on, and the fault is raised. `reset_url_for` gives the
    address of a token's page.
    """
    waiting = _waiting(db.engine)
    for request in reversed(waiting):  # of several by one person only the latest gets a mail
        try:
            with unit_of_work() as session:
                _answer(session, request, now, mail, reset_url_for)
        except NotAccepted as refusal:
            _log.warning("a reset mail was not accepted", reason=str(refusal.reason))
            _refuse_alone(request, "not_accepted", now)
        except SQLAlchemyError:
            raise
        except Exception:  # noqa: BLE001 - one bad request must not hold up all others
            _log.exception("a reset request could not be answered", request_id=str(request.id))
            _refuse_alone(request, "error", now)
    return len(waiting)


def _waiting(engine: Engine) -> list[_Waiting]:
    """The oldest, read without the lock that a unit of work takes: most of the time nothing waits."""
    columns = (ResetRequest.id, ResetRequest.identifier, ResetRequest.address, ResetRequest.requested_at)
    oldest = select(*columns).where(ResetRequest.state == "waiting").order_by(ResetRequest.requested_at)
    with engine.connect() as connection:
        return [_Waiting(*row) for row in connection.execute(oldest.limit(MOST_AT_ONCE))]


def _answer(
    session: Session, request: _Waiting, now: datetime, mail: AccountMail, reset_url_for: Callable[[str], str]
) -> None:
    person = people.find(session, request.identifier)
    reason = _refusal(session, person, request, now)
    if person is None or reason:
        _mark(session, request, state="refused", reason=reason or "unknown", answered_at=now)
        return
    token = new_token()
    link = {"token_hash": token_hash(token), "expires_at": now + reset_links.LIFETIME}
    account = {"user_id": person.id, "email_key": same_address_key(person.email), "role": person.role}
    if not _mark(session, request, state="answered", answered_at=now, **link, **account):
        return
    reset_links.void(session, person.id, now=now, but=request.id)
    mail.queue_password_reset(
        session,
        person,
        link=reset_url_for(token),
        requested_at=request.requested_at,
        now=now,
    )
    _record(session, person, request, now)


def _refusal(session: Session, person: Person | None, request: _Waiting, now: datetime) -> str:
    """Why no mail leaves for this request, "" if one does."""
    if person is None:
        return "unknown"
    if person.is_disabled:
        return "disabled"
    if _answered(session, now, ResetRequest.user_id == person.id, ResetRequest.requested_at >= request.requested_at):
        return "newer_answered"
    return _limit_reached(session, person, request, now)


def _limit_reached(session: Session, person: Person, request: _Waiting, now: datetime) -> str:
    if _answered(session, now, ResetRequest.user_id == person.id) >= MAILS_PER_ACCOUNT:
        return "limit_account"
    if _answered(session, now, ResetRequest.address == request.address) >= MAILS_PER_ADDRESS:
        _log.warning("too many reset mails were asked for from one address", client=request.address)
        return "limit_address"
    if _answered(session, now) >= MAILS_OVERALL:
        _log.error("too many reset mails were asked for; no more leave within the hour")
        return "limit_overall"
    return ""


def _answered(session: Session, now: datetime, *conditions: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(ResetRequest)
    within = (ResetRequest.state == "answered", ResetRequest.answered_at > now - WINDOW)
    return session.scalar(counted.where(*within, *conditions)) or 0


def _mark(session: Session, request: _Waiting, **values: object) -> bool:
    """Write the answer; False where another worker has answered in the meantime."""
    answering = update(ResetRequest).where(ResetRequest.id == request.id, ResetRequest.state == "waiting")
    marked = answering.values(**values).returning(ResetRequest.id)
    return session.scalar(marked.execution_options(synchronize_session=False)) is not None


def _refuse_alone(request: _Waiting, reason: str, now: datetime) -> None:
    with unit_of_work() as session:
        _mark(session, request, state="refused", reason=reason, answered_at=now)


def _record(session: Session, person: Person, request: _Waiting, now: datetime) -> None:
    stranger = audit.Actor(None, "somebody not signed in", request.address)
    audit.record(session, action="user.password_reset_requested", actor=stranger, subject=person.email, now=now)
