"""What people change about themselves: how mail addresses them, where they are called, their language and time zone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import lru_cache
from uuid import UUID
from zoneinfo import available_timezones

from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people
from portal.accounts.models import User

_REGIONS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic"),
    *("Australia", "Europe", "Indian", "Pacific"),
)


@dataclass(frozen=True, kw_only=True)
class OwnDetails:
    """`phone` is E.164 or "", `time_zone` a name of the IANA database or "" for UTC."""

    name: str
    phone: str
    language: str
    time_zone: str


def own_details(session: Session, user_id: UUID) -> OwnDetails:
    """As they are now. Raises LookupError."""
    user = session.get(User, user_id)
    if user is None:
        raise LookupError(f"there is no account {user_id}")
    return OwnDetails(**{field.name: getattr(user, field.name) for field in fields(OwnDetails)})


def change_own_details(
    session: Session, user_id: UUID, wanted: OwnDetails, *, actor: audit.Actor, now: datetime
) -> None:
    """Store what differs. Raises LookupError."""
    person = people.lock(session, user_id)
    before = own_details(session, user_id)
    new = {field: value for field, value in asdict(wanted).items() if value != getattr(before, field)}
    if person is None or not new:
        return
    session.execute(update(User).where(User.id == user_id).values(**new))
    changes = {field: (getattr(before, field), value) for field, value in new.items()}
    audit.record(session, action="user.changed", actor=actor, subject=person.email, changes=changes, now=now)


@lru_cache(maxsize=1)
def time_zones() -> dict[str, tuple[str, ...]]:
    """The names of the IANA time zones that people live in, by region."""
    known = sorted(available_timezones())
    return {region: tuple(name for name in known if name.startswith(f"{region}/")) for region in _REGIONS}
