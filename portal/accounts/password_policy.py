"""Whether somebody may have a password: by the rules, by what the organisation asks for, by what was used before.

Each former password costs a comparison of 30 ms, so all of this comes before any unit of work.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from portal.accounts import known_words, recovery_settings
from portal.accounts.password_rules import WeakPassword, require_good
from portal.accounts.passwords import verify_password
from portal.accounts.recovery_models import FormerPassword
from portal.wording import N_


def require_allowed(
    session: Session, password: str, *, about: Sequence[str], public_host: str, user_id: UUID | None = None
) -> None:
    """Raises WeakPassword, TooBusy. `about` is the person's own words, `public_host` the portal's.

    `user_id` is whose former passwords may not come back; the present one is compared elsewhere.
    """
    settings = recovery_settings.load(session)
    words = (*about, *known_words.of_organisation(session, public_host))
    require_good(password, about=words, shortest=settings.shortest, patterns=settings.patterns)
    former = _kept(session, user_id, settings.kept_passwords) if user_id is not None else ()
    if any(verify_password(one, password) for one in former):
        raise WeakPassword(
            N_(
                "You had this password before. The last %(count)s may not come back: choose another one.",
                count=settings.kept_passwords,
            )
        )


def keep_former(session: Session, user_id: UUID, password_hash: str | None, *, now: datetime) -> None:
    """The password of this hash is replaced now: keep it as long as the settings say, and no more than those."""
    count = recovery_settings.load(session).kept_passwords
    if password_hash is not None and count:
        session.add(FormerPassword(id=uuid4(), user_id=user_id, password_hash=password_hash, replaced_at=now))
        session.flush()
    newest = _newest(user_id, count).with_only_columns(FormerPassword.id)
    surplus = delete(FormerPassword).where(FormerPassword.user_id == user_id, FormerPassword.id.not_in(newest))
    session.execute(surplus.execution_options(synchronize_session=False))


def _kept(session: Session, user_id: UUID, count: int) -> Sequence[str]:
    return session.scalars(_newest(user_id, count)).all() if count else ()


def _newest(user_id: UUID, count: int) -> Select[str]:
    of_person = select(FormerPassword.password_hash).where(FormerPassword.user_id == user_id)
    return of_person.order_by(FormerPassword.replaced_at.desc(), FormerPassword.id).limit(count)
