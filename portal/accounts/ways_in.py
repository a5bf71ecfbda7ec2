"""By what people can sign in: nobody removes the own last way in, and an administrator stays who can.

Of two acts at once that each take a way in away, the later one waits for the rows of the administrators and judges
what the earlier one has left: whoever counts locks first and reads anew (READ COMMITTED shows a waiting statement
the locked row anew, and everything else as it was before).
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from portal.accounts.factor_models import Passkey
from portal.accounts.models import User
from portal.accounts.provider_models import ProviderIdentity, SignInSettingsRow


class LastWayIn(Exception):
    """This person could not sign in any more. Nothing may be written."""


def require_one(session: Session, user_id: UUID) -> None:
    """Somebody who removed a way in has another one left. The account's row is locked. Raises LastWayIn."""
    has_one = or_(User.password_hash.is_not(None), _has_passkey(), _is_linked())
    if not session.scalar(select(User.id).where(User.id == user_id, has_one)):
        raise LastWayIn


def lock_administrators(session: Session) -> None:
    """Nobody else takes a way in from an administrator until the unit of work ends. Before any account's own row."""
    session.execute(select(User.id).where(User.role == "admin").order_by(User.id).with_for_update())


def administrators(session: Session, *, without_provider: bool = False) -> set[UUID]:
    """Who can sign in as an administrator; `without_provider` those alone who need none. After the lock."""
    # Somebody invited who has not chosen a password yet, or who must choose another one, keeps no portal alive.
    ways = [User.password_hash.is_not(None), _has_passkey(), *([] if without_provider else [_is_linked()])]
    able = and_(User.role == "admin", User.is_disabled.is_(False), User.must_reset.is_(False), or_(*ways))
    return set(session.scalars(select(User.id).where(able)))


def _has_passkey() -> ColumnElement[bool]:
    return exists().where(Passkey.user_id == User.id).correlate(User)


def _is_linked() -> ColumnElement[bool]:
    """Of a provider that was switched off, or changed, a link lets nobody in."""
    of_provider = (ProviderIdentity.user_id == User.id, ProviderIdentity.issuer == SignInSettingsRow.issuer)
    return exists().where(*of_provider).correlate(User)
