"""Sealing: unsealed entries get the next places in the chain, in the order in which they were written down.

An entry whose transaction took its number earlier and ended later gets a later place: places are in the order of
sealing. That two never have the same place is the database's to see to; the second sealer of two then fails as a
whole, and its work was done by the first.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from portal.audit.chain import BEFORE_THE_FIRST, next_hash
from portal.audit.models import AuditEntry

AT_ONCE = 1000


def seal(session: Session) -> int:
    """Seal the next entries, at most AT_ONCE, in the caller's transaction; how many it were."""
    unsealed = select(AuditEntry.__table__).where(AuditEntry.place.is_(None)).order_by(AuditEntry.id).limit(AT_ONCE)
    last_place, newest = newest_seal(session) or (0, BEFORE_THE_FIRST)
    seals: list[dict[str, Any]] = []
    for place, entry in enumerate(session.execute(unsealed), start=last_place + 1):
        newest = next_hash(newest, entry, place)
        seals.append({"entry": entry.id, "next_place": place, "hash": newest})
    if seals:
        sealing = update(AuditEntry).where(AuditEntry.id == bindparam("entry"), AuditEntry.place.is_(None))
        sealing = sealing.values(place=bindparam("next_place"), sealed_hash=bindparam("hash"))
        session.connection().execute(sealing, seals)
    return len(seals)


def newest_seal(session: Session) -> tuple[int, bytes] | None:
    """Place and hash of the newest sealed entry; None while there is none."""
    newest = select(AuditEntry.place, AuditEntry.sealed_hash).where(AuditEntry.place.is_not(None))
    row = session.execute(newest.order_by(AuditEntry.place.desc()).limit(1)).one_or_none()
    return None if row is None else (row.place, row.sealed_hash or b"")
