"""Whose account somebody from the provider opens, and when the two are linked.

What counts is the issuer and `sub`, which never change hands. A proved address links by itself only an account that
nothing else opens yet: an invited user without password, second factor or rank. Everybody else signs in the usual
way once, and links at the own profile; so nobody's account is taken over by what a provider says of an address.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, provider_links, second_factor, sessions, user_changes
from portal.accounts.models import Invitation, User
from portal.accounts.people import NotAdded, Person
from portal.accounts.provider_claims import Arrival
from portal.accounts.provider_links import MetAnother
from portal.accounts.provider_models import ProviderIdentity
from portal.accounts.provider_settings import ProviderSettings
from portal.accounts.sign_in import SecondFactorAwaited, SignedIn, Visitor, admit
from portal.mail.addresses import same_address_key
from portal.wording import N_, Text

if TYPE_CHECKING:
    from portal.accounts.account_mail import AccountMail

_log = structlog.get_logger(__name__)

_NO_ACCOUNT = N_(
    "You are signed in at the provider, but no account here is open to you. Ask an administrator of this portal."
)
_NOT_PROVED = N_(
    "The provider does not confirm that your email address is yours, so no account here can be found by it. Sign in "
    "to your account here in the usual way and link the two at Profile, or ask an administrator."
)
_LINK_FIRST = N_(
    "Your account here is not linked with the provider yet. Sign in to it in the usual way once, or accept your "
    "invitation; then choose “Link” at Profile."
)
_RESET_FIRST = N_("You must choose a new password first. Choose “Forgot your password?” and follow the mail.")


def let_in(
    session: Session,
    who: Arrival,
    settings: ProviderSettings,
    *,
    visitor: Visitor,
    next_path: str,
    mail: AccountMail,
    now: datetime,
) -> SignedIn | SecondFactorAwaited | Text:
    """Begin a session, or ask for the second factor first; why neither, where the account is not open.

    A provider lets a browser in without a question where somebody was signed in there: the session counts as
    confirmed from when the provider says that the person signed in, else not at all. Raises MetAnother.
    """
    found = _account_of(session, who, settings, visitor=visitor, mail=mail, now=now)
    if isinstance(found, Person):
        confirmed_at = min(who.signed_in_at, now) if who.signed_in_at else sessions.NOT_CONFIRMED
        return admit(
            session,
            found,
            signed_in_with="provider",
            confirmed_at=confirmed_at,
            visitor=visitor,
            next_path=next_path,
            now=now,
        )
    stranger = audit.Actor(None, "somebody not signed in", visitor.address)
    subject = same_address_key(who.address)
    changes = {"provider": (None, who.issuer), "provider_account": (None, who.subject)}
    audit.record(session, action="user.sign_in_failed", actor=stranger, subject=subject, changes=changes, now=now)
    return found


def link(
    session: Session, user_id: UUID, who: Arrival, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> Text | None:
    """Link the account of somebody signed in with the one there; why not, where it cannot be. Raises MetAnother."""
    person = people.lock(session, user_id)
    owner = provider_links.owner_of(session, who)
    if person is None or person.is_disabled:
        return _NO_ACCOUNT
    if owner == user_id:
        return None
    if owner is not None:
        return N_(
            "That account at the provider is linked with somebody else's account here. Sign in there as yourself."
        )
    if provider_links.linked_since(session, user_id, who.issuer):
        return N_("Your account is linked with another account at the provider. Remove that link first.")
    provider_links.add(session, person, who, actor=actor, mail=mail, now=now)
    return None


def _account_of(
    session: Session, who: Arrival, settings: ProviderSettings, *, visitor: Visitor, mail: AccountMail, now: datetime
) -> Person | Text:
    """The account, locked, with the role that the provider gives it."""
    owner = provider_links.owner_of(session, who)
    if owner is None:
        return _first_time(session, who, settings, visitor=visitor, mail=mail, now=now)
    # All administrators are locked in one order, and before the one account: else two could wait for each other.
    found = people.get(session, owner)
    loses_rank = found.role == "admin" and who.role not in {None, "admin"}
    must_stay = loses_rank and user_changes.is_last_administrator(session, owner)
    person = people.lock(session, owner)
    if person is None or person.is_disabled or provider_links.owner_of(session, who) != owner:
        return _NO_ACCOUNT
    if person.must_reset:
        return _RESET_FIRST
    own = (ProviderIdentity.issuer == who.issuer, ProviderIdentity.subject == who.subject)
    session.execute(update(ProviderIdentity).where(*own).values(last_used_at=now))
    if must_stay or person.role != found.role:
        _log.warning("a role of the provider's was not taken over", person=str(owner), is_last_administrator=must_stay)
        return person
    return _with_role(session, person, who, now=now)


def _first_time(
    session: Session, who: Arrival, settings: ProviderSettings, *, visitor: Visitor, mail: AccountMail, now: datetime
) -> Person | Text:
    if not who.address:
        return _NOT_PROVED
    known = people.find(session, who.address)
    if known is None:
        return _add(session, who, visitor=visitor, mail=mail, now=now) if settings.adds_people else _NO_ACCOUNT
    person = people.lock(session, known.id)
    if person is None or person.is_disabled or same_address_key(person.email) != same_address_key(who.address):
        return _NO_ACCOUNT
    if person.must_reset or not _is_untouched(session, person, who.issuer):
        return _LINK_FIRST
    provider_links.add(session, person, who, actor=_actor(person, visitor), mail=mail, now=now)
    # Whoever has the mail with the invitation is not let in by it any more: the account has its way in.
    session.execute(
        update(Invitation).where(Invitation.user_id == person.id, Invitation.used_at.is_(None)).values(used_at=now)
    )
    return _with_role(session, person, who, now=now)


def _is_untouched(session: Session, person: Person, issuer: str) -> bool:
    """Whether nothing opens the account yet, and it may do no more than everybody."""
    return (
        person.password_hash is None
        and person.role == "user"
        and not second_factor.has_any(session, person.id)
        and provider_links.linked_since(session, person.id, issuer) is None
    )


def _add(session: Session, who: Arrival, *, visitor: Visitor, mail: AccountMail, now: datetime) -> Person | Text:
    if people.is_taken(session, who.address):
        return _LINK_FIRST
    new = people.prepare_invited(email=who.address, role=who.role or "user", name=who.name, language=visitor.language)
    try:
        person = people.get(session, people.add_user(session, new, actor=None, now=now))
    except NotAdded as error:
        raise MetAnother from error
    provider_links.add(session, person, who, actor=_actor(person, visitor), mail=mail, now=now)
    return person


def _with_role(session: Session, person: Person, who: Arrival, *, now: datetime) -> Person:
    """The provider's role takes the place of the portal's; with another role every session ends."""
    if who.role in {None, person.role}:
        return person
    session.execute(update(User).where(User.id == person.id).values(role=who.role))
    sessions.end_all(session, person.id, now=now)
    changes = {"role": (person.role, who.role), "provider": (None, who.issuer)}
    audit.record(session, action="user.changed", actor=None, subject=person.email, changes=changes, now=now)
    return people.get(session, person.id)


def _actor(person: Person, visitor: Visitor) -> audit.Actor:
    return audit.Actor(person.id, person.name or person.email, visitor.address)
