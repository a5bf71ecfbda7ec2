"""Who is whom at the provider: accounts linked with one there, and parted from it. The owner is told of either."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, provider_settings, reset_links, ways_in
from portal.accounts.people import Person
from portal.accounts.provider_claims import Arrival
from portal.accounts.provider_models import ProviderIdentity
from portal.accounts.provider_settings import ProviderSettings

if TYPE_CHECKING:
    from portal.accounts.account_mail import AccountMail


class MetAnother(Exception):
    """The same account there was used here for the first time in this very moment. Nothing was written."""


def add(
    session: Session, person: Person, who: Arrival, *, actor: audit.Actor, mail: AccountMail, now: datetime
) -> None:
    """Link the account, whose row is locked. Raises MetAnother.

    A reset link that is still open opens nothing any more: whoever has it does not get past the provider.
    """
    session.add(
        ProviderIdentity(
            id=uuid4(), user_id=person.id, issuer=who.issuer, subject=who.subject, linked_at=now, last_used_at=now
        )
    )
    try:
        session.flush()
    except IntegrityError as error:
        raise MetAnother from error
    changes = {"provider": (None, who.issuer), "provider_account": (None, who.subject)}
    audit.record(session, action="user.provider_linked", actor=actor, subject=person.email, changes=changes, now=now)
    reset_links.void(session, person.id, now=now)
    name = _name_of(session, who.issuer)
    mail.queue_second_factor_changed(session, person, "provider_linked", name=name, now=now)


def remove(session: Session, user_id: UUID, *, actor: audit.Actor, mail: AccountMail, now: datetime) -> bool:
    """Remove every link of this person; False where there was none."""
    person = people.lock(session, user_id)
    if person is None:
        return False
    gone = delete(ProviderIdentity).where(ProviderIdentity.user_id == user_id).returning(ProviderIdentity.issuer)
    issuers = sorted(session.scalars(gone))
    if not issuers:
        return False
    changes = {"provider": (" ".join(issuers), None)}
    audit.record(session, action="user.provider_unlinked", actor=actor, subject=person.email, changes=changes, now=now)
    names = ", ".join(_name_of(session, issuer) for issuer in issuers)
    mail.queue_second_factor_changed(session, person, "provider_unlinked", name=names, now=now)
    return True


def remove_own(session: Session, user_id: UUID, *, actor: audit.Actor, mail: AccountMail, now: datetime) -> bool:
    """The same by the owner, who must keep a way in. Raises LastWayIn."""
    if not remove(session, user_id, actor=actor, mail=mail, now=now):
        return False
    ways_in.require_one(session, user_id)
    return True


def of_person(session: Session, user_id: UUID) -> tuple[tuple[str, datetime], ...]:
    """The provider's name and the moment of each link, the oldest first; of former providers too."""
    found = select(ProviderIdentity.issuer, ProviderIdentity.linked_at).where(ProviderIdentity.user_id == user_id)
    rows = session.execute(found.order_by(ProviderIdentity.linked_at)).all()
    return tuple((_name_of(session, issuer), linked_at) for issuer, linked_at in rows)


def linked_since(session: Session, user_id: UUID, issuer: str) -> datetime | None:
    """When the person's account was linked with one of this provider, None where it is not."""
    own = select(ProviderIdentity.linked_at).where(
        ProviderIdentity.user_id == user_id, ProviderIdentity.issuer == issuer
    )
    return session.scalar(own.limit(1))


def owner_of(session: Session, who: Arrival) -> UUID | None:
    """Whose account here is linked with the one there."""
    own = (ProviderIdentity.issuer == who.issuer, ProviderIdentity.subject == who.subject)
    return session.scalar(select(ProviderIdentity.user_id).where(*own))


def _name_of(session: Session, issuer: str) -> str:
    """What people call the provider; of one that is not set up any more, its host."""
    present = provider_settings.load(session)
    return present.name if present.issuer == issuer else ProviderSettings(issuer=issuer).name
