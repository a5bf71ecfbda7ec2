"""What administrators, and the helpdesk for people of no higher rank, do for somebody who cannot get in.

Nobody chooses or sees a password here: the reset goes to the owner's mailbox by the way of every reset.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import (
    invitations,
    outside_sign_in,
    provider_links,
    reset_links,
    reset_requests,
    second_factor,
    security_questions,
    sessions,
    ways_in,
)
from portal.accounts.account_mail import AccountMail
from portal.accounts.invitations import Invited, LinkFor
from portal.accounts.models import User
from portal.accounts.people import Person
from portal.accounts.user_changes import NotChanged, keep_an_administrator, person_for
from portal.connections import MailState
from portal.wording import N_, Text

_WHY_NO_MAIL: dict[MailState, Text] = {
    MailState.SWITCHED_OFF: N_("Sending is switched off. An administrator can switch it on under Email settings."),
    MailState.NO_WAY_OUT: N_("No connection can send yet. An administrator can connect one under Email settings."),
}
MailStateOf = Callable[[Session], MailState]


def why_no_mail(state: MailState) -> Text | None:
    """Why no link can be mailed now, None where one can."""
    return _WHY_NO_MAIL.get(state)


def invite_again(
    session: Session, user_id: UUID, *, actor: audit.Actor, mail: AccountMail, link_for: LinkFor, now: datetime
) -> Invited:
    """A new invitation in place of the one before. For administrators. Raises NotChanged, and as `person_for`."""
    person = person_for(session, user_id, actor=actor)
    if person.is_disabled:
        raise NotChanged(N_("The account is disabled. Enable it first."))
    if person.password_hash is not None:
        raise NotChanged(N_("This account has a password. Send a reset instead."))
    return invitations.invite(session, person, actor=actor, mail=mail, link_for=link_for, now=now)


def send_reset(
    session: Session, user_id: UUID, *, actor: audit.Actor, mail_state: MailStateOf, now: datetime
) -> Person:
    """Have a reset mailed to the owner. Raises NotChanged where no mail can leave, and as `person_for`."""
    person = person_for(session, user_id, actor=actor, helps=True)
    _require_a_way(session, person, mail_state)
    reset_requests.request_password_reset(session, person.email, reset_requests.BY_STAFF, now)
    audit.record(session, action="user.reset_sent", actor=actor, subject=person.email, now=now)
    return person


def force_reset(
    session: Session, user_id: UUID, *, actor: audit.Actor, mail_state: MailStateOf, now: datetime
) -> Person:
    """The password opens nothing until its owner has set another one, every session ends, a reset is mailed.

    For administrators, about others. Raises as `send_reset`, and NotChanged for the last administrator.
    """
    person = person_for(session, user_id, actor=actor)
    if user_id == actor.user_id:
        raise NotChanged(N_("You cannot force this on yourself. Change your password on your profile."))
    _require_a_way(session, person, mail_state)
    if person.role == "admin":
        keep_an_administrator(session, user_id)
    session.execute(update(User).where(User.id == user_id).values(must_reset=True))
    sessions.end_all(session, user_id, now=now)
    reset_links.void(session, user_id, now=now)
    reset_requests.request_password_reset(session, person.email, reset_requests.BY_STAFF, now)
    changes = {"must_reset": (person.must_reset, True)}
    audit.record(session, action="user.reset_forced", actor=actor, subject=person.email, changes=changes, now=now)
    return person


def record_unlocking(session: Session, user_id: UUID, *, actor: audit.Actor, now: datetime) -> Person:
    """The audit row of an unlocking, after which `unlocking.unlock` clears the counters. Raises as `person_for`."""
    person = person_for(session, user_id, actor=actor, helps=True)
    audit.record(session, action="user.unlocked", actor=actor, subject=person.email, now=now)
    return person


def end_sessions(session: Session, user_id: UUID, *, actor: audit.Actor, now: datetime) -> Person:
    """Sign somebody out everywhere. Raises as `person_for`."""
    person = person_for(session, user_id, actor=actor, helps=True)
    sessions.end_all(session, user_id, now=now)
    audit.record(session, action="user.sessions_ended", actor=actor, subject=person.email, now=now)
    return person


def remove_second_factor(
    session: Session, user_id: UUID, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> Person:
    """For somebody who lost it: apps, passkeys and recovery codes go, and sessions end. For administrators.

    Raises NotChanged where there is none, and as `person_for`.
    """
    ways_in.lock_administrators(session)
    person = person_for(session, user_id, actor=actor)
    if not second_factor.reset(session, person, actor=actor, mail=mail, now=now):
        raise NotChanged(N_("This account has no second factor."))
    _keep_a_way_in(session, person)
    sessions.end_all(session, user_id, now=now)
    return person


def remove_provider_link(
    session: Session, user_id: UUID, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> Person:
    """Whoever has the account at the provider is not let in here by it any more, and sessions end. For administrators.

    Raises NotChanged where there is no link, or for the last administrator, and as `person_for`.
    """
    ways_in.lock_administrators(session)
    person = person_for(session, user_id, actor=actor)
    if not provider_links.remove(session, user_id, actor=actor, mail=mail, now=now):
        raise NotChanged(N_("This account is not linked with a provider."))
    _keep_a_way_in(session, person)
    sessions.end_all(session, user_id, now=now)
    return person


def remove_security_questions(
    session: Session, user_id: UUID, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> Person:
    """For somebody who forgot the answers: a reset asks for none until new ones are set, and a mail tells the owner.

    For administrators. Raises NotChanged where there are none, and as `person_for`.
    """
    person = person_for(session, user_id, actor=actor)
    if not security_questions.remove(session, user_id):
        raise NotChanged(N_("This account has no security questions."))
    changes: dict[str, audit.Changed] = {"security_questions": audit.CHANGED}
    action = "user.security_questions_removed"
    audit.record(session, action=action, actor=actor, subject=person.email, changes=changes, now=now)
    mail.queue_second_factor_changed(session, person, "questions_removed", now=now)
    return person


def _keep_a_way_in(session: Session, person: Person) -> None:
    """The administrators' rows are locked, and what was to go is gone: an administrator can sign in still."""
    if person.role == "admin" and not ways_in.administrators(session):
        raise NotChanged(
            N_("Without it no administrator could sign in any more. Give this account a password or a passkey first.")
        )


def _require_a_way(session: Session, person: Person, mail_state: MailStateOf) -> None:
    if person.is_disabled:
        raise NotChanged(N_("The account is disabled. Enable it first."))
    if person.password_hash is None:
        provider = outside_sign_in.provider_of(session, person)
        if provider:
            raise NotChanged(
                N_(
                    "This account has no password: its owner signs in with %(provider)s, and a lost password is "
                    "mended there.",
                    provider=provider,
                )
            )
        raise NotChanged(N_("This account has no password yet. Send the invitation again."))
    if reason := why_no_mail(mail_state(session)):
        raise NotChanged(reason)
