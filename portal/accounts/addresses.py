"""The addresses of a person besides the primary one: those that are validated, and those that still wait for it.

What waits is used for nothing, and keeps nobody else from claiming the same address. A validated one is one person's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.accounts.models import UserAddress

MOST_WAITING = 5  # of one person
MOST = 20  # of one person, besides the primary one


@dataclass(frozen=True)
class OtherAddress:
    """`expires_at` is when the newest link that validates it stops working, None once it is validated."""

    id: UUID
    address: str
    becomes_primary: bool
    validated_at: datetime | None
    expires_at: datetime | None

    @property
    def is_validated(self) -> bool:
        return self.validated_at is not None

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def listed(session: Session, user_id: UUID) -> tuple[OtherAddress, ...]:
    """Validated ones first, each in the order in which they came."""
    own = select(UserAddress).where(UserAddress.user_id == user_id)
    rows = session.scalars(own.order_by(UserAddress.validated_at.is_(None), UserAddress.added_at, UserAddress.id))
    return tuple(map(of_row, rows))


def find(session: Session, user_id: UUID, address_id: UUID) -> OtherAddress:
    """One of somebody's own. Raises LookupError."""
    row = session.scalar(select(UserAddress).where(UserAddress.id == address_id, UserAddress.user_id == user_id))
    if row is None:
        raise LookupError(f"there is no address {address_id}")
    return of_row(row)


def counts(session: Session, user_id: UUID) -> tuple[int, int]:
    """How many somebody has, and how many of them wait."""
    number, validated = session.execute(
        select(func.count(), func.count(UserAddress.validated_at)).where(UserAddress.user_id == user_id)
    ).one()
    return number, number - validated


def of_row(row: UserAddress) -> OtherAddress:
    return OtherAddress(row.id, row.address, row.becomes_primary, row.validated_at, row.token_expires_at)
