"""The worker's part of a forgotten password: look the person up, make link and code, queue the mail.

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
from portal.accounts import (
    identifiers,
    outside_sign_in,
    people,
    people_identifier,
    recovery_settings,
    reset_codes,
    reset_links,
)
from portal.accounts.account_mail import AccountMail
from portal.accounts.models import ResetRequest
from portal.accounts.people import Person
from portal.accounts.recovery_settings import RecoverySettings
from portal.accounts.reset_requests import BY_STAFF
from portal.accounts.tokens import new_token, token_hash
from portal.extensions import db
from portal.mail.addresses import same_address_key
from portal.mail_service import NotAccepted
from portal.transaction import unit_of_work
from portal.web import limits

# In an hour; what goes beyond is refused in silence. From one client address fewer mails leave for an account than
# from all, so that a stranger who asks does not use up the owner's. No more links and codes of it are open at a time.
MAILS_PER_ACCOUNT_AND_ADDRESS = 3
MAILS_PER_ACCOUNT = 10
MAILS_PER_ADDRESS = 50  # a whole office may share one
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
    browser_hash: bytes | None


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
    oldest = (
        select(*columns, ResetRequest.browser_hash)
        .where(ResetRequest.state == "waiting")
        .order_by(ResetRequest.requested_at)
    )
    with engine.connect() as connection:
        return [_Waiting(*row) for row in connection.execute(oldest.limit(MOST_AT_ONCE))]


def _answer(
    session: Session, request: _Waiting, now: datetime, mail: AccountMail, reset_url_for: Callable[[str], str]
) -> None:
    settings = recovery_settings.load(session)
    kinds = {"address"} if request.address == BY_STAFF else settings.identifiers
    found = identifiers.find_by_identifier(session, request.identifier, kinds).person
    person = people.lock(session, found.id) if found else None  # first, as everybody does who touches its requests
    reason = _refusal(session, person, request, now)
    if person is None or reason:
        _mark(session, request, state="refused", reason=reason or "unknown", answered_at=now)
        return
    provider = outside_sign_in.provider_of(session, person)
    token, code, means = new_token(), reset_codes.new_code(), _means(settings, request)
    opens = {} if provider else _opens(means, token, reset_codes.code_mac(mail.box.code_key, request.id, code))
    account = {"user_id": person.id, "email_key": same_address_key(person.email), "role": person.role}
    account["mailed_to_key"] = people_identifier.written_to_key(session, person)
    expires_at = now + reset_links.LIFETIME
    if not _mark(session, request, state="answered", answered_at=now, expires_at=expires_at, **opens, **account):
        return
    if request.address == BY_STAFF or provider:
        reset_links.void(session, person.id, now=now, but=request.id)
    else:
        browser, has_link = request.browser_hash, means != "code"
        reset_links.make_way(
            session, person.id, request_id=request.id, browser_hash=browser, has_link=has_link, now=now
        )
    when = {"requested_at": request.requested_at, "now": now}
    if provider:
        mail.queue_sign_in_hint(session, person, provider=provider, **when)
    else:
        link = reset_url_for(token) if means != "code" else ""
        code, browser = ("", b"") if means == "link" else (code, request.browser_hash or b"")
        mail.queue_password_reset(session, person, link=link, code=code, means=means, browser_hash=browser, **when)
    _record(session, person, request, now)


def _means(settings: RecoverySettings, request: _Waiting) -> str:
    """What the mail brings; a request that no browser waits for, such as an administrator's, gets a link."""
    return settings.means if request.browser_hash else "link"


def _opens(means: str, token: str, mac: bytes) -> dict[str, bytes]:
    link = {"token_hash": token_hash(token)} if means != "code" else {}
    return link | ({"code_mac": mac} if means != "link" else {})


def _refusal(session: Session, person: Person | None, request: _Waiting, now: datetime) -> str:
    """Why no mail leaves for this request, "" if one does."""
    if person is None:
        return "unknown"
    if person.is_disabled:
        return "disabled"
    newer = ResetRequest.requested_at >= request.requested_at
    same_browser = ResetRequest.browser_hash.is_not_distinct_from(request.browser_hash)
    if _answered(session, now, ResetRequest.user_id == person.id, newer, same_browser):
        return "newer_answered"
    return _limit_reached(session, person, request, now)


def _limit_reached(session: Session, person: Person, request: _Waiting, now: datetime) -> str:
    if request.address == BY_STAFF:
        return ""
    of_account = ResetRequest.user_id == person.id
    if _answered_from(session, request.address, now, of_account) >= MAILS_PER_ACCOUNT_AND_ADDRESS:
        return "limit_account"
    if _answered(session, now, of_account) >= MAILS_PER_ACCOUNT:
        return "limit_account"
    if _answered_from(session, request.address, now) >= MAILS_PER_ADDRESS:
        _log.warning("too many reset mails were asked for from one address", client=request.address)
        return "limit_address"
    if _answered(session, now) >= MAILS_OVERALL:
        _log.error("too many reset mails were asked for; no more leave within the hour")
        return "limit_overall"
    return ""


def _answered(session: Session, now: datetime, *conditions: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(ResetRequest)
    return session.scalar(counted.where(*_within(now), *conditions)) or 0


def _answered_from(session: Session, address: str, now: datetime, *conditions: ColumnElement[bool]) -> int:
    """Of one client: of IPv6 the /64. There are about MAILS_OVERALL rows at most to look at."""
    by_address = select(ResetRequest.address, func.count()).where(*_within(now), *conditions)
    client, rows = limits.client_key(address), session.execute(by_address.group_by(ResetRequest.address))
    return sum(count for one, count in rows if limits.client_key(one) == client)


def _within(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return ResetRequest.state == "answered", ResetRequest.answered_at > now - WINDOW


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
