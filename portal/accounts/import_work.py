"""The worker's part of inviting many: a few lines of a confirmed list at a time, so that other jobs get their turn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import invitations, people, user_changes
from portal.accounts.account_mail import AccountMail
from portal.accounts.bulk_invitations import finish_if_done, new_person
from portal.accounts.import_models import ImportLine, ImportRun
from portal.accounts.people import AddressError, NotAdded
from portal.accounts.user_changes import NotAllowed
from portal.accounts.user_help import MailStateOf, why_no_mail
from portal.accounts.user_names import IdentifierError
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.wording import N_, Text

LINES_AT_ONCE = 25
_log = structlog.get_logger(__name__)


def invite_listed_people(
    now: datetime, *, mail: AccountMail, mail_state: MailStateOf, link_for: Callable[[str], str]
) -> int:
    """Work off the next lines; returns how many. Needs an application context.

    A line that cannot be invited says why and holds up no other; where the database is at fault, or no mail can
    leave, it waits on.
    """
    waiting = _waiting(db.engine)
    for run_id, number in waiting:
        try:
            with unit_of_work() as session:
                if why_no_mail(mail_state(session)):
                    return 0
                _invite(session, run_id, number, mail=mail, link_for=link_for, now=now)
        except (AddressError, IdentifierError, NotAdded, _NotMailed) as refusal:
            _refuse(run_id, number, refusal.reason)
        except NotAllowed:
            _refuse(run_id, number, N_("Whoever confirmed the list is no administrator any more."))
        except SQLAlchemyError:
            raise
        except Exception:  # noqa: BLE001 - one bad line must not hold up all others
            _log.exception("a line of a list could not be invited", run_id=str(run_id), number=number)
            _refuse(run_id, number, N_("An error of the portal kept this line back. Its log says more."))
    _finish(now)
    return len(waiting)


class _NotMailed(Exception):
    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _waiting(engine: Engine) -> list[tuple[UUID, int]]:
    """The next lines of the oldest list, read without the lock that a unit of work takes."""
    lines = select(ImportLine.run_id, ImportLine.number).join(ImportRun, ImportRun.id == ImportLine.run_id)
    confirmed = lines.where(ImportRun.state == "confirmed", ImportLine.state == "waiting")
    oldest = confirmed.order_by(ImportRun.created_at, ImportRun.id, ImportLine.number).limit(LINES_AT_ONCE)
    with engine.connect() as connection:
        return [(row.run_id, row.number) for row in connection.execute(oldest)]


def _invite(
    session: Session,
    run_id: UUID,
    number: int,
    *,
    mail: AccountMail,
    link_for: Callable[[str], str],
    now: datetime,
) -> None:
    if not _mark(session, run_id, number, "invited", None):
        return  # another worker was there meanwhile
    run, line = session.get_one(ImportRun, run_id), session.get_one(ImportLine, (run_id, number))
    actor = audit.Actor(run.actor_id, run.actor_name, run.actor_address)
    user_changes.require_administrator(session, actor)
    person = new_person(line)
    if people.is_taken(session, person.email):
        _mark_known(session, run_id, number)
        return
    invited = invitations.add_and_invite(
        session, person, actor=actor, mail=mail, link_for=link_for, now=now, is_bulk=True
    )
    if invited.why_not_mailed is not None:
        raise _NotMailed(invited.why_not_mailed)


def _mark(session: Session, run_id: UUID, number: int, state: str, reason: Text | None) -> bool:
    """Write down what became of a waiting line; False where that was done before."""
    line = update(ImportLine).where(ImportLine.run_id == run_id, ImportLine.number == number)
    marked = line.where(ImportLine.state == "waiting").values(state=state, reason=reason.to_json() if reason else None)
    return session.scalar(marked.returning(ImportLine.number)) is not None


def _mark_known(session: Session, run_id: UUID, number: int) -> None:
    reason = N_("There is an account with this address already.").to_json()
    line = update(ImportLine).where(ImportLine.run_id == run_id, ImportLine.number == number)
    session.execute(line.values(state="known", reason=reason))


def _refuse(run_id: UUID, number: int, reason: Text) -> None:
    with unit_of_work() as session:
        _mark(session, run_id, number, "refused", reason)


def _finish(now: datetime) -> None:
    with unit_of_work() as session:
        for run_id in session.scalars(select(ImportRun.id).where(ImportRun.state == "confirmed")).all():
            finish_if_done(session, run_id, now=now)
