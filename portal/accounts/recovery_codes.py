"""Recovery codes: ten for somebody who lost the second factor, each works once.

A code is 80 random bits, so a plain SHA-256 keeps it: nobody tries as many. The hash holds the account's id.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from portal.accounts.factor_models import RecoveryCode

COUNT = 10
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's 32: none looks like another
_LENGTH = 16
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})


def make_anew(session: Session, user_id: UUID, *, now: datetime) -> tuple[str, ...]:
    """Ten new codes, to be shown once; the former are void."""
    remove_all(session, user_id)
    codes = tuple(_new_code() for _ in range(COUNT))
    session.add_all(
        RecoveryCode(id=uuid4(), user_id=user_id, code_hash=_hash(user_id, canonical(code)), created_at=now)
        for code in codes
    )
    session.flush()
    return codes


def take(session: Session, user_id: UUID, typed: str, *, now: datetime) -> bool:
    """Whether this is one of the person's codes that was not used before; it is used now."""
    code = canonical(typed)
    if len(code) != _LENGTH:
        return False
    its = (RecoveryCode.user_id == user_id, RecoveryCode.code_hash == _hash(user_id, code))
    using = update(RecoveryCode).where(*its, RecoveryCode.used_at.is_(None)).values(used_at=now)
    return session.scalar(using.returning(RecoveryCode.id)) is not None


def left(session: Session, user_id: UUID) -> int:
    unused = select(func.count()).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return session.scalar(unused) or 0


def remove_all(session: Session, user_id: UUID) -> None:
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def canonical(typed: str) -> str:
    """A code as it is hashed: capitals, no hyphens and blanks, O read as 0 and I and L as 1."""
    return "".join(letter for letter in typed.upper().translate(_READ_AS) if letter not in "- ")


def _new_code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    return "-".join(letters[start : start + 4] for start in range(0, _LENGTH, 4))


def _hash(user_id: UUID, code: str) -> bytes:
    return hashlib.sha256(user_id.bytes + code.encode(errors="surrogatepass")).digest()
